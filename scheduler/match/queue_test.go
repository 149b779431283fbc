package match

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ciro-network/ciro/scheduler/job"
)

const epoch = 1_700_000_000_000

// shard is a job state through which tests make jobs and moves.
type shard struct {
	*job.State
	index uint64
}

func newShard() *shard { return &shard{State: job.NewState(job.Member{})} }

func (s *shard) apply(t fataler, c job.Command) job.Outcome {
	s.index++
	out := s.Apply(s.index, 1, &c)
	if out.Reason != "" {
		t.Fatalf("%+v: %s", c.Op, out.Reason)
	}
	return out
}

type fataler interface{ Fatalf(string, ...any) }

// plan is what tests vary about a job.
type plan struct {
	client   byte
	tasks    uint32
	priority uint8
	cpu      uint32
	at       int64 // milliseconds after the epoch
	gather   bool
}

func (s *shard) accept(t fataler, p plan) *job.Job {
	sp := job.Spec{
		Name: "job", Type: "custom", Executor: "wasm", Module: "module", Tasks: max(1, p.tasks), Priority: max(1, p.priority),
		Need: job.Resources{CPU: max(1, p.cpu), Memory: 1 << 20, Disk: 1 << 20}, Policy: job.Policy{Timeout: time.Minute},
	}
	if p.gather {
		sp.Gather = &job.Gather{}
	}
	key := make([]byte, 32)
	key[0] = p.client
	o := job.Offer{ClientKey: key, NotAfter: 1 << 60, Spec: sp.Encode(), Signature: make([]byte, 64)}
	binary.BigEndian.PutUint64(o.Nonce[:], s.index+1)
	return s.apply(t, job.Command{Op: job.OpAccept, At: epoch + p.at, Job: o.ID(), Offer: o.Encode()}).Job
}

func (s *shard) assign(t fataler, k Task) {
	s.apply(t, job.Command{Op: job.OpAssign, Job: k.Job, Task: k.Index, Attempt: s.Jobs[k.Job].Task(k.Index).Attempt + 1, Worker: "w"})
}

func (s *shard) done(t fataler, k Task) {
	task := s.Jobs[k.Job].Task(k.Index)
	s.apply(t, job.Command{Op: job.OpDone, Job: k.Job, Task: k.Index, Attempt: task.Attempt, Fence: task.Fence, Result: &job.Result{}})
}

func TestQueueKeepsTheOrderOfEntries(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, q := newShard(), NewQueue()
		q.Measure(job.Resources{CPU: 1000, Memory: 1 << 40, Disk: 1 << 40}, 0)
		var jobs []*job.Job
		at := int64(0)
		for range rapid.IntRange(1, 30).Draw(t, "jobs") {
			at += int64(rapid.IntRange(0, 400).Draw(t, "seconds")) * 1000
			q.Advance(epoch + at)
			j := s.accept(t, plan{
				client: byte(rapid.IntRange(1, 3).Draw(t, "client")), priority: uint8(rapid.IntRange(1, 10).Draw(t, "priority")),
				cpu: uint32(rapid.IntRange(1, 2).Draw(t, "cpu")), at: at,
			})
			q.Add(j)
			jobs = append(jobs, j)
		}
		now := epoch + at + int64(rapid.IntRange(0, 3600).Draw(t, "later"))*1000
		q.Advance(now)
		for c := byte(1); c <= 3; c++ {
			key := make([]byte, 32)
			key[0] = c
			for range rapid.IntRange(0, 3).Draw(t, "charges") {
				q.Charge(q.Client(string(key)), job.Resources{CPU: 7})
			}
		}
		var want []Entry
		for _, j := range jobs {
			want = append(want, Entry{
				Job: j.ID, Index: j.Index, Priority: j.Spec.Priority, Waiting: time.Duration(now-j.Accepted) * time.Millisecond,
				Share: q.Client(string(j.ClientKey)).Share(),
			})
		}
		Order(want)
		for i, e := range want {
			k, j, _, ok := q.Head()
			if !ok || k.Job != e.Job || j.ID != e.Job {
				t.Fatalf("place %d: job %d (%v), want %d", i, s.Jobs[k.Job].Index, ok, e.Index)
			}
			q.Take(k)
		}
		if _, _, _, ok := q.Head(); ok {
			t.Fatal("something is left")
		}
	})
}

