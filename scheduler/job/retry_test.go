package job

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestEveryClassUnderEveryPolicy fails one attempt of every cause under each of
// the sixteen policies: whose account it is, whether there is another attempt,
// and when.
func TestEveryClassUnderEveryPolicy(t *testing.T) {
	const (
		chosen = iota // tried again when the policy says so
		always
		never
	)
	tests := []struct {
		cause   Cause
		started bool
		class   Class
		policy  int
		wait    time.Duration
	}{
		{CauseExit, true, ClassFailed, chosen, 500 * time.Millisecond},
		{CauseTrap, true, ClassTrapped, chosen, 500 * time.Millisecond},
		{CauseMemory, true, ClassCapped, chosen, 500 * time.Millisecond},
		{CauseOutBytes, true, ClassCapped, chosen, 500 * time.Millisecond},
		{CauseOutFiles, true, ClassCapped, chosen, 500 * time.Millisecond},
		{CauseTimeout, true, ClassTimeout, chosen, 500 * time.Millisecond},
		{CauseModule, true, ClassModule, never, 0},
		{CauseModule, false, ClassModule, never, 0},
		{CauseRetry, true, ClassAsked, always, 500 * time.Millisecond},
		{CauseLapse, true, ClassSilent, always, 0},
		{CauseLapse, false, ClassTransient, always, 0},
		{CauseRefused, false, ClassTransient, always, 100 * time.Millisecond},
		{CauseInputs, true, ClassTransient, always, 500 * time.Millisecond},
		{CauseNode, true, ClassTransient, always, 500 * time.Millisecond},
		{CauseDrained, true, ClassTransient, always, 0},
		{CauseOutputs, true, ClassTransient, always, 0},
	}
	covered := map[Cause]bool{CauseNone: true, CauseDeadline: true} // these end no attempt
	for _, tt := range tests {
		covered[tt.cause] = true
		if got := tt.cause.Class(tt.started); got != tt.class {
			t.Errorf("%v, started %v, is %v, want %v", tt.cause, tt.started, got, tt.class)
		}
		for on := Classes(0); on <= AllClasses; on++ {
			again := tt.policy == always || tt.policy == chosen && on.Has(tt.class)
			t.Run(fmt.Sprintf("%v started=%v retryOn=%v", tt.cause, tt.started, on.Names()), func(t *testing.T) {
				l, s := newLog(t), plainSpec(1)
				s.Policy.RetryOn = on
				j := l.accept(s)
				l.assign(j, 0)
				if tt.started {
					l.must(on0(j, OpStarted))
				}
				l.fail(j, 0, tt.cause)
				checkFailed(t, l, j, again, tt.wait)
				if lost := tt.class == ClassTransient; (j.Task(0).Lost == 1) != lost || (j.Task(0).Failures == 1) == lost {
					t.Errorf("failures %d, lost %d", j.Task(0).Failures, j.Task(0).Lost)
				}
			})
		}
	}
	for c := range causeNames {
		if !covered[Cause(c)] {
			t.Errorf("no test of cause %v", Cause(c))
		}
	}
}

func on0(j *Job, op Op) Command { return on(j, op, 0) }

func checkFailed(t *testing.T, l *log, j *Job, again bool, wait time.Duration) {
	t.Helper()
	task := j.Task(0)
	if task.DeadLetter == again || (task.State == Queued) != again || (j.State == Failed) == again {
		t.Fatalf("task is %v (dead letter %v), job %v; want another attempt: %v", task.State, task.DeadLetter, j.State, again)
	}
	if !again {
		if e := task.Errors[0]; !strings.Contains(j.Reason, e.Cause.String()) || j.Cause != e.Cause {
			t.Errorf("the job's reason is %v: %q", j.Cause, j.Reason)
		}
		return
	}
	if got := time.Duration(task.NotBefore-l.state.Time) * time.Millisecond; got != wait {
		t.Errorf("back-off %v, want %v", got, wait)
	}
	if j.Eligible(0, task.NotBefore-1) || !j.Eligible(0, task.NotBefore) {
		t.Error("eligibility does not follow the back-off")
	}
}

