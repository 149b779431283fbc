package shard_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// alone is a shard of one replica, stepped by hand.
type alone struct {
	t   *testing.T
	rep *shard.Replica
	now shard.Now
	n   byte
}

func newAlone(t *testing.T) *alone {
	t.Helper()
	a := &alone{t: t, now: shard.Now{Wall: wall}}
	var d disk
	d.write(shard.Found("a", 7))
	cfg := shard.Config{
		Network: network, ID: 1, Self: "a", Params: shard.Params{Reserve: 3 * time.Second},
		Compile: func(source string) (match.Constraint, error) {
			return nil, errors.New("column 1: unknown field " + source)
		},
	}
	d.fill(&cfg)
	rep, err := shard.New(cfg, a.now)
	if err != nil {
		t.Fatal(err)
	}
	a.rep = rep
	a.pass(time.Second)
	return a
}

func (a *alone) step(ev shard.Event) []shard.Action {
	return append([]shard.Action(nil), a.rep.Step(a.now, ev)...)
}

// pass lets time go by, tick by tick; the workers' heartbeats keep their leases.
func (a *alone) pass(d time.Duration, beats ...shard.Event) {
	for end := a.now.Mono + d; a.now.Mono < end; {
		a.now.Mono += 100 * time.Millisecond
		a.now.Wall += 100
		a.step(shard.Tick{})
		for _, b := range beats {
			a.step(b)
		}
	}
}

func (a *alone) attach(cpu, slots, free uint32) shard.Event {
	total := job.Resources{CPU: cpu, Memory: 8 << 30, Disk: 8 << 30}
	a.step(shard.Heard{From: "w", Msg: work.Attach{Boot: 1, Free: total, FreeSlots: free,
		Capability: work.Capability{Total: total, Executors: []string{"wasm"}, Slots: slots}}})
	return shard.Heard{From: "w", Msg: work.Heartbeat{Boot: 1, Free: total, FreeSlots: free}}
}

func (a *alone) submit(change func(*job.Spec)) *job.Job {
	a.t.Helper()
	s := &job.Spec{
		Name: "j", Type: "custom", Executor: "wasm", Module: "m", Tasks: 1, Priority: 5, Need: job.Resources{CPU: 1000, Memory: 1 << 30},
		Policy: job.Policy{Timeout: time.Minute, Retries: 3, RetryOn: job.AllClasses},
	}
	if change != nil {
		change(s)
	}
	a.n++
	o := &job.Offer{Network: network, ClientKey: make([]byte, 32), NotAfter: wall + time.Hour.Milliseconds(), Spec: s.Encode(), Signature: make([]byte, 64)}
	o.Nonce[0] = a.n
	a.step(shard.Submit{Token: uint64(a.n), Offer: o.Encode(), Holders: []string{"a"}})
	j := a.rep.State().Jobs[o.ID()]
	if j == nil {
		a.t.Fatal("the job was not accepted")
	}
	return j
}

