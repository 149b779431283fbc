package shard

import (
	"cmp"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
)

// maxReserved bounds the reservations of a leader.
const maxReserved = 16

// unknownUse is when a worker is expected to have room of whose use too little
// is known here, since other shards share it.
const unknownUse = 10 * time.Minute

// reservation keeps a worker for a task that was passed over for long. It is
// soft state: a new leader makes its own.
type reservation struct {
	task  match.Task
	shape *match.Shape
	w     *worker
}

// tendReservations drops what has become void, looks again when the others will
// have their room, and reserves for what has been passed over for too long.
func (r *Replica) tendReservations() {
	l := r.lead
	starved := l.queue.Starved(r.shardNow - r.p.Reserve.Milliseconds())
	if len(starved) == 0 && len(l.reserved) == 0 {
		return
	}
	releases := r.releases()
	l.reserved = slices.DeleteFunc(l.reserved, func(v *reservation) bool {
		j := l.active[v.task.Job]
		if l.worker(v.w.view.ID) != v.w || j == nil || !l.waits(v.task) || !mayFit(j.Spec, v.shape.Need, &v.w.view) ||
			r.now.Mono > v.w.view.Hold.Start+unknownUse { // other shards keep it busy: look for another
			r.unhold(v.w)
			return true
		}
		r.hold(v, releases[v.w.view.ID])
		return false
	})
	for _, s := range starved {
		if len(l.reserved) == maxReserved {
			return
		}
		if !slices.ContainsFunc(l.reserved, func(v *reservation) bool { return v.shape == s }) {
			r.reserve(s, releases)
		}
	}
}

func mayFit(s *job.Spec, need job.Resources, w *match.Worker) bool {
	why := match.Judge(s, need, w)
	return why == match.Fits || why == match.WhyBusy
}

// releases returns, per worker, the places that this shard's bookings and
// attempts take, in the order in which they become free at the latest.
func (r *Replica) releases() map[string][]match.Release {
	out := map[string][]match.Release{}
	for _, a := range r.lead.standing(anyAttempt) {
		out[a.worker] = append(out[a.worker], match.Release{At: a.limit - attemptGrace, Needs: a.need})
	}
	for _, k := range sortedRefs(r.lead.bookings) {
		b := r.lead.bookings[k]
		out[b.worker] = append(out[b.worker], match.Release{At: b.ends, Needs: b.need})
	}
	// any order: each list alone
	for _, list := range out {
		slices.SortStableFunc(list, func(a, b match.Release) int { return cmp.Compare(a.At, b.At) })
	}
	return out
}

// reserve keeps the worker where the shape's first task fits soonest.
func (r *Replica) reserve(s *match.Shape, releases map[string][]match.Release) {
	l := r.lead
	t, j, ok := l.queue.First(s)
	if !ok {
		return
	}
	var best *worker
	var soonest time.Duration
	for _, w := range l.workers {
		if w.view.Hold != nil || !mayFit(j.Spec, s.Need, &w.view) {
			continue
		}
		h := match.Soonest(&w.view, s.Need, r.now.Mono, r.now.Mono+unknownUse, releases[w.view.ID])
		if best == nil || h.Start < soonest {
			best, soonest = w, h.Start
		}
	}
	if best != nil {
		v := &reservation{task: t, shape: s, w: best}
		l.reserved = append(l.reserved, v)
		r.hold(v, releases[best.view.ID])
	}
}

// hold notes at the worker from when on the task fits there at the latest. That
// may come closer but is never put off: what is known of the worker's use is
// incomplete between an attempt's end and the next heartbeat.
func (r *Replica) hold(v *reservation, releases []match.Release) {
	h := match.Soonest(&v.w.view, v.shape.Need, r.now.Mono, r.now.Mono+unknownUse, releases)
	h.Task = v.task
	if old := v.w.view.Hold; old != nil && old.Task == v.task {
		h.Start = min(h.Start, old.Start)
	}
	v.w.view.Hold = &h
	r.lead.pool.Add(&v.w.view)
}

func (r *Replica) unhold(w *worker) {
	w.view.Hold = nil
	if r.lead.worker(w.view.ID) == w {
		r.lead.pool.Add(&w.view)
		r.lead.dirty = true
	}
}

// placeReserved books the places of reserved workers that have become free.
func (r *Replica) placeReserved() {
	l := r.lead
	l.reserved = slices.DeleteFunc(l.reserved, func(v *reservation) bool {
		j := l.active[v.task.Job]
		if l.worker(v.w.view.ID) != v.w || j == nil || !l.waits(v.task) {
			r.unhold(v.w)
			return true
		}
		if l.bookings[ref{v.task.Job, v.task.Index}] != nil {
			return false // the worker was asked just now
		}
		a := r.ask(j, v.task)
		if match.Judge(a.Spec, a.Need, &v.w.view) != match.Fits {
			return false
		}
		r.unhold(v.w)
		l.queue.Take(v.task)
		r.book(j, &a, &v.w.view)
		return true
	})
}
