package job

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const hour = int64(time.Hour / time.Millisecond)

// sampleSpec is a valid spec that uses every field.
func sampleSpec() *Spec {
	return &Spec{
		Name: "render", Type: "render3d", Executor: "wasm", Module: "bafymodule", ModuleLen: 2 << 20,
		Args: []string{"-w", "640"}, Env: []Pair{{"A", "1"}, {"B", ""}}, Tasks: 3,
		Gather: &Gather{Args: []string{"join"}, Need: Resources{CPU: 500, Memory: 1 << 20}},
		Inputs: []Input{{Name: "mesh.obj", CID: "bafyinput", Size: 77}},
		Need:   Resources{CPU: 1000, Memory: 64 << 20, Disk: 1 << 20, GPUs: 1, GPUMem: 1 << 30},
		Labels: []Pair{{"region", "eu"}, {"zone", "b"}}, Constraints: "cpu >= 4",
		Policy:   Policy{Timeout: time.Minute, Deadline: time.Hour, Retries: 2, RetryOn: AllClasses, KeepGoing: true},
		Priority: 7, PriceMax: 1_000_000, Varying: true, Client: "0x123",
	}
}

// plainSpec is the least spec.
func plainSpec(tasks uint32) *Spec {
	return &Spec{
		Name: "n", Type: "custom", Executor: "wasm", Module: "m", Tasks: tasks, Priority: 5,
		Policy: Policy{Timeout: time.Minute, Retries: 1, RetryOn: DefaultRetryOn},
	}
}

func sampleOffer(s *Spec, nonce byte, notAfter int64) *Offer {
	o := &Offer{ClientKey: make([]byte, 32), NotAfter: notAfter, Spec: s.Encode(), Signature: make([]byte, 64)}
	o.Network[0], o.Nonce[0], o.ClientKey[31], o.Signature[0] = 9, nonce, 3, 4
	return o
}

func sampleResult() *Result {
	return &Result{
		Exit: 0, Output: "bafyout", Size: 12, Stdout: "bafystd", Stderr: "bafyerr", Inline: []byte("hello"),
		Holders: []string{"p1", "p2"}, WallTime: time.Second, CPUTime: 900 * time.Millisecond,
	}
}

// log is a state with its log, for tests that write one entry at a time.
type log struct {
	t     rapid.TB
	state *State
	last  Outcome
}

func newLog(t rapid.TB) *log { return &log{t: t, state: NewState(Member{ID: 1, Peer: "founder"})} }

// put applies a command one millisecond or so later, after a trip through the
// codec, and returns the reason.
func (l *log) put(c Command) string {
	l.t.Helper()
	if c.At == 0 {
		c.At = l.state.Time
	}
	cmd, err := DecodeCommand(c.Encode())
	if err != nil {
		l.t.Fatalf("%v: %v", c, err)
	}
	l.last = l.state.Apply(l.state.Index+1, 1, cmd)
	return l.last.Reason
}

// must applies a command that has to take effect.
func (l *log) must(c Command) {
	l.t.Helper()
	if why := l.put(c); why != "" {
		l.t.Fatalf("command %d of task %d: refused: %s", c.Op, c.Task, why)
	}
}

func (l *log) accept(s *Spec) *Job {
	l.t.Helper()
	l.must(Command{Op: OpAccept, At: 1000, Offer: sampleOffer(s, 1, 24*hour).Encode(), Holders: []string{"p1"}})
	return l.last.Job
}

// on makes a command about the current attempt of a task.
func on(j *Job, op Op, task int32) Command {
	t := j.Task(task)
	return Command{Op: op, Job: j.ID, Task: task, Attempt: t.Attempt, Fence: t.Fence}
}

func (l *log) assign(j *Job, task int32) {
	l.t.Helper()
	l.must(Command{
		Op: OpAssign, At: max(l.state.Time, j.Task(task).NotBefore), Job: j.ID, Task: task, Attempt: j.Task(task).Attempt + 1, Worker: "w",
	})
}

func (l *log) done(j *Job, task int32) {
	l.t.Helper()
	c := on(j, OpDone, task)
	c.Result = sampleResult()
	l.must(c)
}

func (l *log) run(j *Job, task int32) {
	l.t.Helper()
	l.assign(j, task)
	l.must(on(j, OpStarted, task))
}

func (l *log) fail(j *Job, task int32, c Cause) {
	l.t.Helper()
	cmd := on(j, OpFail, task)
	cmd.Cause, cmd.Detail = c, "because"
	l.must(cmd)
}

func (l *log) kinds() string {
	var out []string
	for _, e := range l.last.Events {
		out = append(out, e.Kind.String())
	}
	return strings.Join(out, " ")
}

