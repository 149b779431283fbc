package job

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"
)

// Reason codes of refused commands; stable, seen by users.
const (
	ReasonInvalid   = "invalid_offer"
	ReasonExpired   = "expired"
	ReasonBusy      = "busy"
	ReasonUnknown   = "unknown_job"
	ReasonEnded     = "job_ended"
	ReasonStale     = "stale" // the task, attempt or fence is no longer current
	ReasonIllegal   = "illegal_move"
	ReasonExisting  = "existing"   // the offer was accepted, or the round opened, before: a success for its client
	ReasonNotFailed = "not_failed" // a retry of a job that has not failed
	ReasonNotDead   = "not_dead"   // a retry of a task that is not dead
)

// Outcome is what one command did.
type Outcome struct {
	Reason string  // "" when the command took effect
	Events []Event // visible moves, in order
	Job    *Job    // the job concerned, if it is known

	Cut      *Cut    // the batch that the command cut
	Anchored *Anchor // the anchor that it recorded
}

// applying is one application of one command.
type applying struct {
	*State
	term uint64
	cmd  *Command
	out  Outcome
}

// Apply runs the command at (index, term) of the log. It is deterministic:
// equal states and equal entries give equal states and outcomes. A command that
// does not match the state changes nothing but Noops and time.
func (s *State) Apply(index, term uint64, cmd *Command) Outcome {
	s.Index = index
	s.Time = max(s.Time, cmd.At)
	a := &applying{State: s, term: term, cmd: cmd}
	s.encoding.keep(s.Jobs[cmd.Job])
	switch cmd.Op {
	case OpAccept:
		a.out.Reason = a.accept()
	case OpSweep:
		a.sweep()
	case OpCut:
		a.out.Reason = a.cut()
	case OpAnchored:
		a.out.Reason = a.anchored()
	default:
		a.out.Reason = a.onJob()
	}
	if a.out.Reason != "" && a.out.Reason != ReasonExisting {
		s.Noops++
	}
	s.Events = append(s.Events, a.out.Events...)
	if over := len(s.Events) - MaxEvents; over > 0 {
		s.Events = s.Events[over:] // append moves them now and then, not every time
	}
	return a.out
}

func (a *applying) event(j *Job, e Event) {
	e.Index, e.N, e.Job, e.At = a.Index, uint32(len(a.out.Events)), j.ID, a.Time
	a.out.Events = append(a.out.Events, e)
}

func (a *applying) accept() string {
	offer, err := DecodeOffer(a.cmd.Offer)
	if err != nil {
		return ReasonInvalid
	}
	id := offer.ID()
	if j := a.Jobs[id]; j != nil {
		a.out.Job = j
		return ReasonExisting
	}
	if _, gone := a.Tombstones[id]; gone || offer.NotAfter < a.Time {
		return ReasonExpired
	}
	spec, err := offer.decodeSpec()
	if err != nil {
		return ReasonInvalid
	}
	n := int(spec.Tasks)
	if spec.Gather != nil {
		n++
	}
	j := &Job{
		ID: id, Spec: spec, Offer: a.cmd.Offer, ClientKey: offer.ClientKey, NotAfter: offer.NotAfter,
		Term: a.term, Index: a.Index, Accepted: a.Time, Round: 1, Opened: a.Time, Holders: a.cmd.Holders, Tasks: make([]Task, n),
		specHash: sha256.Sum256(offer.Spec),
	}
	j.counts[Queued] = spec.Tasks
	size := j.size()
	if a.Bytes+size > MaxStateBytes || len(a.Anchoring.Leaves) >= MaxLeaves {
		return ReasonBusy
	}
	a.Bytes += size
	a.Jobs[id] = j
	a.order = append(a.order, j)
	a.out.Job = j
	a.event(j, Event{Kind: EventAccepted})
	return ""
}

// size estimates what the job costs in memory and in a snapshot, with room for
// its tasks' results.
func (j *Job) size() int64 { return int64(2*len(j.Offer) + 512 + 400*len(j.Tasks) + j.text) }

