package job

import "fmt"

// Class groups the causes that a retry policy tells apart.
type Class uint8

// The classes. Which of the first four are tried again is the spec's to say
// (Policy.RetryOn); the others are the same for every job.
const (
	ClassFailed    Class = iota // the program exited with a code other than 0 and 75
	ClassTrapped                // the program did what no program may
	ClassCapped                 // it ran into a cap: memory, bytes or files of /out
	ClassTimeout                // the attempt's time ran out; the machine may have been slow
	ClassModule                 // there is no program: never tried again
	ClassAsked                  // the program asked for another try (exit 75): always tried again
	ClassSilent                 // the worker fell silent while it ran: always tried again
	ClassTransient              // nobody's fault: always tried again, up to LostCap per round
)

var classNames = [...]string{"failed", "trapped", "capped", "timeout", "module", "asked", "silent", "transient"}

// String returns the name that users see.
func (c Class) String() string { return classNames[c] }

// Class returns the class of a cause that ended an attempt; started says whether
// the worker had begun to run it.
func (c Cause) Class(started bool) Class {
	switch c {
	case CauseExit:
		return ClassFailed
	case CauseTrap:
		return ClassTrapped
	case CauseMemory, CauseOutBytes, CauseOutFiles:
		return ClassCapped
	case CauseModule:
		return ClassModule
	case CauseRetry:
		return ClassAsked
	case CauseTimeout:
		return ClassTimeout
	case CauseLapse:
		if started {
			return ClassSilent
		}
	}
	return ClassTransient
}

// Classes is a set of the classes that a spec may choose.
type Classes uint8

// Sets of classes. DefaultRetryOn is what a document means that names none: what
// fails by the program's own doing would fail again elsewhere.
const (
	Deterministic  = 1<<ClassFailed | 1<<ClassTrapped | 1<<ClassCapped
	AllClasses     = Deterministic | 1<<ClassTimeout
	DefaultRetryOn = Classes(1 << ClassTimeout)
)

// Has says whether the set holds a class.
func (s Classes) Has(c Class) bool { return s&(1<<c) != 0 }

// Names returns the names of the classes in the set, in order.
func (s Classes) Names() []string {
	out := []string{}
	for c := ClassFailed; c <= ClassTimeout; c++ {
		if s.Has(c) {
			out = append(out, c.String())
		}
	}
	return out
}

// ParseClass reads the name of a class that a spec may choose.
func ParseClass(name string) (Class, bool) {
	for c := ClassFailed; c <= ClassTimeout; c++ {
		if c.String() == name {
			return c, true
		}
	}
	return 0, false
}

// again says whether an attempt that ended with a class of cause is followed by
// another, and counts it.
func (t *Task) again(c Class, p *Policy) bool {
	if c == ClassTransient {
		t.Lost++
		return t.Lost < LostCap
	}
	t.Failures++
	if c == ClassModule || c <= ClassTimeout && !p.RetryOn.Has(c) {
		return false
	}
	return t.Failures <= p.Retries
}

// keep notes why an attempt ended. A task keeps the newest MaxErrors; once a job
// keeps MaxJobErrorText bytes of details, further ones are cut to a few words.
func (a *applying) keep(j *Job, t *Task, e AttemptError) {
	if j.text >= MaxJobErrorText {
		e.Detail = clipTo(e.Detail, 64)
	}
	t.Errors = append(t.Errors, e)
	grown := len(e.Detail)
	if over := len(t.Errors) - MaxErrors; over > 0 {
		for _, old := range t.Errors[:over] {
			grown -= len(old.Detail)
		}
		t.Errors = t.Errors[over:]
	}
	j.text += grown
	a.Bytes += int64(grown)
}

// retry opens the next round of a failed job: its dead tasks are queued again
// with nothing counted against them, and its deadline begins anew. The command
// names the round that it makes (Attempt), so that a repeated one opens no other.
// With a Task the dead letters of other tasks stay dead; what only ended with the
// job is opened with it.
func (a *applying) retry(j *Job) string {
	only := a.cmd.Task
	switch {
	case a.cmd.Attempt == j.Round && j.Round > 1:
		return ReasonExisting
	case j.State != Failed:
		return ReasonNotFailed
	case a.cmd.Attempt != j.Round+1:
		return ReasonStale
	}
	if only != AllTasks {
		if t := j.Task(only); t == nil || t.State != Dead {
			return ReasonNotDead
		}
	}
	to := Running
	switch {
	case j.counts[Done] == j.Spec.Tasks:
		to = Assembling
	case j.Begun == 0:
		to = Pending
	}
	if !j.moveJob(to) {
		return ReasonIllegal
	}
	if len(a.cmd.Holders) > 0 {
		j.Holders = a.cmd.Holders
	}
	j.Round++
	j.Opened, j.Ended, j.Reason, j.Cause = a.Time, 0, "", CauseNone
	for i := range j.Tasks {
		t := &j.Tasks[i]
		if t.State != Dead || only != AllTasks && t.DeadLetter && j.WireIndex(i) != only || !j.moveTask(i, Queued) {
			continue
		}
		t.Failures, t.Lost, t.NotBefore, t.DeadLetter, t.Ended = 0, 0, a.Time, false, 0
	}
	a.event(j, Event{Kind: EventRetried, Detail: fmt.Sprintf("round %d", j.Round)})
	return ""
}

// Due returns the shard time at which the job's deadline passes; 0: never.
func (j *Job) Due() int64 {
	if j.Spec.Policy.Deadline <= 0 {
		return 0
	}
	return j.Opened + j.Spec.Policy.Deadline.Milliseconds()
}