func (l *log) want(j *Job, job JobState, task int32, state TaskState) {
	l.t.Helper()
	if j.State != job || j.Task(task).State != state {
		l.t.Fatalf("job is %v and task %d %v, want %v and %v", j.State, task, j.Task(task).State, job, state)
	}
}

func TestWholeLife(t *testing.T) {
	l := newLog(t)
	j := l.accept(sampleSpec())
	if j.State != Pending || j.Index != 1 || j.Term != 1 || j.Accepted != 1000 || len(j.Tasks) != 4 {
		t.Fatalf("accepted job: %+v", j)
	}
	if j.Eligible(GatherIndex, 2000) || !j.Eligible(2, 2000) || j.Eligible(3, 2000) {
		t.Error("before the tasks are done only they are eligible")
	}
	for i := range int32(3) {
		l.run(j, i)
		l.want(j, Running, i, TaskRunning)
		l.done(j, i)
	}
	if got := l.kinds(); got != "done assembling" {
		t.Errorf("events of the last task: %s", got)
	}
	l.want(j, Assembling, 0, Done)
	l.assign(j, GatherIndex)
	l.done(j, GatherIndex) // the word that it started is implied
	if got := l.kinds(); got != "started done completed" {
		t.Errorf("events of the gather task: %s", got)
	}
	l.want(j, Completed, GatherIndex, Done)
	if why := l.put(Command{Op: OpCancel, Job: j.ID}); why != ReasonEnded || j.State != Completed {
		t.Errorf("cancel after done: %q, %v", why, j.State)
	}
	if l.state.Noops != 1 {
		t.Errorf("noops: %d", l.state.Noops)
	}
}

func TestBackoffGrowsToAMinute(t *testing.T) {
	l, s := newLog(t), plainSpec(1)
	s.Policy.Retries = 20
	j := l.accept(s)
	var waits []string
	for range 10 {
		l.run(j, 0)
		l.fail(j, 0, CauseTimeout)
		waits = append(waits, (time.Duration(j.Task(0).NotBefore-l.state.Time) * time.Millisecond).String())
		if why := l.put(Command{Op: OpAssign, Job: j.ID, Attempt: j.Task(0).Attempt + 1, Worker: "w"}); why != ReasonStale {
			t.Fatalf("assigned within the back-off: %q", why)
		}
	}
	want := "500ms 1s 2s 4s 8s 16s 32s 1m0s 1m0s 1m0s"
	if got := strings.Join(waits, " "); got != want {
		t.Errorf("waits %s, want %s", got, want)
	}
}

func TestCapsOfRetriesAndLoss(t *testing.T) {
	l := newLog(t)
	j := l.accept(plainSpec(1)) // one retry
	for i := range 2 {
		l.run(j, 0)
		l.fail(j, 0, CauseTimeout)
		if dead := j.Task(0).State == Dead; dead != (i == 1) {
			t.Fatalf("after %d failures: dead=%v", i+1, dead)
		}
	}
	if j.State != Failed || j.Reason != "task 0 is dead: attempt 2: timeout: because" {
		t.Errorf("%v: %q", j.State, j.Reason)
	}
	l = newLog(t)
	j = l.accept(plainSpec(1))
	for i := range LostCap {
		l.assign(j, 0)
		l.fail(j, 0, CauseRefused)
		if dead := j.Task(0).State == Dead; dead != (i == LostCap-1) {
			t.Fatalf("after %d losses: dead=%v", i+1, dead)
		}
	}
}

func TestErrorsKeptAreTheNewest(t *testing.T) {
	l, s := newLog(t), plainSpec(1)
	s.Policy.Retries = MaxErrors + 5
	j := l.accept(s)
	for range MaxErrors + 3 {
		l.run(j, 0)
		l.fail(j, 0, CauseTimeout)
	}
	es := j.Task(0).Errors
	if len(es) != MaxErrors || es[0].Attempt != 4 || es[MaxErrors-1].Attempt != MaxErrors+3 {
		t.Errorf("%d errors, from attempt %d to %d", len(es), es[0].Attempt, es[len(es)-1].Attempt)
	}
}

func TestOutputsLost(t *testing.T) {
	l, s := newLog(t), plainSpec(2)
	s.Gather = &Gather{}
	j := l.accept(s)
	for i := range int32(2) {
		l.run(j, i)
		l.done(j, i)
	}
	l.run(j, GatherIndex)
	gather := on(j, OpDone, GatherIndex)
	gather.Result = sampleResult()
	l.must(on(j, OpLost, 1))
	if got := l.kinds(); got != "requeued running requeued" {
		t.Errorf("events: %s", got)
	}
	l.want(j, Running, 1, Queued)
	if j.Task(1).Failures+j.Task(1).Lost != 0 || j.Task(1).Result != nil {
		t.Errorf("a lost output costs nothing: %+v", j.Task(1))
	}
	l.want(j, Running, GatherIndex, Queued)
	if why := l.put(gather); why == "" {
		t.Error("the gather attempt that lacked an input was accepted")
	}
	l.run(j, 1)
	l.done(j, 1)
	l.run(j, GatherIndex)
	l.done(j, GatherIndex)
	if j.State != Completed || j.Task(1).Attempt != 2 || j.Task(GatherIndex).Attempt != 2 {
		t.Errorf("%v with attempts %d, %d", j.State, j.Task(1).Attempt, j.Task(GatherIndex).Attempt)
	}
}