func TestClassNames(t *testing.T) {
	if got := strings.Join(Classes(AllClasses).Names(), " "); got != "failed trapped capped timeout" {
		t.Error(got)
	}
	for c := ClassFailed; c <= ClassTransient; c++ {
		if got, ok := ParseClass(c.String()); ok != (c <= ClassTimeout) || ok && got != c {
			t.Errorf("%v is parsed as %v, %v", c, got, ok)
		}
	}
}

func (l *log) retry(j *Job, task int32, round uint32) string {
	l.t.Helper()
	return l.put(Command{Op: OpRetry, Job: j.ID, Task: task, Attempt: round})
}

// TestRetryOpensARound: counters begin anew, attempts and errors go on, and the
// same command again changes nothing.
func TestRetryOpensARound(t *testing.T) {
	l, s := newLog(t), plainSpec(3)
	s.Gather = &Gather{}
	j := l.accept(s)
	l.run(j, 0)
	l.done(j, 0)
	l.run(j, 1)
	if why := l.retry(j, AllTasks, 2); why != ReasonNotFailed {
		t.Fatalf("a running job is retried: %q", why)
	}
	l.run(j, 2)
	l.fail(j, 2, CauseExit)
	l.want(j, Failed, 1, Dead)
	if !j.Task(2).DeadLetter || j.Task(1).DeadLetter {
		t.Error("only the task that failed is a dead letter")
	}
	for _, round := range []uint32{0, 1, 3} {
		if why := l.retry(j, AllTasks, round); why != ReasonStale {
			t.Errorf("round %d is opened behind round 1: %q", round, why)
		}
	}
	late := on(j, OpDone, 1)
	late.Result = sampleResult()
	if why := l.retry(j, AllTasks, 2); why != "" || l.kinds() != "retried" {
		t.Fatalf("%q, events %s", why, l.kinds())
	}
	l.want(j, Running, 0, Done)
	l.want(j, Running, 1, Queued)
	l.want(j, Running, 2, Queued)
	if j.Round != 2 || j.Reason != "" || j.Ended != 0 || j.Task(2).Failures != 0 || j.Task(2).Attempt != 1 || len(j.Task(2).Errors) != 1 {
		t.Errorf("%+v", j)
	}
	if why := l.put(late); why != ReasonStale {
		t.Errorf("a result of the round before: %q", why)
	}
	noops := l.state.Noops
	if why := l.retry(j, AllTasks, 2); why != ReasonExisting || l.state.Noops != noops || len(l.last.Events) > 0 {
		t.Errorf("the same retry again: %q", why)
	}
	l.run(j, 2)
	l.fail(j, 2, CauseTimeout) // one retry in the new round as well
	l.want(j, Running, 2, Queued)
	for i := int32(1); i < 3; i++ {
		l.run(j, i)
		l.done(j, i)
	}
	l.run(j, GatherIndex)
	l.done(j, GatherIndex)
	if j.State != Completed || j.Task(2).Attempt != 3 {
		t.Errorf("%v, attempt %d", j.State, j.Task(2).Attempt)
	}
	if why := l.retry(j, AllTasks, 3); why != ReasonNotFailed {
		t.Errorf("a completed job is retried: %q", why)
	}
}