// TestQueueLosesNothing drives jobs through their lives, in random order, and
// compares what the queue offers with what is eligible.
func TestQueueLosesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, q := newShard(), NewQueue()
		now := int64(epoch)
		var under []Task
		for range rapid.IntRange(1, 120).Draw(t, "steps") {
			now += int64(rapid.IntRange(0, 2000).Draw(t, "ms"))
			q.Advance(now)
			s.Time = now
			switch rapid.SampledFrom([]string{"accept", "assign", "assign", "done", "fail", "cancel", "back"}).Draw(t, "move") {
			case "accept":
				q.Add(s.accept(t, plan{
					client: byte(rapid.IntRange(1, 2).Draw(t, "client")), tasks: uint32(rapid.IntRange(1, 4).Draw(t, "tasks")),
					cpu: uint32(rapid.IntRange(1, 2).Draw(t, "cpu")), at: now - epoch, gather: rapid.Bool().Draw(t, "gather"),
				}))
			case "assign":
				if k, _, _, ok := q.Head(); ok {
					q.Take(k)
					s.assign(t, k)
					under = append(under, k)
				}
			case "back": // a booking that came to nothing
				if k, _, _, ok := q.Head(); ok {
					q.Take(k)
					q.Return(k, 0)
				}
			default:
				under = finish(t, s, q, under)
			}
			if got, want := q.drain(), s.eligible(now); !slices.Equal(got, want) {
				t.Fatalf("the queue offers %v, eligible are %v", got, want)
			}
		}
	})
}

// finish ends one of the tasks under way, well or badly, or its job.
func finish(t *rapid.T, s *shard, q *Queue, under []Task) []Task {
	if len(under) == 0 {
		return under
	}
	i := rapid.IntRange(0, len(under)-1).Draw(t, "which")
	k := under[i]
	under = slices.Delete(under, i, i+1)
	j := s.Jobs[k.Job]
	if j.State.Terminal() {
		return under
	}
	task := j.Task(k.Index)
	c := job.Command{Op: job.OpFail, Job: k.Job, Task: k.Index, Attempt: task.Attempt, Fence: task.Fence, Cause: job.CauseRefused}
	switch rapid.IntRange(0, 5).Draw(t, "end") {
	case 0, 1, 2:
		c.Op, c.Result = job.OpDone, &job.Result{}
	case 3:
		c.Op = job.OpCancel
	}
	for _, e := range s.apply(t, c).Events {
		switch e.Kind {
		case job.EventRequeued:
			q.Return(Task{e.Job, e.Task}, j.Task(e.Task).NotBefore)
		case job.EventAssembling:
			q.Return(Task{e.Job, job.GatherIndex}, 0)
		case job.EventCompleted, job.EventFailed, job.EventCancelled:
			q.Remove(j)
		}
	}
	return under
}

func compareTasks(a, b Task) int {
	return cmp.Or(slices.Compare(a.Job[:], b.Job[:]), int(a.Index)-int(b.Index))
}

// drain takes all out and puts all back.
func (q *Queue) drain() (out []Task) {
	for {
		k, _, _, ok := q.Head()
		if !ok {
			break
		}
		q.Take(k)
		out = append(out, k)
	}
	for _, k := range out {
		q.Return(k, 0)
	}
	slices.SortFunc(out, compareTasks)
	return out
}

func (s *shard) eligible(now int64) (out []Task) {
	for _, j := range s.SortedJobs() {
		for i := range j.Tasks {
			if j.Eligible(j.WireIndex(i), now) {
				out = append(out, Task{j.ID, j.WireIndex(i)})
			}
		}
	}
	slices.SortFunc(out, compareTasks)
	return out
}

// TestSharesAreFair lets clients with different amounts of work and different
// tasks share a full mesh: what each holds stays within a few per cent.
func TestSharesAreFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s, q, p := newShard(), NewQueue(), &Pool{}
		for i := range 20 {
			w := sample(fmt.Sprintf("w%02d", i))
			w.Free = job.Resources{CPU: 8000, Memory: 1 << 40, Disk: 1 << 40}
			w.FreeSlots, w.Cap.Slots, w.Cap.Total = 1000, 0, w.Free
			p.Add(&w)
		}
		clients, mixed := rapid.IntRange(2, 4).Draw(t, "clients"), rapid.Bool().Draw(t, "mixed")
		size := rapid.SampledFrom([]uint32{100, 200, 400})
		cpu := size.Draw(t, "cpu")
		for c := range clients {
			if mixed {
				cpu = size.Draw(t, "cpu")
			}
			for range rapid.IntRange(1, 3).Draw(t, "jobs") {
				q.Add(s.accept(t, plan{client: byte(c + 1), tasks: 2000, priority: 5, cpu: cpu}))
			}
		}
		q.Advance(epoch)
		q.Measure(p.Total())
		held := fill(s, q, p)
		check := func(when string) {
			for c := range clients {
				key := make([]byte, 32)
				key[0] = byte(c + 1)
				if got, want := q.Client(string(key)).Share(), 1/float64(clients); got < 0.9*want || got > 1.1*want {
					t.Fatalf("%s: client %d holds %.3f of the mesh, its fair part is %.3f", when, c+1, got, want)
				}
			}
		}
		check("at first")
		if mixed {
			return // small tasks take the small places that become free; holds are for that
		}
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for range 500 { // tasks end in random order and others take their places
			i := r.IntN(len(held))
			h := held[i]
			held = slices.Delete(held, i, i+1)
			h.w.Free, h.w.FreeSlots = h.w.Free.Add(h.need), h.w.FreeSlots+1
			p.Update(h.w)
			q.Discharge(h.client, h.need)
			held = append(held, fill(s, q, p)...)
		}
		check("later")
	})
}

