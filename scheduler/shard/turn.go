package shard

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
)

// askTurn asks a worker that looks full for a place, for a task that has waited
// a while and fits nowhere.
//
// Shards share workers and do not know of each other: the leader that had the
// place hears first that it is free and takes it again, so that another, to which
// the worker looks full at every heartbeat, would wait until the first has
// nothing left to place. Only who asks and is refused is given a turn (package
// worker). So the leader asks one worker after another, one per tick and each of
// them every two seconds, until something of the kind is placed. A refusal costs
// a round trip. Workers that its own attempts fill are not asked: it hears when
// those end.
func (r *Replica) askTurn() {
	l := r.lead
	if l.stalled || len(l.workers) == 0 {
		return
	}
	s := l.queue.NextStarved(r.shardNow - r.p.Turn.Milliseconds())
	if s == nil {
		return
	}
	t, j, ok := l.queue.First(s)
	if !ok || l.bookings[ref{t.Job, t.Index}] != nil {
		return
	}
	if w := r.turnAt(s, t); w != nil {
		a := r.ask(j, t)
		w.asked = r.now.Mono
		l.queue.Take(t)
		r.book(j, &a, &w.view)
		l.bookings[ref{t.Job, t.Index}].turn = true
	}
}

// waits says whether a task is waiting for room: in the queue, or for a turn
// that was asked for.
func (l *leading) waits(t match.Task) bool {
	if b := l.bookings[ref{t.Job, t.Index}]; b != nil {
		return b.turn && !b.answered
	}
	return l.queue.Waits(t)
}

// askEvery is how long a worker that was asked for a turn is not asked again,
// unless it has given one.
const askEvery = 2 * time.Second

// turnAt returns the next worker in the round that would take the task but for
// its room, which others have: the one that is reserved for it, else one that is
// reserved for none.
func (r *Replica) turnAt(s *match.Shape, t match.Task) *worker {
	l := r.lead
	mine := slices.IndexFunc(l.reserved, func(v *reservation) bool { return v.task == t })
	for range l.workers {
		l.turnAt++
		w := l.workers[l.turnAt%len(l.workers)]
		kept := w.view.Hold != nil || mine >= 0
		if kept && (mine < 0 || l.reserved[mine].w != w) || w.asked > 0 && r.now.Mono-w.asked < askEvery {
			continue
		}
		if match.Judge(s.Spec, s.Need, &w.view) == match.WhyBusy && l.shared(w, s.Need) {
			return w
		}
	}
	return nil
}

// shared says whether there would be room on a worker if it held nothing but
// this shard's attempts and bookings.
func (l *leading) shared(w *worker, need job.Resources) bool {
	room := w.view.Cap.Total.Sub(w.pending)
	taken := w.slots
	for _, a := range l.with[w.view.ID] {
		room = room.Sub(a.need)
		taken++
	}
	return room.Fits(need) && (w.view.Cap.Slots == 0 || taken < w.view.Cap.Slots)
}
