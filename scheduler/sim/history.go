package sim

import (
	"fmt"
	"math"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// Deed is one operation of a client on one job, as the client saw it.
type Deed struct {
	Kind  string        // submit, cancel, retry or read
	Call  time.Duration // when it asked
	Done  time.Duration // when it had the answer
	Known bool          // false: no answer, or one that leaves the outcome open; it may take effect at any later time

	Index uint64       // submit: of the acceptance; read: likewise, 0 if the job was not there
	State job.JobState // read: if Index is not 0
	Late  bool         // cancel: the job had ended already; retry: it had not failed
}

// jobModel is what a client knows of a job if all operations happen one after
// another.
type jobModel struct {
	there   bool
	index   uint64 // of the acceptance; 0: not known yet
	ended   bool
	how     job.JobState // if ended and known
	settled bool         // how is known
	again   bool         // its second round was opened
}

// step says whether an operation may happen in a state and what follows. A job
// may end by itself at any time, so a read may find it ended that was not; once
// ended it stays as it is, unless it has failed and is retried.
func (m jobModel) step(d Deed) (bool, jobModel) {
	switch d.Kind {
	case "submit":
		if !d.Known {
			m.there = true
			return true, m
		}
		if m.there && m.index != 0 && m.index != d.Index {
			return false, m
		}
		m.there, m.index = true, d.Index
		return true, m
	case "cancel":
		return m.cancel(d)
	case "retry":
		return m.retry(d)
	}
	if !d.Known {
		return true, m
	}
	return m.read(d)
}

func (m jobModel) cancel(d Deed) (bool, jobModel) {
	switch {
	case !d.Known:
		if m.there && !m.ended { // it takes effect here; if it never does, it stands at the end of all
			m.ended, m.settled, m.how = true, true, job.Cancelled
		}
		return true, m
	case !m.there:
		return false, m
	case d.Late: // ended, nobody has said how
		m.ended = true
		return true, m
	case m.ended:
		return false, m
	}
	m.ended, m.settled, m.how = true, true, job.Cancelled
	return true, m
}

// retry opens the one further round that clients ask for.
func (m jobModel) retry(d Deed) (bool, jobModel) {
	failed := !m.ended || !m.settled || m.how == job.Failed // or has failed by then
	switch {
	case !m.there:
		return !d.Known, m
	case d.Known && d.Late: // it had not failed
		return !m.ended || !m.settled || m.how != job.Failed, m
	case m.again: // opened before
		return true, m
	case failed:
		m.ended, m.settled, m.again = false, false, true
		return true, m
	}
	return !d.Known, m
}

func (m jobModel) read(d Deed) (bool, jobModel) {
	switch {
	case d.Index == 0:
		return !m.there, m
	case !m.there || m.index != 0 && m.index != d.Index:
		return false, m
	case !d.State.Terminal():
		m.index = d.Index
		return !m.ended, m
	case m.settled && m.how != d.State:
		return false, m
	}
	m.index, m.ended, m.settled, m.how = d.Index, true, true, d.State
	return true, m
}

// checkPatience bounds the search for an order, on the wall clock: a history for
// which none is found in that time is not called wrong.
const checkPatience = 2 * time.Second

// Linearizable says whether the operations on one job, as clients saw them, can
// have happened one after another, each between its call and its answer. decided
// is false if the search took too long.
func Linearizable(history []Deed) (ok, decided bool) {
	model := porcupine.Model{
		Init: func() any { return jobModel{} },
		Step: func(state, input, _ any) (bool, any) {
			ok, next := state.(jobModel).step(input.(Deed))
			return ok, next
		},
	}
	ops := make([]porcupine.Operation, 0, len(history))
	for _, d := range history {
		end := int64(math.MaxInt64)
		if d.Known {
			end = int64(d.Done)
		}
		ops = append(ops, porcupine.Operation{Input: d, Call: int64(d.Call), Return: end})
	}
	switch porcupine.CheckOperationsTimeout(model, ops, checkPatience) {
	case porcupine.Ok:
		return true, true
	case porcupine.Illegal:
		return false, true
	}
	return true, false
}

// linear checks the histories of all jobs.
func (c *client) linear() {
	for _, e := range c.jobs {
		var h []Deed
		for _, d := range e.deeds {
			if d.Known || d.Kind != "read" {
				h = append(h, *d)
			}
		}
		c.w.report.Checked += uint64(len(h))
		if len(h) < 2 {
			continue
		}
		ok, decided := Linearizable(h)
		if !decided {
			c.w.effect("histories too long to check")
		}
		if !ok {
			c.w.violate("linear", "what clients saw of job %s cannot have happened in any order: %s", e.id.Short(), historyText(h))
		}
	}
}

func historyText(h []Deed) string {
	out := ""
	for _, d := range h {
		out += fmt.Sprintf("[%v..%v %s known %v index %d state %v late %v] ", d.Call, d.Done, d.Kind, d.Known, d.Index, d.State, d.Late)
	}
	return out
}

// learn notes what an answer tells the client of its operation. not_leader and
// unavailable leave the outcome open; busy means that nothing was done.
func (d *Deed) learn(r *request, a shard.Answer, now time.Duration) {
	if d.Known {
		return
	}
	switch {
	case a.Reason == "" && r.kind == askSubmit:
		d.Index = a.Index
	case a.Reason == "" && r.kind == askRead && !r.forgotten:
		d.Index, d.State = r.sawIndex, r.sawState
	case a.Reason == "" && (r.kind == askCancel || r.kind == askRetry):
	case a.Reason == job.ReasonEnded && r.kind == askCancel, a.Reason == job.ReasonNotFailed && r.kind == askRetry:
		d.Late = true
	default:
		return
	}
	d.Known, d.Done = true, now
}
