package shard

import (
	"fmt"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
)

// Waiting codes say what a non-terminal job waits for; stable. WaitCodes lists
// them all with their meaning.
const (
	WaitsWorker     = "no_worker"
	WaitsMatch      = "no_match"
	WaitsUnreadable = "constraints_unreadable"
	WaitsBusy       = "workers_busy"
	WaitsReserved   = "place_reserved"
	WaitsTurn       = "in_queue"
	WaitsBooking    = "being_placed"
	WaitsBackoff    = "backoff"
	WaitsTasks      = "tasks_running"
	WaitsLeader     = "no_coordinator" // said by nodes that answer without a leader
)

// WaitCode is a waiting code with its meaning.
type WaitCode struct{ Code, Meaning string }

// WaitCodes returns all waiting codes with their meanings, from the lasting to
// the passing.
func WaitCodes() []WaitCode {
	return []WaitCode{
		{WaitsLeader, "the job's shard has no reachable coordinator; what is shown is the last known state"},
		{WaitsWorker, "no worker is attached to the shard"},
		{WaitsMatch, "workers are attached, but none of them could ever run it"},
		{WaitsUnreadable, "the coordinator cannot read the job's constraints"},
		{WaitsBusy, "the workers that could run it are full, or keep their room for tasks that have waited longer"},
		{WaitsReserved, "it has waited long, so a worker is kept for it until it fits there"},
		{WaitsTurn, "a worker has room; the task's turn has not come yet"},
		{WaitsBackoff, "a task that failed pauses before its next attempt"},
		{WaitsBooking, "a place is being booked at a worker"},
		{WaitsTasks, "attempts are with workers"},
	}
}

// Waiting is what a job waits for.
type Waiting struct {
	Code     string
	Sentence string
	Task     int32 // the first task that waits, by wire index
	match.Explanation
}

// Explain returns the code and sentence of Waiting.
func (r *Replica) Explain(j *job.Job) (code, sentence string) {
	w := r.Waiting(j)
	return w.Code, w.Sentence
}

// Waiting says what a job waits for; without a code when it waits for nothing or
// this replica does not lead. If some of its tasks are with workers and others
// wait, it also says what those wait for.
func (r *Replica) Waiting(j *job.Job) Waiting {
	if r.lead == nil || j.State.Terminal() {
		return Waiting{}
	}
	at := slices.IndexFunc(j.Tasks, func(t job.Task) bool { return t.State == job.Queued })
	if at >= 0 && j.WireIndex(at) == job.GatherIndex && j.State != job.Assembling {
		at = -1 // it waits for the others
	}
	var w Waiting
	if at >= 0 {
		w = r.waiting(j, at)
	}
	busy := j.Count(job.Assigned) + j.Count(job.TaskRunning)
	switch {
	case busy > 0 && at >= 0:
		w.Sentence = fmt.Sprintf("%d of %d tasks are with workers, %d wait: %s", busy, j.Spec.Tasks, j.Count(job.Queued), w.Sentence)
		w.Code = WaitsTasks
	case busy > 0:
		w.Code, w.Sentence = WaitsTasks, fmt.Sprintf("%d of %d tasks are with workers", busy, j.Spec.Tasks)
	case at < 0:
		w.Code, w.Sentence = WaitsTasks, "the gather task is with a worker"
	}
	return w
}

// waiting says what the queued task at a position waits for.
func (r *Replica) waiting(j *job.Job, position int) Waiting {
	l, wire := r.lead, j.WireIndex(position)
	w := Waiting{Task: wire}
	if b := l.bookings[ref{j.ID, wire}]; b != nil && (b.answered || !b.turn) {
		w.Code, w.Sentence = WaitsBooking, "a place is being booked at a worker"
		return w
	}
	if left := j.Tasks[position].NotBefore - r.shardNow; left > 0 {
		w.Code, w.Sentence = WaitsBackoff, fmt.Sprintf("the next attempt of task %d starts in %d ms", wire, left)
		return w
	}
	table := make([]*match.Worker, 0, len(l.workers))
	for _, w := range l.workers {
		table = append(table, &w.view)
	}
	need := j.Need(wire)
	w.Explanation = match.Explain(j.Spec, need, table)
	w.Code, w.Sentence = CodeOf(&w.Explanation), w.Explanation.Sentence(j.Spec, need)
	if w.Code == WaitsTurn {
		w.Sentence += "; tasks before it are placed first"
	}
	if w.Workers == 0 {
		w.Sentence = "no worker is attached to the shard; start one with: ciro start --join ADDRESS"
	}
	if i := slices.IndexFunc(l.reserved, func(v *reservation) bool { return v.task.Job == j.ID }); i >= 0 {
		h := l.reserved[i].w.view.Hold
		w.Code = WaitsReserved
		w.Sentence += fmt.Sprintf("; worker %s is kept for it and has room in at most %v",
			l.reserved[i].w.view.ID, max(0, h.Start-r.now.Mono).Round(time.Second))
	}
	return w
}

// CodeOf is the waiting code that follows from where a task could run.
func CodeOf(e *match.Explanation) string {
	switch {
	case e.Workers == 0:
		return WaitsWorker
	case e.Fit > 0:
		return WaitsTurn
	case e.Full+e.Kept > 0:
		return WaitsBusy
	case len(e.Excluded) > 0 && e.Excluded[0].Why == match.WhyUnreadable:
		return WaitsUnreadable
	}
	return WaitsMatch
}