func (a *applying) onJob() string {
	j := a.Jobs[a.cmd.Job]
	if j == nil {
		return ReasonUnknown
	}
	a.out.Job = j
	if a.cmd.Op == OpRetry {
		return a.retry(j)
	}
	if j.State.Terminal() {
		return ReasonEnded
	}
	if a.cmd.Op == OpCancel {
		a.end(j, Cancelled, CauseNone, Clip(a.cmd.Detail))
		return ""
	}
	t := j.Task(a.cmd.Task)
	if t == nil {
		return ReasonStale
	}
	if a.cmd.Op == OpAssign {
		return a.assign(j, t)
	}
	if t.Attempt != a.cmd.Attempt || t.Fence != a.cmd.Fence {
		return ReasonStale
	}
	switch a.cmd.Op {
	case OpStarted:
		return a.started(j, t)
	case OpDone:
		return a.done(j, t)
	case OpFail:
		return a.fail(j, t)
	}
	return a.lost(j, t)
}

// position turns the command's wire index into a place in Tasks.
func (a *applying) position(j *Job) int {
	if a.cmd.Task == GatherIndex {
		return len(j.Tasks) - 1
	}
	return int(a.cmd.Task)
}

func (a *applying) taskEvent(j *Job, t *Task, kind Kind) {
	a.event(j, Event{Kind: kind, Task: a.cmd.Task, Attempt: t.Attempt, Worker: t.Worker})
}

func (a *applying) assign(j *Job, t *Task) string {
	if !j.Eligible(a.cmd.Task, a.Time) || a.cmd.Attempt != t.Attempt+1 || a.cmd.Worker == "" {
		return ReasonStale
	}
	if !j.moveTask(a.position(j), Assigned) {
		return ReasonIllegal
	}
	t.Attempt, t.Fence, t.Worker = a.cmd.Attempt, a.Index, a.cmd.Worker
	t.Assigned, t.Started, t.Ended, t.NotBefore = a.Time, 0, 0, 0
	if j.State == Pending {
		j.moveJob(Running)
		j.Begun = a.Time
		a.event(j, Event{Kind: EventRunning})
	}
	a.taskEvent(j, t, EventAssigned)
	a.record(j, a.cmd.Task, LeafAssignment)
	return ""
}

func (a *applying) started(j *Job, t *Task) string {
	if t.State != Assigned || !j.moveTask(a.position(j), TaskRunning) {
		return ReasonStale
	}
	t.Started = a.Time
	a.taskEvent(j, t, EventStarted)
	return ""
}

func (a *applying) done(j *Job, t *Task) string {
	if a.cmd.Result == nil {
		return ReasonInvalid
	}
	if t.State == Assigned { // the word that it started was overtaken
		a.started(j, t)
	}
	if t.State != TaskRunning || !j.moveTask(a.position(j), Done) {
		return ReasonStale
	}
	t.Result, t.Ended = a.cmd.Result, a.Time
	a.taskEvent(j, t, EventDone)
	switch {
	case a.cmd.Task == GatherIndex:
		a.end(j, Completed, CauseNone, "")
	case j.counts[Done] == j.Spec.Tasks && j.Gather() == nil:
		a.end(j, Completed, CauseNone, "")
	case j.counts[Done] == j.Spec.Tasks:
		j.moveJob(Assembling)
		a.event(j, Event{Kind: EventAssembling})
	default:
		a.endIfExhausted(j, false)
	}
	return ""
}

func (a *applying) fail(j *Job, t *Task) string {
	started := t.State == TaskRunning
	if !started && t.State != Assigned {
		return ReasonStale
	}
	c := a.cmd.Cause
	again := t.again(c.Class(started), &j.Spec.Policy)
	a.keep(j, t, AttemptError{Attempt: t.Attempt, Worker: t.Worker, Cause: c, Detail: Clip(a.cmd.Detail), At: a.Time})
	to, kind := Queued, EventRequeued
	if !again {
		to, kind = Dead, EventDead
	}
	if !j.moveTask(a.position(j), to) {
		return ReasonIllegal
	}
	t.Ended, t.DeadLetter = a.Time, !again
	t.NotBefore = a.Time + backoff(t, c).Milliseconds()
	a.event(j, Event{Kind: kind, Task: a.cmd.Task, Attempt: t.Attempt, Worker: t.Worker, Cause: c, Detail: Clip(a.cmd.Detail)})
	a.endIfExhausted(j, !again)
	return ""
}

// backoff is how long a task waits before its next attempt: nothing after a
// lapse or a hand-back, since the fault left with the worker; otherwise half a
// second, doubled with every failure, at most one minute.
func backoff(t *Task, c Cause) time.Duration {
	switch c {
	case CauseLapse, CauseDrained, CauseOutputs:
		return 0
	case CauseRefused:
		return 100 * time.Millisecond
	}
	n := min(t.Failures+t.Lost, 8)
	return min(time.Minute, 250*time.Millisecond<<n)
}

