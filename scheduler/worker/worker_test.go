package worker

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// cores is a need or a total of so many thousandths of a core.
func cores(n uint32) job.Resources { return job.Resources{CPU: n, Memory: uint64(n), Disk: uint64(n)} }

// offerOf makes the offer of a job with two tasks of one core and a gather task
// of half a core, and its id.
func offerOf(name string) ([]byte, job.ID) {
	s := &job.Spec{
		Name: name, Type: "custom", Executor: "wasm", Module: "m", Tasks: 2, Gather: &job.Gather{Need: cores(500)},
		Need: cores(1000), Policy: job.Policy{Timeout: time.Minute}, Priority: 5,
	}
	o := &job.Offer{ClientKey: make([]byte, 32), Spec: s.Encode(), Signature: make([]byte, 64)}
	return o.Encode(), o.ID()
}

func capability(cpu, slots uint32) work.Capability {
	return work.Capability{Total: cores(cpu), Executors: []string{"wasm"}, Slots: slots}
}

// auditor watches a worker from outside and fails the test when a promise of the
// package is broken.
type auditor struct {
	t       rapid.TB
	w       *Worker
	running map[work.Key]bool // run and not finished
	killed  map[work.Key]bool
	ran     map[work.Key]bool
	fence   map[task]uint64   // newest that ran
	stored  map[work.Key]bool // what is on disk
	leaders map[uint32]string
}

func audit(t rapid.TB, cfg Config, restored []Restored) *auditor {
	a := &auditor{
		t: t, w: New(cfg, restored), running: map[work.Key]bool{}, killed: map[work.Key]bool{}, ran: map[work.Key]bool{},
		fence: map[task]uint64{}, stored: map[work.Key]bool{}, leaders: map[uint32]string{},
	}
	for _, r := range restored {
		a.stored[r.Report.Key] = true
	}
	return a
}

// step steps the worker and judges what it does.
func (a *auditor) step(now time.Duration, ev Event) []Action {
	a.t.Helper()
	switch ev := ev.(type) {
	case Leader:
		a.leaders[ev.Shard] = ev.Peer
	case Message:
		if a.leaders[ev.Shard] == "" {
			a.leaders[ev.Shard] = ev.From
		}
	case Finished:
		delete(a.running, ev.Key)
	}
	out := a.w.Step(now, ev)
	for _, act := range out {
		a.judge(act)
	}
	if err := a.w.Check(); err != nil {
		a.t.Fatalf("after %T: %v", ev, err)
	}
	st := a.w.Status()
	if len(st.Running) != len(a.running) || st.Kept != len(a.stored) {
		a.t.Fatalf("after %T: %d run, %d are told; %d reports on disk, %d known", ev, len(a.running), len(st.Running), len(a.stored), st.Kept)
	}
	if wake := a.w.Wake(); wake <= now {
		a.t.Fatalf("after %T at %v: the next wake-up is %v", ev, now, wake)
	}
	return out
}

func (a *auditor) judge(act Action) {
	a.t.Helper()
	switch act := act.(type) {
	case Run:
		k := act.Assign.Key
		if a.ran[k] || k.Fence <= a.fence[taskOf(k)] {
			a.t.Fatalf("run of %v: ran %v, newest fence %d", k, a.ran[k], a.fence[taskOf(k)])
		}
		a.ran[k], a.running[k], a.fence[taskOf(k)] = true, true, k.Fence
	case Kill:
		if !a.running[act.Key] || a.killed[act.Key] {
			a.t.Fatalf("kill of %v: running %v, killed %v", act.Key, a.running[act.Key], a.killed[act.Key])
		}
		a.killed[act.Key] = true
	case Keep:
		if a.stored[act.Report.Key] {
			a.t.Fatalf("report of %v is kept twice", act.Report.Key)
		}
		a.stored[act.Report.Key] = true
	case Forget:
		if !a.stored[act.Key] {
			a.t.Fatalf("report of %v was not kept", act.Key)
		}
		delete(a.stored, act.Key)
	case Send:
		if act.To != a.leaders[act.Shard] {
			a.t.Fatalf("%T goes to %s; shard %d is led by %s", act.Msg, act.To, act.Shard, a.leaders[act.Shard])
		}
		if m, ok := act.Msg.(work.Report); ok && !a.stored[m.Key] {
			a.t.Fatalf("report of %v leaves before it is durable", m.Key)
		}
		if _, err := work.Decode(work.Encode(act.Msg)); err != nil {
			a.t.Fatalf("message %+v: %v", act.Msg, err)
		}
	}
}