type placed struct {
	w      *Worker
	need   job.Resources
	client *Client
}

// fill places what fits, as a leader does.
func fill(s *shard, q *Queue, p *Pool) (out []placed) {
	q.Freshen(p)
	q.Resume()
	for {
		k, j, sh, ok := q.Head()
		if !ok {
			return out
		}
		w, v := p.Choose(sh, &Ask{Task: k, Spec: j.Spec, Need: sh.Need}, &Options{Weights: DefaultWeights()})
		if v == Found {
			q.Take(k)
			c := q.Client(string(j.ClientKey))
			q.Charge(c, sh.Need)
			w.Free, w.FreeSlots = w.Free.Sub(sh.Need), w.FreeSlots-1
			p.Update(w)
			out = append(out, placed{w, sh.Need, c})
		}
		q.Settled(sh, v)
	}
}

func TestAllowance(t *testing.T) {
	c := NewQueue().Client("k")
	for i := range 3 {
		if _, ok := c.Allow(0, 2, 3); !ok {
			t.Fatalf("submission %d of a burst of 3 is refused", i)
		}
	}
	if wait, ok := c.Allow(0, 2, 3); ok || wait != 500*time.Millisecond {
		t.Errorf("%v, %v", wait, ok)
	}
	if _, ok := c.Allow(500*time.Millisecond, 2, 3); !ok {
		t.Error("still refused when the wait was over")
	}
}

func TestClientsAreForgotten(t *testing.T) {
	s, q := newShard(), NewQueue()
	j := s.accept(t, plan{client: 1, at: 1})
	q.Add(j)
	q.Client("other").Allow(time.Second, 1, 1)
	if q.Forget(2 * time.Second); q.Clients() != 1 {
		t.Errorf("%d clients are known, want the one with a job", q.Clients())
	}
	q.Remove(j)
	if q.Forget(2 * time.Second); q.Clients() != 0 {
		t.Errorf("%d clients are known", q.Clients())
	}
	if len(q.shapes)+len(q.list)+len(q.items)+len(q.aging.list)+len(q.ready.list) != 0 {
		t.Error("something of an ended job is kept")
	}
}

// TestOwnersAreToldApart has a worker that serves the second client only: the
// first one's task, which comes first, must not stand in its way.
func TestOwnersAreToldApart(t *testing.T) {
	s, q := newShard(), NewQueue()
	q.Advance(epoch)
	first, second := s.accept(t, plan{client: 1}), s.accept(t, plan{client: 2})
	q.Add(first)
	w := sample("w")
	w.Cap.Types, w.Cap.Deny = nil, []string{first.Spec.Owner}
	var pool Pool
	pool.Add(&w)
	q.TellOwners()
	q.Add(second)
	q.TellOwners() // once is enough
	var placed []job.ID
	for {
		task, j, shape, ok := q.Head()
		if !ok {
			break
		}
		a := Ask{Task: task, Spec: j.Spec, Need: j.Spec.Need}
		_, v := pool.Choose(shape, &a, &Options{Weights: DefaultWeights()})
		if v == Found {
			q.Take(task)
			placed = append(placed, task.Job)
		}
		q.Settled(shape, v)
	}
	if len(placed) != 1 || placed[0] != second.ID {
		t.Errorf("placed %v, want only %v", placed, second.ID)
	}
	e := Explain(first.Spec, first.Spec.Need, []*Worker{&w})
	if got := e.Sentence(first.Spec, first.Spec.Need); !strings.Contains(got, "1 takes no jobs of this client") {
		t.Error(got)
	}
}

// TestARefusalIsNoTurn takes a task for a booking that is refused, again and
// again: its kind has waited all along, also when it is the only one.
func TestARefusalIsNoTurn(t *testing.T) {
	s, q, p := newShard(), NewQueue(), &Pool{}
	q.Advance(epoch)
	q.Add(s.accept(t, plan{cpu: 1000}))
	for i := range int64(5) {
		q.Advance(epoch + 1000*i)
		task, j, shape, ok := q.Head()
		if i > 0 {
			shape = q.NextStarved(epoch)
			if shape == nil {
				t.Fatalf("after %d refusals the task is not said to have waited", i)
			}
			task, j, ok = q.First(shape)
		}
		if !ok {
			t.Fatal("nothing waits")
		}
		if _, v := p.Choose(shape, &Ask{Task: task, Spec: j.Spec, Need: shape.Need}, &Options{}); v != Nowhere {
			t.Fatalf("an empty pool has a place: %v", v)
		}
		q.Settled(shape, Nowhere)
		q.Take(task)
		if q.NextStarved(epoch) != nil {
			t.Fatal("nothing is left, and something starves")
		}
		q.Restore(task, 0)
	}
}