// TestEveryWaitingCode brings a job into every waiting state: each has a code
// that is listed with its meaning, and a sentence that says more than the code.
func TestEveryWaitingCode(t *testing.T) {
	// The shell's: without a leader there is no Replica to say it. Package node's
	// test of the same name reaches it.
	listed := map[string]bool{shard.WaitsLeader: true}
	for _, c := range shard.WaitCodes() {
		if c.Code == "" || len(c.Meaning) < 20 {
			t.Errorf("%q has no meaning: %q", c.Code, c.Meaning)
		}
	}
	see := func(a *alone, j *job.Job, code string, words ...string) {
		t.Helper()
		w := a.rep.Waiting(j)
		listed[w.Code] = true
		if w.Code != code {
			t.Errorf("the job waits for %s (%s), want %s", w.Code, w.Sentence, code)
		}
		for _, word := range words {
			if !strings.Contains(w.Sentence, word) {
				t.Errorf("%s: %q does not say %q", code, w.Sentence, word)
			}
		}
	}
	a := newAlone(t)
	first := a.submit(nil)
	see(a, first, shard.WaitsWorker, "ciro start --join")

	a = newAlone(t)
	a.attach(2000, 1, 0)
	see(a, a.submit(func(s *job.Spec) { s.Need.CPU = 4000 }), shard.WaitsMatch, "1 has 2 cpu, the task needs 4", "lower resources.cpu")
	see(a, a.submit(func(s *job.Spec) { s.Constraints = "x" }), shard.WaitsUnreadable, "unknown field x")
	see(a, a.submit(nil), shard.WaitsBusy, "1 has no room for it now")

	a = newAlone(t)
	beat := a.attach(2000, 2, 0)
	big := a.submit(func(s *job.Spec) { s.Need.CPU = 2000 })
	a.pass(5*time.Second, beat)
	see(a, big, shard.WaitsReserved, "worker w is kept for it")

	a = newAlone(t)
	a.attach(2000, 1, 1)
	j := a.submit(nil)
	see(a, j, shard.WaitsBooking)
	next := a.submit(nil)
	see(a, next, shard.WaitsBusy)
	key := work.Key{Job: j.ID, Attempt: 1}
	a.step(shard.Heard{From: "w", Msg: work.Booked{Key: key, Free: job.Resources{CPU: 1000}}})
	see(a, j, shard.WaitsTasks, "1 of 1 tasks")
	key.Fence = j.Tasks[0].Fence
	a.step(shard.Heard{From: "w", Msg: work.Started{Key: key}})
	a.step(shard.Heard{From: "w", Msg: work.Report{Key: key, Cause: job.CauseExit, Detail: "exit code 3"}})
	see(a, j, shard.WaitsBackoff, "next attempt")

	a = newAlone(t)
	small := func(tasks uint32) func(*job.Spec) {
		return func(s *job.Spec) { s.Tasks, s.Need.Memory = tasks, 1<<20 }
	}
	a.submit(small(256)) // as many as one pass places
	j = a.submit(small(1))
	a.attach(1000*300, 300, 300)
	see(a, j, shard.WaitsTurn, "1 has room for it; tasks before it")
	a.step(shard.Tick{}) // at once: Wake asks for it
	see(a, j, shard.WaitsBooking)
	for _, c := range shard.WaitCodes() {
		if !listed[c.Code] {
			t.Errorf("no test of %s", c.Code)
		}
		delete(listed, c.Code)
	}
	if len(listed) > 0 {
		t.Errorf("not in the list: %v", listed)
	}
}

// TestRetryIsAnsweredOnce opens a round over a leader, twice the same, and has
// the job's task assigned again.
func TestRetryIsAnsweredOnce(t *testing.T) {
	a := newAlone(t)
	a.attach(2000, 1, 1)
	j := a.submit(func(s *job.Spec) { s.Policy.RetryOn = 0 })
	end := func() {
		key := work.Key{Job: j.ID, Attempt: j.Tasks[0].Attempt + 1}
		a.step(shard.Heard{From: "w", Msg: work.Booked{Key: key, Free: job.Resources{CPU: 1000}}})
		key.Fence = j.Tasks[0].Fence
		a.step(shard.Heard{From: "w", Msg: work.Started{Key: key}})
		a.step(shard.Heard{From: "w", Msg: work.Report{Key: key, Cause: job.CauseExit}})
	}
	end()
	if j.State != job.Failed {
		t.Fatal(j.State)
	}
	answer := func(token uint64, ev shard.Event) shard.Answer {
		for _, act := range a.step(ev) {
			if r, ok := act.(shard.Reply); ok && r.Token == token {
				return r.Answer
			}
		}
		t.Fatal("no answer")
		return shard.Answer{}
	}
	retry := func(token uint64, round uint32) shard.Answer {
		return answer(token, shard.Retry{Token: token, Job: j.ID, Task: job.AllTasks, Round: round, Holders: []string{"b"}})
	}
	if r := retry(90, 0); r.Reason != "" || !r.Created || r.Round != 2 {
		t.Errorf("%+v", r)
	}
	if r := retry(91, 2); r.Reason != "" || r.Created || r.Round != 2 {
		t.Errorf("again: %+v", r)
	}
	if r := retry(92, 3); r.Reason != job.ReasonNotFailed || r.Message == "" {
		t.Errorf("of a job that runs: %+v", r)
	}
	if j.Holders[0] != "b" {
		t.Errorf("holders %v", j.Holders)
	}
	a.attach(2000, 1, 1)
	a.pass(200 * time.Millisecond)
	end()
	if j.State != job.Failed || j.Tasks[0].Attempt != 2 || j.Round != 2 {
		t.Errorf("%v, attempt %d, round %d", j.State, j.Tasks[0].Attempt, j.Round)
	}
	if r := answer(93, shard.Retry{Token: 93, Job: job.ID{1}}); r.Reason != job.ReasonUnknown {
		t.Errorf("%+v", r)
	}
}
