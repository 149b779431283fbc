package shard

import (
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// heard takes a worker's message. Workers attach as soon as they hear of a new
// leader, which may be before it is ready; a report is judged also when its
// worker is not attached.
func (r *Replica) heard(ev Heard) {
	l := r.lead
	w := l.worker(ev.From)
	if w != nil {
		w.heard = r.now.Mono // any word is a sign of life, also before the leader is ready
	}
	switch m := ev.Msg.(type) {
	case work.Attach:
		r.attach(ev.From, m)
		return
	case work.Report:
		if l.ready {
			r.report(ev.From, m)
		}
		return
	}
	if !l.ready {
		return // what stands is not known yet; it is said again
	}
	if w == nil {
		return // it attaches again when it hears nothing of us
	}
	switch m := ev.Msg.(type) {
	case work.Heartbeat:
		if m.Boot != w.boot {
			return // of an earlier life
		}
		l.dirty = l.dirty || w.view.Draining != m.Draining
		w.view.Draining = m.Draining
		r.capacity(w, m.Free, m.FreeSlots)
		r.reconcile(ev.From, m.Held)
	case work.Booked:
		r.booked(w, m)
	case work.Refused:
		r.refused(w, m)
	case work.Started:
		r.startedBy(ev.From, m.Key)
	case work.Progress:
		if l.attempt(m.Key, ev.From) != nil {
			r.do(Progressed{Worker: ev.From, Progress: m})
		}
	}
}

// attach takes a worker in, or renews what is known of it.
func (r *Replica) attach(peer string, m work.Attach) {
	l := r.lead
	w := l.worker(peer)
	if w == nil {
		if len(l.workers) >= r.p.MaxWorkers {
			return // full; it stays attached elsewhere
		}
		w = &worker{}
		w.view.ID, w.view.Score = peer, 0.5
		l.enrol(w)
	}
	w.heard, w.view.Draining = r.now.Mono, m.Draining
	w.view.Offer(m.Capability, &l.constraints)
	if w.boot != m.Boot {
		w.boot, w.pending, w.slots = m.Boot, job.Resources{}, 0
		for _, k := range sortedRefs(l.bookings) {
			if b := l.bookings[k]; b.worker == peer {
				b.answered = true // a worker that has started anew knows nothing of it
				r.dropBooking(k, b, false)
			}
		}
	}
	if m.Capability.Picky() {
		l.queue.TellOwners()
	}
	l.pool.Add(&w.view)
	l.dirty = true
	r.capacity(w, m.Free, m.FreeSlots)
	if l.ready {
		r.reconcile(peer, m.Held)
	}
}

// capacity notes what the worker says is free, less the bookings that it had
// not seen when it said so.
func (r *Replica) capacity(w *worker, free job.Resources, slots uint32) {
	before, places := w.view.Free, w.view.FreeSlots
	w.view.Free = free.Sub(w.pending)
	w.view.FreeSlots = slots - min(slots, w.slots)
	r.lead.pool.Update(&w.view)
	if before != w.view.Free || places != w.view.FreeSlots { // most heartbeats bring nothing new
		r.lead.dirty = true
	}
}

// reconcile compares what a worker holds with what stands. What does not stand
// is stopped; what stands and is not held is sent again.
func (r *Replica) reconcile(peer string, held []work.Key) {
	l := r.lead
	l.beat++
	for _, k := range held {
		if a := l.attempt(k, peer); a != nil {
			a.held, a.named = true, l.beat
			continue
		}
		r.do(Work{To: peer, Msg: work.Stop{Key: k, Why: "the attempt no longer counts"}})
	}
	for _, a := range l.with[peer] {
		if a.named == l.beat || r.now.Mono-a.sent < 2*time.Second || l.reports[a.key] {
			continue
		}
		if j := r.state.Jobs[a.key.Job]; j != nil {
			r.assign(j, a)
		}
	}
}

// assign sends an assignment that is in the log.
func (r *Replica) assign(j *job.Job, a *attempt) {
	a.sent = r.now.Mono
	m := work.Assign{Key: a.key, Term: r.lead.term, Offer: j.Offer, Accepted: j.Accepted, Holders: j.Holders}
	if a.key.Task == job.GatherIndex {
		for i := range j.Spec.Tasks {
			t := &j.Tasks[i]
			if t.Result == nil {
				continue
			}
			m.Inputs = append(m.Inputs, work.TaskOutput{
				Task: int32(i), Attempt: t.Attempt, Fence: t.Fence, CID: t.Result.Output, Holders: t.Result.Holders,
			})
		}
	}
	r.do(Work{To: a.worker, Msg: m})
}

func (r *Replica) startedBy(peer string, k work.Key) {
	l := r.lead
	a := l.attempt(k, peer)
	if a == nil {
		return
	}
	a.held = true
	if t := r.state.Jobs[k.Job].Task(k.Task); t.State != job.Assigned || l.starts[k] {
		return
	}
	if r.propose(&job.Command{Op: job.OpStarted, Job: k.Job, Task: k.Task, Attempt: k.Attempt, Fence: k.Fence}) {
		l.starts[k] = true
	}
}

// report judges how an attempt ended. Only the log decides; a report about an
// attempt that no longer stands is refused at once, since this leader's applied
// state is current.
func (r *Replica) report(peer string, m work.Report) {
	l := r.lead
	a := l.attempt(m.Key, peer)
	if a == nil {
		r.do(Work{To: peer, Msg: work.Ack{Key: m.Key}})
		return
	}
	a.held = true
	if l.reports[m.Key] {
		return
	}
	cmd := &job.Command{Job: m.Key.Job, Task: m.Key.Task, Attempt: m.Key.Attempt, Fence: m.Key.Fence}
	if m.Result != nil {
		cmd.Op, cmd.Result = job.OpDone, m.Result
	} else {
		cmd.Op, cmd.Cause, cmd.Detail = job.OpFail, m.Cause, job.Clip(m.Detail)
	}
	if m.Key.Task == job.GatherIndex {
		for _, o := range m.Missing {
			r.propose(&job.Command{Op: job.OpLost, Job: m.Key.Job, Task: o.Task, Attempt: o.Attempt, Fence: o.Fence})
		}
	}
	if r.propose(cmd) {
		l.reports[m.Key] = true
	}
}