// endIfExhausted fails the job when a dead task decides it: one that has just
// died, unless the job keeps going, and in any case when nothing else is left to
// do. The dead letters of earlier rounds wait for that end.
func (a *applying) endIfExhausted(j *Job, died bool) {
	at := -1
	switch {
	case died && (a.cmd.Task == GatherIndex || !j.Spec.Policy.KeepGoing):
		at = a.position(j)
	case j.counts[Dead] > 0 && j.counts[Dead]+j.counts[Done] == j.Spec.Tasks:
		at = slices.IndexFunc(j.Tasks, func(t Task) bool { return t.State == Dead })
	default:
		return // the other tasks go on
	}
	why, cause := "retries are spent", CauseNone
	if n := len(j.Tasks[at].Errors); n > 0 {
		e := j.Tasks[at].Errors[n-1]
		why, cause = fmt.Sprintf("attempt %d: %s: %s", e.Attempt, e.Cause, e.Detail), e.Cause
	}
	name := fmt.Sprintf("task %d", at)
	if j.WireIndex(at) == GatherIndex {
		name = "gather task"
	}
	a.end(j, Failed, cause, Clip(name+" is dead: "+why))
}

// lost puts a done task back in the queue because its outputs can be fetched
// nowhere. It costs no retry.
func (a *applying) lost(j *Job, t *Task) string {
	if t.State != Done || a.cmd.Task == GatherIndex || !j.moveTask(a.position(j), Queued) {
		return ReasonStale
	}
	t.Result, t.NotBefore = nil, a.Time
	a.event(j, Event{Kind: EventRequeued, Task: a.cmd.Task, Attempt: t.Attempt, Worker: t.Worker, Cause: CauseOutputs})
	if j.State == Assembling {
		j.moveJob(Running)
		a.event(j, Event{Kind: EventRunning})
		// A gather attempt under way lacks an input: it is handed back.
		g, last := j.Gather(), len(j.Tasks)-1
		if g.State == Assigned || g.State == TaskRunning {
			j.moveTask(last, Queued)
			g.NotBefore = a.Time
			a.event(j, Event{Kind: EventRequeued, Task: GatherIndex, Attempt: g.Attempt, Worker: g.Worker, Cause: CauseOutputs})
		}
	}
	return ""
}

// end makes a job terminal. Tasks that are not done are dead from here on;
// their workers are told to stop by the leader.
func (a *applying) end(j *Job, to JobState, cause Cause, reason string) {
	if to == Completed && j.State == Pending {
		return
	}
	a.encoding.keep(j) // a sweep's command names no job
	if !j.moveJob(to) {
		return
	}
	j.Reason, j.Cause, j.Ended = reason, cause, a.Time
	for i := range j.Tasks {
		if s := j.Tasks[i].State; s != Done && s != Dead {
			j.moveTask(i, Dead)
			j.Tasks[i].Ended = a.Time
		}
	}
	if to == Completed {
		a.settle(j)
	}
	kind := map[JobState]Kind{Completed: EventCompleted, Failed: EventFailed, Cancelled: EventCancelled}[to]
	a.event(j, Event{Kind: kind, Cause: cause, Detail: reason})
}

// sweep lets deadlines pass and forgets what is due, in order of acceptance.
func (a *applying) sweep() {
	a.encoding.keepTail()
	var gone []ID
	for _, j := range a.order {
		due := j.Due()
		switch {
		case !j.State.Terminal() && due > 0 && a.Time > due:
			a.end(j, Failed, CauseDeadline, fmt.Sprintf("the job's deadline of %v has passed", j.Spec.Policy.Deadline))
		case j.State.Terminal() && a.Time > j.KeptUntil():
			if j.State != Completed {
				a.settle(j)
			}
			delete(a.Jobs, j.ID)
			a.Bytes -= j.size()
			gone = append(gone, j.ID)
		}
	}
	a.order = slices.DeleteFunc(a.order, func(j *Job) bool { return a.Jobs[j.ID] != j })
	a.bury(gone)
}

// KeptUntil returns the shard time until which a terminal job is kept.
func (j *Job) KeptUntil() int64 {
	return max(j.NotAfter, j.Ended) + Retention.Milliseconds()
}
