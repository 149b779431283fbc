package shard

import (
	"slices"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/work"
)

// perPass bounds the bookings of one pass, so that a Step stays short; what is
// left over is done by the next Step.
const perPass = 256

// sampleSize is the number of candidates beyond which a random sample is ranked.
const sampleSize = 32

// placing is what a leader needs to give out places.
type placing struct {
	queue       *match.Queue // what waits
	pool        match.Pool   // views of the attached workers
	reserved    []*reservation
	constraints match.Constraints
	turnAt      int // place in the round of workers that are asked for a turn
}

// schedule books places for the tasks that come first, until no more fit.
func (r *Replica) schedule() {
	l := r.lead
	l.dirty = false
	if l.stalled {
		return // a place booked now would be given back at once, and so on without end
	}
	l.queue.Advance(r.shardNow)
	l.queue.Measure(l.pool.Total())
	l.queue.Freshen(&l.pool)
	l.queue.Resume()
	r.placeReserved()
	o := match.Options{Weights: r.p.Weights, K: sampleSize, Rand: r.rand}
	for range perPass {
		t, j, s, ok := l.queue.Head()
		switch {
		case !ok:
			l.dirty = l.queue.Unfinished()
			return
		case l.bookings[ref{t.Job, t.Index}] != nil:
			l.queue.Take(t)
			continue
		}
		a := r.ask(j, t)
		view, v := l.pool.Choose(s, &a, &o)
		if v == match.Found {
			l.queue.Take(t)
			r.book(j, &a, view)
		}
		l.queue.Settled(s, v)
	}
	l.dirty = true
}

// ask describes a task that looks for a place.
func (r *Replica) ask(j *job.Job, t match.Task) match.Ask {
	return match.Ask{
		Task: t, Spec: j.Spec, Need: j.Need(t.Index), Avoid: avoid(j.Task(t.Index)), Ends: r.now.Mono + j.Spec.Policy.Timeout,
	}
}

// avoid names the workers on which the task has failed.
func avoid(t *job.Task) []string {
	var out []string
	for _, e := range t.Errors {
		if e.Cause != job.CauseRefused && e.Cause != job.CauseDrained {
			out = append(out, e.Worker)
		}
	}
	return out
}

func (r *Replica) book(j *job.Job, a *match.Ask, view *match.Worker) {
	b := &booking{
		key:  work.Key{Job: j.ID, Task: a.Task.Index, Attempt: j.Task(a.Task.Index).Attempt + 1},
		need: a.Need, worker: view.ID, client: r.lead.queue.Client(string(j.ClientKey)), since: r.now.Mono, ends: a.Ends,
	}
	r.lead.bookings[refOf(b.key)] = b
	r.lead.queue.Charge(b.client, b.need)
	view.Hold.Placed(a)
	w := r.lead.worker(view.ID)
	w.pending = w.pending.Add(a.Need)
	w.slots++
	w.view.Free, w.view.FreeSlots = w.view.Free.Sub(a.Need), w.view.FreeSlots-min(w.view.FreeSlots, 1)
	r.lead.pool.Update(&w.view)
	r.do(Work{To: view.ID, Msg: work.Book{Key: b.key, Need: a.Need}})
}

// answered takes the booking off what the worker has not seen yet.
func (r *Replica) answered(w *worker, b *booking) {
	if b.answered {
		return
	}
	b.answered = true
	w.pending = w.pending.Sub(b.need)
	w.slots -= min(w.slots, 1)
}

// dropBooking forgets a booking and lets its task wait again, unless it was
// assigned; release also gives the place back.
func (r *Replica) dropBooking(k ref, b *booking, release bool) {
	delete(r.lead.bookings, k)
	r.lead.queue.Discharge(b.client, b.need)
	if j := r.lead.active[k.job]; j != nil {
		if t := j.Task(k.task); t.State == job.Queued {
			r.lead.queue.Restore(match.Task{Job: k.job, Index: k.task}, t.NotBefore)
		}
	}
	if w := r.lead.worker(b.worker); w != nil {
		r.answered(w, b)
	}
	if release {
		r.do(Work{To: b.worker, Msg: work.Release{Key: b.key}})
	}
	r.lead.dirty = true
}

// booked commits the assignment for which a place is held.
func (r *Replica) booked(w *worker, m work.Booked) {
	k := refOf(m.Key)
	b := r.lead.bookings[k]
	if b == nil || b.worker != w.view.ID || b.key != m.Key || b.answered {
		if b == nil {
			r.do(Work{To: w.view.ID, Msg: work.Release{Key: m.Key}})
		}
		r.capacity(w, m.Free, m.FreeSlots)
		return
	}
	r.answered(w, b)
	r.capacity(w, m.Free, m.FreeSlots)
	b.since, w.asked = r.now.Mono, 0
	j := r.state.Jobs[k.job]
	if j == nil || !j.Eligible(k.task, r.shardNow) || !r.propose(&job.Command{
		Op: job.OpAssign, Job: k.job, Task: k.task, Attempt: m.Key.Attempt, Worker: w.view.ID,
	}) {
		r.dropBooking(k, b, true)
	}
}

// refused takes a worker's no: to a booking it costs nothing, to an assignment
// the attempt goes back to the queue without costing a retry.
func (r *Replica) refused(w *worker, m work.Refused) {
	k := refOf(m.Key)
	if b := r.lead.bookings[k]; m.Key.Fence == 0 && b != nil && b.worker == w.view.ID && b.key == m.Key {
		r.dropBooking(k, b, false)
	}
	if a := r.lead.attempt(m.Key, w.view.ID); a != nil && !a.held {
		r.fail(m.Key, job.CauseRefused, m.Why)
	}
	r.capacity(w, m.Free, m.FreeSlots)
}

// assigned closes the booking of an applied assignment.
func (r *Replica) assigned(cmd *job.Command, out job.Outcome) {
	k := ref{cmd.Job, cmd.Task}
	b := r.lead.bookings[k]
	if b == nil {
		return
	}
	r.dropBooking(k, b, out.Reason != "" || b.worker != cmd.Worker)
	if out.Reason == "" && out.Job != nil {
		r.lead.queue.Progress(match.Task{Job: k.job, Index: k.task})
		r.remember(cmd.Worker, out.Job.Spec.Module)
	}
}

// remember notes that a worker will have a module in its cache.
func (r *Replica) remember(peer, module string) {
	w := r.lead.worker(peer)
	if w == nil || slices.Contains(w.view.Modules, module) {
		return
	}
	w.view.Modules = append(w.view.Modules, module)
	if len(w.view.Modules) > maxModules {
		w.view.Modules = w.view.Modules[1:]
	}
}