// TestRetryOneTask leaves other dead letters dead; the job ends failed again
// only when nothing else is left to do.
func TestRetryOneTask(t *testing.T) {
	for _, keepGoing := range []bool{false, true} {
		l, s := newLog(t), plainSpec(3)
		s.Policy.KeepGoing = true
		j := l.accept(s)
		for i := range int32(2) {
			l.run(j, i)
			l.fail(j, i, CauseExit)
		}
		l.run(j, 2)
		l.done(j, 2)
		l.want(j, Failed, 0, Dead)
		j.Spec.Policy.KeepGoing = keepGoing
		for _, task := range []int32{2, 3, GatherIndex} {
			if why := l.retry(j, task, 2); why != ReasonNotDead {
				t.Errorf("task %d is retried: %q", task, why)
			}
		}
		if why := l.retry(j, 1, 2); why != "" {
			t.Fatal(why)
		}
		l.want(j, Running, 0, Dead)
		l.want(j, Running, 1, Queued)
		l.run(j, 1)
		l.done(j, 1)
		l.want(j, Failed, 1, Done)
		if !strings.HasPrefix(j.Reason, "task 0 is dead") {
			t.Error(j.Reason)
		}
		l.must(Command{Op: OpRetry, Job: j.ID, Task: AllTasks, Attempt: 3})
		l.run(j, 0)
		l.done(j, 0)
		l.want(j, Completed, 0, Done)
	}
}

// TestRetryOfGather: when only the gather task is dead the job goes back to
// assembling.
func TestRetryOfGather(t *testing.T) {
	l, s := newLog(t), plainSpec(1)
	s.Gather = &Gather{}
	j := l.accept(s)
	l.run(j, 0)
	l.done(j, 0)
	l.run(j, GatherIndex)
	l.fail(j, GatherIndex, CauseTrap)
	if j.State != Failed || !strings.HasPrefix(j.Reason, "gather task is dead") {
		t.Fatalf("%v: %s", j.State, j.Reason)
	}
	l.must(Command{Op: OpRetry, Job: j.ID, Task: GatherIndex, Attempt: 2})
	l.want(j, Assembling, GatherIndex, Queued)
	l.run(j, GatherIndex)
	l.done(j, GatherIndex)
	l.want(j, Completed, GatherIndex, Done)
}

// TestRetryAfterTheDeadline gives the new round the whole deadline, and a job
// whose first task was never assigned is pending again.
func TestRetryAfterTheDeadline(t *testing.T) {
	l, s := newLog(t), plainSpec(1)
	s.Policy.Deadline = time.Minute
	j := l.accept(s)
	l.must(Command{Op: OpSweep, At: 61_001})
	if j.Cause != CauseDeadline || j.Task(0).DeadLetter {
		t.Errorf("%v, dead letter %v", j.Cause, j.Task(0).DeadLetter)
	}
	l.must(Command{Op: OpRetry, At: 100_000, Job: j.ID, Task: AllTasks, Attempt: 2})
	l.want(j, Pending, 0, Queued)
	if j.Due() != 160_000 {
		t.Errorf("due at %d", j.Due())
	}
	l.must(Command{Op: OpSweep, At: 160_000})
	l.want(j, Pending, 0, Queued)
	l.must(Command{Op: OpSweep, At: 160_001})
	l.want(j, Failed, 0, Dead)
}

// TestErrorTextIsBounded: details beyond the job's budget are cut to a few
// words, and the state's size counts what is kept.
func TestErrorTextIsBounded(t *testing.T) {
	l, s := newLog(t), plainSpec(400)
	s.Policy.KeepGoing = true
	j := l.accept(s)
	before := l.state.Bytes
	for i := range int32(400) {
		l.run(j, i)
		c := on(j, OpFail, i)
		c.Cause, c.Detail = CauseExit, strings.Repeat("x", 2*MaxErrorText)
		l.must(c)
	}
	if j.text < MaxJobErrorText || j.text > MaxJobErrorText+400*64+MaxErrorText || l.state.Bytes != before+int64(j.text) {
		t.Errorf("%d bytes kept, the state grew by %d", j.text, l.state.Bytes-before)
	}
	if last := j.Task(399).Errors[0].Detail; len(last) != 64 || !strings.HasSuffix(last, " ...") {
		t.Errorf("%q", last)
	}
}