// drawEvent makes an event out of few shards, jobs, peers and fences, so that
// they meet each other often.
func drawEvent(t *rapid.T, a *auditor) Event {
	shard := rapid.Uint32Range(0, 1).Draw(t, "shard")
	offer, id := offerOf(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "job"))
	k := work.Key{
		Job: id, Task: rapid.Int32Range(-1, 2).Draw(t, "task"),
		Attempt: rapid.Uint32Range(1, 3).Draw(t, "attempt"), Fence: rapid.Uint64Range(1, 8).Draw(t, "fence"),
	}
	if held := a.w.Status().Running; len(held) > 0 && rapid.Bool().Draw(t, "held") {
		k = rapid.SampledFrom(held).Draw(t, "which")
	}
	from := rapid.SampledFrom([]string{"L1", "L1", "L1", "L2"}).Draw(t, "from")
	say := func(m work.Message) Event { return Message{Shard: shard, From: from, Msg: m} }
	switch rapid.IntRange(0, 15).Draw(t, "event") {
	case 0, 1:
		return say(work.Book{Key: unfenced(k), Need: cores(rapid.Uint32Range(0, 2500).Draw(t, "need"))})
	case 2, 3, 4:
		return say(work.Assign{Key: k, Offer: offer, Term: 1})
	case 5:
		return say(work.Stop{Key: k})
	case 6:
		return say(work.Ack{Key: k, Accepted: true})
	case 7:
		return say(work.Release{Key: unfenced(k)})
	case 8:
		return Leader{Shard: shard, Peer: rapid.SampledFrom([]string{"", "L1", "L1", "L2"}).Draw(t, "leader")}
	case 9:
		return Started{Key: k}
	case 10, 11:
		if a.running[k] { // the shell reports the end of what it runs, once
			return Finished{Key: k, Report: work.Report{Cause: job.CauseExit}}
		}
		return Progressed{Key: k, Permille: 5000}
	case 12:
		return Drain{On: rapid.Bool().Draw(t, "drain")}
	case 13:
		if rapid.IntRange(0, 9).Draw(t, "leave") == 0 {
			return HandBack{}
		}
		return Capability{capability(rapid.Uint32Range(500, 4000).Draw(t, "total"), rapid.Uint32Range(0, 4).Draw(t, "slots"))}
	}
	return Tick{}
}

// TestCapacityIsConserved drives a worker with anything at all; the auditor and
// Check do the judging.
func TestCapacityIsConserved(t *testing.T) {
	did := map[string]int{}
	rapid.Check(t, func(t *rapid.T) {
		_, id := offerOf("a")
		a := audit(t, Config{Self: "w", Capability: capability(3000, 3), MaxReports: 3}, []Restored{
			{Shard: 1, Report: work.Report{Key: work.Key{Job: id, Attempt: 1, Fence: 2}, Cause: job.CauseExit}},
		})
		var now time.Duration
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now += time.Duration(rapid.SampledFrom([]int{0, 1, 150, 1000, 2500}).Draw(t, "later")) * time.Millisecond
			for _, act := range a.step(now, drawEvent(t, a)) {
				did[fmt.Sprintf("%T", act)]++
				if s, ok := act.(Send); ok {
					did[fmt.Sprintf("%T", s.Msg)]++
				}
			}
		}
	})
	if testing.Short() {
		return // a short run draws too little to tell
	}
	for _, what := range []Action{Run{}, Kill{}, Keep{}, Forget{}} {
		if did[fmt.Sprintf("%T", what)] == 0 {
			t.Errorf("no %T ever happened: the draws are poor", what)
		}
	}
	for _, what := range []work.Message{work.Attach{}, work.Heartbeat{}, work.Booked{}, work.Refused{}, work.Started{}, work.Report{}} {
		if did[fmt.Sprintf("%T", what)] == 0 {
			t.Errorf("no %T was ever sent: the draws are poor", what)
		}
	}
}

