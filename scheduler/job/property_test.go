package job

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// world is what the random log must obey, watched from outside Apply.
type world struct {
	fences   map[uint64]bool
	attempts map[string]uint32 // newest attempt by job and task
	ended    map[ID]string     // terminal jobs as they were
}

// photo is the states of all jobs and tasks.
type photo struct {
	jobs  map[ID]JobState
	tasks map[ID][]TaskState
}

func shoot(s *State) photo {
	p := photo{jobs: map[ID]JobState{}, tasks: map[ID][]TaskState{}}
	for id, j := range s.Jobs {
		p.jobs[id] = j.State
		for i := range j.Tasks {
			p.tasks[id] = append(p.tasks[id], j.Tasks[i].State)
		}
	}
	return p
}

// legalPath says whether a state can be reached in at most three legal moves:
// one command may make several (done implies started; a lost output sends an
// assembling job back).
func legalPath(from, to, states int, legal func(a, b int) bool, steps int) bool {
	if from == to {
		return true
	}
	if steps == 0 {
		return false
	}
	for mid := range states {
		if legal(from, mid) && legalPath(mid, to, states, legal, steps-1) {
			return true
		}
	}
	return false
}

func legalTask(a, b int) bool { return LegalTask(TaskState(a), TaskState(b)) }
func legalJob(a, b int) bool  { return LegalJob(JobState(a), JobState(b)) }

func (w *world) check(t *rapid.T, before photo, s *State, c *Command) {
	for _, j := range s.Jobs {
		var counts [5]uint32
		for i := range j.Tasks {
			task := &j.Tasks[i]
			if i < int(j.Spec.Tasks) {
				counts[task.State]++
			}
			w.checkTask(t, s, j, i)
			if was, ok := before.tasks[j.ID]; ok && !legalPath(int(was[i]), int(task.State), 5, legalTask, 2) {
				t.Fatalf("command %d: task %d went from %v to %v", c.Op, i, was[i], task.State)
			}
		}
		if counts != j.counts {
			t.Fatalf("counts %v are kept as %v", counts, j.counts)
		}
		if was, ok := before.jobs[j.ID]; ok && !legalPath(int(was), int(j.State), 6, legalJob, 2) {
			t.Fatalf("command %d: job went from %v to %v", c.Op, was, j.State)
		}
		now := fmt.Sprintf("%+v %+v", *j, j.Tasks)
		if c.Op == OpRetry && c.Job == j.ID {
			delete(w.ended, j.ID) // the next round may have been opened
		}
		if old, ok := w.ended[j.ID]; ok && old != now {
			t.Fatalf("command %d changed a terminal job:\n%s\n%s", c.Op, old, now)
		}
		if j.State.Terminal() {
			w.ended[j.ID] = now
			if j.State == Completed && counts[Done] != j.Spec.Tasks {
				t.Fatalf("completed with %d of %d tasks done", counts[Done], j.Spec.Tasks)
			}
		}
	}
}

func (w *world) checkTask(t *rapid.T, s *State, j *Job, i int) {
	task, name := &j.Tasks[i], fmt.Sprint(j.ID, i)
	old := w.attempts[name]
	switch {
	case task.Attempt < old || task.Attempt > old+1:
		t.Fatalf("attempt of task %d went from %d to %d", i, old, task.Attempt)
	case task.Attempt == old+1:
		if w.fences[task.Fence] || task.Fence != s.Index {
			t.Fatalf("fence %d of an assignment at %d was given before: %v", task.Fence, s.Index, w.fences[task.Fence])
		}
		w.fences[task.Fence], w.attempts[name] = true, task.Attempt
	}
	if task.DeadLetter && (task.State != Dead || len(task.Errors) == 0) {
		t.Fatalf("task %d is a dead letter in state %v with %d errors", i, task.State, len(task.Errors))
	}
	if (task.State == Done) != (task.Result != nil) && task.State != Dead {
		t.Fatalf("task %d is %v with result %v", i, task.State, task.Result)
	}
	if len(task.Errors) > MaxErrors {
		t.Fatalf("task %d keeps %d errors", i, len(task.Errors))
	}
}