func TestLostIsForTheNamedResultOnly(t *testing.T) {
	l := newLog(t)
	j := l.accept(plainSpec(2))
	l.run(j, 0)
	c := on(j, OpLost, 0)
	if why := l.put(c); why != ReasonStale {
		t.Errorf("lost outputs of a running task: %q", why)
	}
	l.done(j, 0)
	c.Fence++
	if why := l.put(c); why != ReasonStale {
		t.Errorf("lost outputs under another fence: %q", why)
	}
}

func TestCancelAndDoneInLogOrder(t *testing.T) {
	for _, cancelFirst := range []bool{true, false} {
		l := newLog(t)
		j := l.accept(plainSpec(1))
		l.run(j, 0)
		done := on(j, OpDone, 0)
		done.Result = sampleResult()
		cancel := Command{Op: OpCancel, Job: j.ID, Detail: "the client asked"}
		first, second, want := done, cancel, Completed
		if cancelFirst {
			first, second, want = cancel, done, Cancelled
		}
		l.must(first)
		if why := l.put(second); why != ReasonEnded || j.State != want {
			t.Errorf("cancelFirst=%v: %q, %v", cancelFirst, why, j.State)
		}
		if cancelFirst && (j.Task(0).State != Dead || j.Reason != "the client asked") {
			t.Errorf("after cancel: task %v, %q", j.Task(0).State, j.Reason)
		}
	}
}

func TestFailFast(t *testing.T) {
	for _, keepGoing := range []bool{false, true} {
		l, s := newLog(t), plainSpec(3)
		s.Policy.KeepGoing = keepGoing
		j := l.accept(s)
		l.run(j, 0)
		l.run(j, 1)
		l.fail(j, 0, CauseExit)
		if !keepGoing {
			l.want(j, Failed, 1, Dead)
			continue
		}
		l.want(j, Running, 1, TaskRunning)
		l.done(j, 1)
		l.run(j, 2)
		l.done(j, 2)
		l.want(j, Failed, 2, Done)
		if !strings.HasPrefix(j.Reason, "task 0 is dead") {
			t.Errorf("reason %q", j.Reason)
		}
	}
}

func TestStaleAndForeignWordsChangeNothing(t *testing.T) {
	l := newLog(t)
	j := l.accept(plainSpec(2))
	l.run(j, 0)
	old := on(j, OpDone, 0)
	old.Result = sampleResult()
	l.fail(j, 0, CauseLapse)
	l.run(j, 0)
	bare := on(j, OpDone, 0) // without a result
	tests := map[string]Command{
		"late report":     old,
		"no result":       bare,
		"unknown job":     {Op: OpCancel, Job: ID{1}},
		"no such task":    {Op: OpStarted, Job: j.ID, Task: 2},
		"no gather task":  {Op: OpAssign, Job: j.ID, Task: GatherIndex, Attempt: 1, Worker: "w"},
		"assigned twice":  {Op: OpAssign, Job: j.ID, Task: 0, Attempt: 3, Worker: "w"},
		"attempt skipped": {Op: OpAssign, Job: j.ID, Task: 1, Attempt: 2, Worker: "w"},
		"no worker":       {Op: OpAssign, Job: j.ID, Task: 1, Attempt: 1},
		"started twice":   on(j, OpStarted, 0),
		"broken offer":    {Op: OpAccept, Offer: []byte("x")},
	}
	for name, c := range tests {
		before := l.state.Noops
		was := fmt.Sprintf("%+v", j)
		if why := l.put(c); why == "" || len(l.last.Events) > 0 || l.state.Noops != before+1 || fmt.Sprintf("%+v", j) != was {
			t.Errorf("%s: reason %q, events %v, noops %d->%d", name, why, l.kinds(), before, l.state.Noops)
		}
	}
}

func TestDeadlineSweep(t *testing.T) {
	l, s := newLog(t), plainSpec(1)
	s.Policy.Deadline = time.Minute
	j := l.accept(s)
	l.must(Command{Op: OpSweep, At: 61_000})
	l.want(j, Pending, 0, Queued)
	l.must(Command{Op: OpSweep, At: 61_001})
	l.want(j, Failed, 0, Dead)
	if j.Reason != "the job's deadline of 1m0s has passed" || l.kinds() != "failed" {
		t.Errorf("%q, events %s", j.Reason, l.kinds())
	}
}