func TestWakeWithNothingDue(t *testing.T) {
	w := New(Config{}, nil)
	if got := w.Wake(); got != math.MaxInt64 {
		t.Errorf("a worker without leaders wakes at %v", got)
	}
	w.Step(time.Second, Leader{Shard: 1, Peer: "L", Term: 1})
	if got := w.Wake(); got != 2*time.Second {
		t.Errorf("the next heartbeat is at %v", got)
	}
}

func TestTablesAreBounded(t *testing.T) {
	w := New(Config{Capability: capability(1000, 1)}, nil)
	offer, id := offerOf("a")
	for i := range uint64(maxFences + 50) {
		k := work.Key{Job: id, Attempt: 1, Fence: i + 1}
		k.Job = job.ID{byte(i), byte(i >> 8), 1} // a stop needs no offer
		w.Step(0, Message{From: "L", Msg: work.Stop{Key: k}})
	}
	for i := range uint32(maxShards + 10) {
		w.Step(0, Message{Shard: i, From: "L", Msg: work.Ack{}})
	}
	if err := w.Check(); err != nil || len(w.fences) != maxFences || len(w.shards) != maxShards {
		t.Fatalf("%d fences, %d shards: %v", len(w.fences), len(w.shards), err)
	}
	out := w.Step(0, Message{From: "L", Msg: work.Assign{Key: work.Key{Job: id, Attempt: 1, Fence: 1}, Offer: offer}})
	if i := slices.IndexFunc(out, func(a Action) bool { _, ok := a.(Run); return ok }); i < 0 {
		t.Errorf("a task that was not named is not run: %+v", out)
	}
}

// TestManyReportsTrickle checks that a returning leader is not flooded and hears
// of every report.
func TestManyReportsTrickle(t *testing.T) {
	const reports = 3*resendBatch + 7
	var kept []Restored
	for i := range uint64(reports) {
		kept = append(kept, Restored{Shard: 2, Report: work.Report{Key: work.Key{Attempt: 1, Fence: i + 1, Task: int32(i)}, Cause: job.CauseExit}})
	}
	a := audit(t, Config{}, kept)
	a.step(0, Tick{})
	now, heard := time.Second, map[work.Key]bool{}
	out := a.step(now, Leader{Shard: 2, Peer: "L", Term: 1})
	for steps := 0; steps < 10 && len(heard) < reports; steps++ {
		sent := 0
		for _, act := range out {
			if m, ok := act.(Send).Msg.(work.Report); ok {
				sent++
				heard[m.Key] = true
			}
		}
		if sent > resendBatch {
			t.Fatalf("%d reports at once", sent)
		}
		now = a.w.Wake()
		out = a.step(now, Tick{})
	}
	if len(heard) != reports || now > 2*time.Second {
		t.Errorf("%d of %d reports were heard by %v", len(heard), reports, now)
	}
}

// TestOldestReportGivesWay checks the bound of the kept reports.
func TestOldestReportGivesWay(t *testing.T) {
	a := audit(t, Config{Capability: capability(9000, 0), MaxReports: 2}, nil)
	a.step(0, Leader{Shard: 0, Peer: "L", Term: 1})
	var keys []work.Key
	for i, name := range []string{"a", "b", "c"} {
		offer, id := offerOf(name)
		keys = append(keys, work.Key{Job: id, Attempt: 1, Fence: uint64(i + 1)})
		a.step(0, Message{From: "L", Msg: work.Assign{Key: keys[i], Offer: offer}})
		out := a.step(0, Finished{Key: keys[i], Report: work.Report{Cause: job.CauseExit}})
		if want := i == 2; slices.Contains(out, Action(Forget{Key: keys[0]})) != want {
			t.Errorf("report %d: forgotten %v", i, !want)
		}
	}
	offer, _ := offerOf("a")
	out := a.step(0, Message{From: "L", Msg: work.Assign{Key: keys[0], Offer: offer}})
	if m, ok := out[0].(Send).Msg.(work.Refused); !ok || m.Key != keys[0] {
		t.Errorf("an attempt whose report was dropped is answered %+v", out)
	}
}

