package shard

import (
	"fmt"
	"slices"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/work"
)

// WorkerView is an attached worker as its leader sees it.
type WorkerView struct {
	Peer       string
	Capability work.Capability
	Free       job.Resources
	Draining   bool
	Attempts   int // that stand with it in this shard
}

// Workers returns the attached workers by peer id; nil unless this replica
// leads.
func (r *Replica) Workers() []WorkerView {
	if r.lead == nil {
		return nil
	}
	held := map[string]int{}
	for _, a := range r.lead.standing(anyAttempt) {
		held[a.worker]++
	}
	out := make([]WorkerView, 0, len(r.lead.workers))
	for _, w := range r.lead.workers {
		out = append(out, WorkerView{
			Peer: w.view.ID, Capability: w.view.Cap, Free: w.view.Free, Draining: w.view.Draining, Attempts: held[w.view.ID],
		})
	}
	return out
}

// Attached says whether a worker is attached to this replica as leader.
func (r *Replica) Attached(peer string) bool {
	return r.lead != nil && r.lead.worker(peer) != nil
}

// Health says how complete the group is.
type Health struct {
	Voters    int
	Wanted    int  // voters that the known coordinators allow; 0 unless this replica leads
	Live      int  // voters heard lately
	Mine      bool // this replica leads and is ready
	Leader    string
	Applied   uint64
	FirstKept uint64 // of the log
	Jobs      int
	Noops     uint64
}

// Health returns the group's completeness as this replica sees it.
func (r *Replica) Health() Health {
	first, err := r.store.FirstIndex()
	if err != nil {
		first = 0 // a memory store has no way to fail
	}
	h := Health{
		Voters: len(r.conf.GetVoters()), Leader: r.led.Leader, Applied: r.state.Index, FirstKept: first,
		Jobs: len(r.state.Jobs), Noops: r.state.Noops,
	}
	if r.lead == nil || !r.lead.ready {
		return h
	}
	h.Mine, h.Wanted = true, max(r.wanted(), h.Voters)
	for _, id := range r.conf.GetVoters() {
		if r.isLive(id) {
			h.Live++
		}
	}
	return h
}

// Waiting codes say what a non-terminal job waits for; stable.
const (
	WaitsWorker  = "no_worker"     // no worker that could ever run it is attached
	WaitsBusy    = "workers_busy"  // those that could are full
	WaitsBackoff = "backoff"       // a failed task pauses before its next attempt
	WaitsTasks   = "tasks_running" // attempts are under way
	WaitsBooking = "being_placed"  // a place is being booked
)

// Explain says what a job waits for: a stable code and a sentence. Only a
// leader knows.
func (r *Replica) Explain(j *job.Job) (code, sentence string) {
	if r.lead == nil || j.State.Terminal() {
		return "", ""
	}
	if busy := j.Count(job.Assigned) + j.Count(job.TaskRunning); busy > 0 {
		return WaitsTasks, fmt.Sprintf("%d of %d tasks are with workers, %d wait", busy, j.Spec.Tasks, j.Count(job.Queued))
	}
	index := slices.IndexFunc(j.Tasks, func(t job.Task) bool { return t.State == job.Queued })
	if index < 0 {
		return WaitsTasks, "the gather task is with a worker"
	}
	wire := j.WireIndex(index)
	if r.lead.bookings[ref{j.ID, wire}] != nil {
		return WaitsBooking, "a place is being booked at a worker"
	}
	if left := j.Tasks[index].NotBefore - r.shardNow; left > 0 {
		return WaitsBackoff, fmt.Sprintf("the next attempt of task %d starts in %d ms", wire, left)
	}
	table := make([]match.Worker, 0, len(r.lead.workers))
	for _, w := range r.lead.workers {
		table = append(table, w.view)
	}
	return explainTally(match.Tally(j.Spec, j.Need(wire), table), len(table))
}

func explainTally(counts []match.Count, workers int) (code, sentence string) {
	if workers == 0 {
		return WaitsWorker, "no worker is attached to the shard; start one with: ciro start --join ADDRESS"
	}
	code, sentence = WaitsWorker, fmt.Sprintf("%d workers are attached:", workers)
	for _, c := range counts {
		if c.Why == match.WhyBusy || c.Why == match.Fits {
			code = WaitsBusy
		}
		sentence += fmt.Sprintf(" %d %s;", c.N, c.Why)
	}
	return code, sentence[:len(sentence)-1]
}
