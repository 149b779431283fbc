package shard

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/work"
)

// perPass bounds the bookings of one pass, so that a Step stays short; what is
// left over is done by the next Step.
const perPass = 256

// sampleSize is the number of candidates beyond which a random sample is ranked.
const sampleSize = 32

// schedule books places for eligible tasks in queue order.
func (r *Replica) schedule() {
	l := r.lead
	l.dirty = false
	table := make([]match.Worker, 0, len(l.workers))
	for _, w := range l.workers {
		if w.view.FreeSlots > 0 && !w.view.Draining {
			table = append(table, w.view)
		}
	}
	if len(table) == 0 || len(l.active) == 0 {
		return
	}
	left := perPass
	for _, e := range r.queue() {
		left = r.place(r.state.Jobs[e.Job], table, left)
		if left == 0 {
			l.dirty = true
			return
		}
	}
}

// queue returns the jobs that have something to assign, in order.
func (r *Replica) queue() []match.Entry {
	var out []match.Entry
	for _, j := range r.lead.active {
		g := j.Gather()
		if j.Count(job.Queued) == 0 && (g == nil || !j.Eligible(job.GatherIndex, r.shardNow)) {
			continue
		}
		out = append(out, match.Entry{
			Job: j.ID, Index: j.Index, Priority: j.Spec.Priority,
			Waiting: time.Duration(r.shardNow-j.Accepted) * time.Millisecond,
		})
	}
	match.Order(out)
	return out
}

// place books as many of a job's tasks as fit and returns what is left of the
// pass.
func (r *Replica) place(j *job.Job, table []match.Worker, left int) int {
	for i := range j.Tasks {
		index := j.WireIndex(i)
		if left == 0 {
			return 0
		}
		if !j.Eligible(index, r.shardNow) || r.lead.bookings[ref{j.ID, index}] != nil {
			continue
		}
		at, ok := match.Choose(j.Spec, j.Need(index), table, match.Options{
			Weights: r.p.Weights, K: sampleSize, Avoid: avoid(&j.Tasks[i]), Rand: r.rand,
		})
		if !ok {
			return left // what one task of the job lacks, its others lack too
		}
		r.book(j, index, &table[at])
		left--
	}
	return left
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

func (r *Replica) book(j *job.Job, index int32, view *match.Worker) {
	need := j.Need(index)
	b := &booking{
		key:  work.Key{Job: j.ID, Task: index, Attempt: j.Task(index).Attempt + 1},
		need: need, worker: view.ID, since: r.now.Mono,
	}
	r.lead.bookings[ref{j.ID, index}] = b
	w := r.lead.worker(view.ID)
	w.pending = w.pending.Add(need)
	w.slots++
	w.view.Free, w.view.FreeSlots = w.view.Free.Sub(need), w.view.FreeSlots-1
	view.Free, view.FreeSlots = w.view.Free, w.view.FreeSlots
	r.do(Work{To: view.ID, Msg: work.Book{Key: b.key, Need: need}})
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

// dropBooking forgets a booking; release also gives the place back.
func (r *Replica) dropBooking(k ref, b *booking, release bool) {
	delete(r.lead.bookings, k)
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
	b.since = r.now.Mono
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
		r.remember(cmd.Worker, out.Job.Spec.Module)
	}
}

// remember notes that a worker will have a module in its cache.
func (r *Replica) remember(peer, module string) {
	w := r.lead.worker(peer)
	if w == nil || slices.Contains(w.modules, module) {
		return
	}
	w.modules = append(w.modules, module)
	if len(w.modules) > maxModules {
		w.modules = w.modules[1:]
	}
}