// TestAssignmentsThatMakeNoSense are refused with the reason.
func TestAssignmentsThatMakeNoSense(t *testing.T) {
	offer, id := offerOf("a")
	other, _ := offerOf("b")
	tests := map[string]work.Assign{
		"the offer is another job's":         {Key: work.Key{Job: id, Fence: 1}, Offer: other},
		"offer: input ends inside a value":   {Key: work.Key{Job: id, Fence: 1}},
		"the job has no task -1":             {Key: work.Key{Job: noGather(), Task: -1, Fence: 1}, Offer: noGatherOffer()},
		`this worker has no executor "wasm"`: {Key: work.Key{Job: id, Fence: 1}, Offer: offer},
	}
	for want, m := range tests {
		c := capability(1000, 1)
		if strings.Contains(want, "executor") {
			c.Executors = []string{"container"}
		}
		a := audit(t, Config{Capability: c}, nil)
		a.step(0, Leader{Peer: "L"})
		out := a.step(0, Message{From: "L", Msg: m})
		if got, ok := out[0].(Send).Msg.(work.Refused); !ok || got.Why != want {
			t.Errorf("%s: %+v", want, out)
		}
	}
}

func noGatherOffer() []byte {
	s := &job.Spec{Name: "n", Type: "custom", Executor: "wasm", Module: "m", Tasks: 1, Policy: job.Policy{Timeout: time.Minute}, Priority: 5}
	o := &job.Offer{ClientKey: make([]byte, 32), Spec: s.Encode(), Signature: make([]byte, 64)}
	return o.Encode()
}

func noGather() job.ID {
	o, err := job.DecodeOffer(noGatherOffer())
	if err != nil {
		panic(err) // the test's own bytes
	}
	return o.ID()
}

func BenchmarkBookAssignFinish(b *testing.B) {
	w := New(Config{Capability: capability(64_000, 64)}, nil)
	w.Step(0, Leader{Peer: "L", Term: 1})
	offer, id := offerOf("a")
	for n := uint64(1); b.Loop(); n++ {
		k := work.Key{Job: id, Attempt: uint32(n), Fence: n}
		now := time.Duration(n) * time.Millisecond
		w.Step(now, Message{From: "L", Msg: work.Book{Key: unfenced(k), Need: cores(1000)}})
		w.Step(now, Message{From: "L", Msg: work.Assign{Key: k, Offer: offer}})
		w.Step(now, Started{Key: k})
		w.Step(now, Finished{Key: k, Report: work.Report{Result: &job.Result{}}})
		w.Step(now, Message{From: "L", Msg: work.Ack{Key: k, Accepted: true}})
	}
}

// TestHeartbeatsGoTogether serves sixteen shards whose leaders it has heard of at
// different moments: it wakes a few times a second for all of them, and none waits
// longer for a heartbeat than it should.
func TestHeartbeatsGoTogether(t *testing.T) {
	const shards, length = 16, 20 * time.Second
	w := New(Config{Self: "w", Boot: 1}, nil)
	last, wakes := map[uint32]time.Duration{}, 0
	step := func(now time.Duration, ev Event) {
		for _, a := range w.Step(now, ev) {
			if s, ok := a.(Send); ok {
				if at, known := last[s.Shard]; known && now-at > time.Second {
					t.Fatalf("%v: shard %d waited %v for a heartbeat", now, s.Shard, now-at)
				}
				last[s.Shard] = now
			}
		}
	}
	now := time.Duration(0)
	for s := range uint32(shards) {
		for end := now + 61*time.Millisecond; now < end; now += time.Millisecond {
			if w.Wake() <= now {
				step(now, Tick{})
			}
		}
		step(now, Leader{Shard: s, Peer: "l", Term: 1})
	}
	for began := now; now < began+length; now = w.Wake() {
		step(now, Tick{})
		wakes++
	}
	if most := 4 * int(length/time.Second); len(last) != shards || wakes > most {
		t.Errorf("%d shards were spoken to, %d wakes in %v, want at most %d", len(last), wakes, length, most)
	}
	t.Logf("%d wakes in %v", wakes, length)
}