func TestRetentionAndTombstones(t *testing.T) {
	l := newLog(t)
	offer := sampleOffer(plainSpec(1), 1, hour).Encode()
	accept := Command{Op: OpAccept, At: 1000, Offer: offer}
	l.must(accept)
	j := l.last.Job
	if why := l.put(accept); why != ReasonExisting || l.last.Job != j || l.state.Noops != 0 {
		t.Errorf("the same offer again: %q", why)
	}
	l.must(Command{Op: OpCancel, Job: j.ID})
	l.must(Command{Op: OpSweep, At: j.KeptUntil()})
	if l.state.Jobs[j.ID] == nil {
		t.Fatal("forgotten too early")
	}
	l.must(Command{Op: OpSweep, At: j.KeptUntil() + 1})
	if l.state.Jobs[j.ID] != nil || l.state.Bytes != 0 || len(l.state.Tombstones) != 1 {
		t.Fatalf("kept: %d bytes, %d tombstones", l.state.Bytes, len(l.state.Tombstones))
	}
	accept.At = 0
	if why := l.put(accept); why != ReasonExpired {
		t.Errorf("a replayed offer: %q", why)
	}
	l.must(Command{Op: OpSweep, At: l.state.Tombstones[j.ID] + 1})
	if len(l.state.Tombstones) != 0 {
		t.Error("the tombstone outlives its life")
	}
	if why := l.put(accept); why != ReasonExpired {
		t.Errorf("a replayed offer after the tombstone: %q", why)
	}
}

func TestBusy(t *testing.T) {
	l := newLog(t)
	var last string
	n := 0
	for ; n < 200 && last == ""; n++ {
		s := plainSpec(MaxTasks)
		s.Name = fmt.Sprint(n)
		last = l.put(Command{Op: OpAccept, At: 1, Offer: sampleOffer(s, 1, hour).Encode()})
	}
	if last != ReasonBusy || n < 10 || l.state.Bytes > MaxStateBytes {
		t.Errorf("after %d jobs of %d bytes: %q", n, l.state.Bytes, last)
	}
}

func TestShardTimeNeverFalls(t *testing.T) {
	l := newLog(t)
	l.must(Command{Op: OpSweep, At: 500})
	l.must(Command{Op: OpSweep, At: 400})
	if l.state.Time != 500 {
		t.Errorf("time is %d", l.state.Time)
	}
}

func TestEventsAfter(t *testing.T) {
	l := newLog(t)
	j := l.accept(plainSpec(1))
	l.run(j, 0)
	l.done(j, 0)
	all, ok := l.state.EventsAfter(0, 0, nil)
	if !ok || len(all) != 6 {
		t.Fatalf("%d events, ok=%v", len(all), ok)
	}
	for i, e := range all {
		rest, ok := l.state.EventsAfter(e.Index, e.N, &j.ID)
		if !ok || len(rest) != len(all)-i-1 {
			t.Errorf("after event %d: %d, ok=%v", i, len(rest), ok)
		}
	}
	if other, _ := l.state.EventsAfter(0, 0, &ID{1}); len(other) != 0 {
		t.Errorf("another job's events: %v", other)
	}
	for len(l.state.Events) < MaxEvents {
		l.state.Events = append(l.state.Events, Event{Index: 1 << 20})
	}
	l.accept(func() *Spec { s := plainSpec(1); s.Name = "x"; return s }())
	if _, ok := l.state.EventsAfter(0, 0, nil); ok {
		t.Error("a cursor before dropped events is not noticed")
	}
}

func TestFindPrefix(t *testing.T) {
	l := newLog(t)
	for i := range 40 {
		s := plainSpec(1)
		s.Name = fmt.Sprint(i)
		l.accept(s)
	}
	if n := len(l.state.FindPrefix("", 7)); n != 7 {
		t.Errorf("%d ids", n)
	}
	id := l.state.SortedJobs()[5].ID
	if got := l.state.FindPrefix(id.String()[:20], 3); len(got) != 1 || got[0] != id {
		t.Errorf("found %v", got)
	}
	back, err := ParseID(id.String())
	if err != nil || back != id || !strings.HasPrefix(id.String(), id.Short()) {
		t.Errorf("id %v parsed as %v: %v", id, back, err)
	}
	for _, bad := range []string{"", "zz", strings.Repeat("A", 64), strings.Repeat("0", 65)} {
		if _, err := ParseID(bad); err == nil {
			t.Errorf("%q parsed", bad)
		}
	}
}