// drawCommand makes a command that often, not always, matches the state.
func drawCommand(t *rapid.T, s *State) *Command {
	c := &Command{
		Op: Op(rapid.IntRange(1, int(OpRetry)).Draw(t, "op")),
		At: s.Time + rapid.SampledFrom([]int64{-5, 0, 10, 700, 70_000, hour}).Draw(t, "later"),
	}
	jobs := s.SortedJobs()
	if c.Op == OpAccept || len(jobs) == 0 {
		spec := plainSpec(rapid.Uint32Range(1, 3).Draw(t, "tasks"))
		spec.Policy.KeepGoing, spec.Policy.RetryOn = rapid.Bool().Draw(t, "keepGoing"), Classes(rapid.IntRange(0, AllClasses).Draw(t, "retryOn"))
		spec.Policy.Deadline = rapid.SampledFrom([]time.Duration{0, time.Hour}).Draw(t, "deadline")
		if rapid.Bool().Draw(t, "gather") {
			spec.Gather = &Gather{}
		}
		c.Op, c.Offer = OpAccept, sampleOffer(spec, rapid.Byte().Draw(t, "nonce"), s.Time+hour).Encode()
		return c
	}
	j := rapid.SampledFrom(jobs).Draw(t, "job")
	c.Job = j.ID
	at := rapid.IntRange(0, len(j.Tasks)-1).Draw(t, "task")
	if done := slices.IndexFunc(j.Tasks, func(t Task) bool { return t.State == Done }); c.Op == OpLost && done >= 0 {
		at = done
	}
	task := &j.Tasks[at]
	c.Task, c.Attempt, c.Fence = j.WireIndex(at), task.Attempt, task.Fence
	if c.Op == OpAssign {
		c.Attempt++
		c.Worker = rapid.SampledFrom([]string{"w1", "w2"}).Draw(t, "worker")
		c.At = max(c.At, task.NotBefore)
	}
	if c.Op == OpCancel && rapid.IntRange(0, 3).Draw(t, "mercy") > 0 {
		c.Op = OpDone
	}
	if c.Op == OpRetry {
		c.Attempt = j.Round + rapid.Uint32Range(0, 2).Draw(t, "round")
		if rapid.Bool().Draw(t, "all") {
			c.Task = AllTasks
		}
	}
	if c.Op == OpDone {
		c.Result = sampleResult()
	}
	if c.Op == OpFail {
		c.Cause, c.Detail = Cause(rapid.IntRange(1, int(CauseOutputs)).Draw(t, "cause")), "why"
	}
	switch rapid.IntRange(0, 11).Draw(t, "damage") {
	case 0:
		c.Attempt--
	case 1:
		c.Fence++
	case 2:
		c.Task = rapid.Int32Range(-1, 4).Draw(t, "other")
	}
	return c
}

// TestReplicasAgree runs random logs on two replicas and on a third that is
// restored from a snapshot at random moments, and checks the state machine's
// promises after every entry.
func TestReplicasAgree(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) { agree(t, map[Op]int{}) })
}

// TestDrawsReachEveryCommand keeps the property above from becoming empty: among
// some draws, always the same, each command takes effect.
func TestDrawsReachEveryCommand(t *testing.T) {
	took := map[Op]int{}
	draws := rapid.Custom(func(t *rapid.T) bool { agree(t, took); return true })
	for seed := range 300 {
		draws.Example(seed)
	}
	for op := OpAccept; op <= OpRetry; op++ {
		if took[op] == 0 {
			t.Errorf("no command %d ever took effect: the draws are poor", op)
		}
	}
}

// agree gives the same entries to three replicas, one of which is restored from
// time to time, and counts the commands that took effect.
func agree(t *rapid.T, took map[Op]int) {
	a, b, c := NewState(Member{ID: 1, Peer: "p"}), NewState(Member{ID: 1, Peer: "p"}), NewState(Member{ID: 1, Peer: "p"})
	w := &world{fences: map[uint64]bool{}, attempts: map[string]uint32{}, ended: map[ID]string{}}
	for index := range uint64(rapid.IntRange(1, 60).Draw(t, "entries")) {
		cmd := drawCommand(t, a)
		before := shoot(a)
		out := a.Apply(index+1, 1, cmd)
		if out.Reason == "" {
			took[cmd.Op]++
		}
		w.check(t, before, a, cmd)
		for _, s := range []*State{b, c} {
			again, err := DecodeCommand(cmd.Encode())
			if err != nil {
				t.Fatal(err)
			}
			if o := s.Apply(index+1, 1, again); o.Reason != out.Reason || len(o.Events) != len(out.Events) {
				t.Fatalf("one replica says %q, another %q", out.Reason, o.Reason)
			}
		}
		want := a.Encode()
		if !bytes.Equal(want, b.Encode()) || !bytes.Equal(want, c.Encode()) {
			t.Fatalf("replicas differ after entry %d: %+v", index+1, cmd)
		}
		if rapid.IntRange(0, 4).Draw(t, "restore") == 0 {
			c = restored(t, want)
			if !reflect.DeepEqual(a.Jobs, c.Jobs) || !reflect.DeepEqual(a.Tombstones, c.Tombstones) || !reflect.DeepEqual(a.Members, c.Members) {
				t.Fatalf("the state is restored as another one:\n%+v\n%+v", a, c)
			}
		}
		if a.Bytes != c.Bytes {
			t.Fatalf("bytes %d and restored %d", a.Bytes, c.Bytes)
		}
	}
}

func restored(t *rapid.T, b []byte) *State {
	s, err := DecodeState(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, j := range s.Jobs {
		if o, err := DecodeOffer(j.Offer); err != nil || o.ID() != j.ID || o.NotAfter != j.NotAfter {
			t.Fatalf("restored job %v: %v", j.ID, err)
		}
	}
	return s
}

// TestTablesOfMovesAreClosed checks what every user of the tables relies on.
func TestTablesOfMovesAreClosed(t *testing.T) {
	for to := range JobState(6) {
		for from := Completed; from <= Cancelled; from++ {
			if retry := from == Failed && !to.Terminal(); LegalJob(from, to) != retry {
				t.Errorf("a terminal job may go from %v to %v: %v", from, to, !retry)
			}
		}
		if LegalJob(to, Pending) != (to == Failed) || LegalJob(to, to) {
			t.Errorf("%v may become pending or itself", to)
		}
	}
	for s := range TaskState(5) {
		if LegalTask(Dead, s) != (s == Queued) || LegalTask(s, s) || LegalTask(Queued, s) != (s == Assigned || s == Dead) {
			t.Errorf("moves from or to %v are wrong", s)
		}
	}
}
