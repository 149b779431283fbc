package worker

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// assign takes an attempt that is in the log, or says why not.
func (w *Worker) assign(s *shard, m work.Assign) {
	k := m.Key
	if r := w.reports[k]; r != nil {
		w.sendReport(s, r)
		return
	}
	if w.find(k) != nil {
		return // held; the heartbeat says so
	}
	if newest := w.newest(k); k.Fence <= newest {
		w.refuse(s, k, fmt.Sprintf("attempt with fence %d has ended here or is older than fence %d", k.Fence, newest))
		return
	}
	need, err := w.need(m)
	if err != nil {
		w.refuse(s, k, err.Error())
		return
	}
	w.supersede(k)
	booked := w.booking(k)
	if booked >= 0 {
		w.unbook(booked)
	}
	switch {
	case booked < 0 && w.draining:
		w.refuse(s, k, "the worker is draining")
		return
	case !w.fits(need):
		w.hunger(s)
		w.refuse(s, k, "the worker has no room for it now")
		return
	}
	w.take(need)
	w.learn(k)
	w.attempts = append(w.attempts, &attempt{key: k, shard: s.id, need: need})
	w.do(Run{Shard: s.id, Assign: m, Need: need})
}

// newest is the highest fence known for the attempt's task.
func (w *Worker) newest(k work.Key) uint64 {
	n := w.fences[taskOf(k)]
	for _, a := range w.attempts {
		if taskOf(a.key) == taskOf(k) {
			n = max(n, a.key.Fence)
		}
	}
	return n
}

// need reads what the attempt needs from its offer, which it must belong to.
func (w *Worker) need(m work.Assign) (job.Resources, error) {
	offer, err := job.DecodeOffer(m.Offer)
	if err != nil {
		return job.Resources{}, err
	}
	spec, err := job.DecodeSpec(offer.Spec)
	switch {
	case err != nil:
		return job.Resources{}, err
	case offer.ID() != m.Key.Job:
		return job.Resources{}, errors.New("the offer is another job's")
	case !slices.Contains(w.cfg.Capability.Executors, spec.Executor):
		return job.Resources{}, fmt.Errorf("this worker has no executor %q", spec.Executor)
	case m.Key.Task == job.GatherIndex && spec.Gather != nil:
		return spec.GatherNeed(), nil
	case m.Key.Task < 0 || m.Key.Task >= int32(spec.Tasks):
		return job.Resources{}, fmt.Errorf("the job has no task %d", m.Key.Task)
	}
	return spec.Need, nil
}

// supersede ends what is older than k of the same task.
func (w *Worker) supersede(k work.Key) {
	if w.newest(k) == 0 {
		return // the task was never here, as is usual
	}
	for _, a := range w.attempts {
		if taskOf(a.key) == taskOf(k) {
			w.kill(a, fmt.Sprintf("attempt %d of the task was assigned", k.Attempt))
		}
	}
	for _, s := range w.shards {
		for _, r := range slices.Clone(s.kept) {
			if taskOf(r.Key) == taskOf(k) {
				w.forget(r)
			}
		}
	}
}

func (w *Worker) kill(a *attempt, why string) {
	if !a.stopped {
		a.stopped = true
		w.do(Kill{Key: a.key, Why: why})
	}
}

func (w *Worker) find(k work.Key) *attempt {
	if i := w.position(k); i >= 0 {
		return w.attempts[i]
	}
	return nil
}

func (w *Worker) position(k work.Key) int {
	return slices.IndexFunc(w.attempts, func(a *attempt) bool { return a.key == k })
}

// stop ends an attempt that no longer counts; its place is free when it has
// ended. One that has not come yet is refused when it comes.
func (w *Worker) stop(m work.Stop) {
	if m.Key.Fence > 0 {
		w.learn(m.Key)
	}
	if a := w.find(m.Key); a != nil {
		w.kill(a, m.Why)
	}
	if r := w.reports[m.Key]; r != nil {
		w.forget(r)
	}
}

func (w *Worker) started(k work.Key) {
	if a := w.find(k); a != nil && !a.stopped {
		a.started = true
		w.send(w.shard(a.shard), work.Started{Key: k})
	}
}

func (w *Worker) progressed(ev Progressed) {
	if a := w.find(ev.Key); a != nil && !a.stopped {
		w.send(w.shard(a.shard), work.Progress{Key: ev.Key, Permille: min(1000, ev.Permille), Text: ev.Text})
	}
}

// finished frees the place and, unless nobody wants to know, keeps the report
// and sends it.
func (w *Worker) finished(ev Finished) {
	i := w.position(ev.Key)
	if i < 0 {
		return
	}
	a := w.attempts[i]
	w.attempts = slices.Delete(w.attempts, i, i+1)
	w.give(a.need)
	s := w.shard(a.shard)
	if !a.stopped {
		ev.Report.Key = ev.Key
		if ev.Report.Result == nil && ev.Report.Cause == job.CauseNone {
			ev.Report.Cause = job.CauseNode
		}
		w.keep(s, ev.Report)
	}
	w.freed(s)
}

// handBack reports all that runs as drained, before it is killed.
func (w *Worker) handBack() {
	w.draining = true
	for len(w.bookings) > 0 {
		w.unbook(0)
	}
	for _, a := range w.attempts {
		if !a.stopped {
			w.keep(w.shard(a.shard), work.Report{Key: a.key, Cause: job.CauseDrained, Detail: "the worker shuts down"})
			w.kill(a, "the worker shuts down")
		}
	}
	w.beatSoon(0)
}
