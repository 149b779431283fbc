package shard_test

import (
	"encoding/binary"
	"fmt"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// crowd is several leaders of different shards around one worker, on one virtual
// clock; every message takes a hop.
type crowd struct {
	t       *testing.T
	now     time.Duration
	leaders []*shard.Replica
	w       *worker.Worker
	later   []func() // what arrives with the next hop
	ends    map[work.Key]time.Duration
	refused int
	done    []time.Duration // per leader: when its last job ended
}

func newCrowd(t *testing.T, leaders, slots int) *crowd {
	c := &crowd{t: t, ends: map[work.Key]time.Duration{}, done: make([]time.Duration, leaders)}
	total := job.Resources{CPU: uint32(1000 * slots), Memory: uint64(slots) << 30, Disk: uint64(slots) << 30}
	c.w = worker.New(worker.Config{Self: "w", Boot: 1, Capability: work.Capability{
		Total: total, Executors: []string{"wasm"}, Slots: uint32(slots),
	}}, nil)
	for i := range leaders {
		var d disk
		d.write(shard.Found(name(i), 7))
		cfg := shard.Config{Shard: uint32(i), Network: network, ID: 1, Self: name(i)}
		d.fill(&cfg)
		r, err := shard.New(cfg, shard.Now{Wall: wall})
		if err != nil {
			t.Fatal(err)
		}
		c.leaders = append(c.leaders, r)
		c.lead(i, shard.Tick{})
		c.work(worker.Leader{Shard: uint32(i), Peer: name(i), Term: 2})
	}
	return c
}

func name(i int) string { return fmt.Sprintf("leader%d", i) }

func (c *crowd) lead(i int, ev shard.Event) {
	for _, a := range c.leaders[i].Step(shard.Now{Mono: c.now, Wall: wall + c.now.Milliseconds()}, ev) {
		switch a := a.(type) {
		case shard.Work:
			msg := a.Msg
			c.later = append(c.later, func() { c.work(worker.Message{Shard: uint32(i), From: name(i), Msg: msg}) })
		case shard.Applied:
			for _, e := range a.Events {
				if e.Kind == job.EventCompleted {
					c.done[i] = c.now
				}
			}
		}
	}
}

func (c *crowd) work(ev worker.Event) {
	acts := c.w.Step(c.now, ev)
	if err := c.w.Check(); err != nil {
		c.t.Fatal(err)
	}
	for _, a := range acts {
		switch a := a.(type) {
		case worker.Send:
			if r, ok := a.Msg.(work.Refused); ok {
				c.refused++
				if r.Key.Fence != 0 {
					c.t.Fatalf("an assignment was refused although its place was booked: %s", r.Why)
				}
			}
			c.later = append(c.later, func() { c.lead(int(a.Shard), shard.Heard{From: "w", Msg: a.Msg}) })
		case worker.Run:
			c.ends[a.Assign.Key] = c.now + 200*time.Millisecond
			c.later = append(c.later, func() { c.work(worker.Started{Key: a.Assign.Key}) })
		}
	}
}

// run lets time pass until all jobs have ended.
func (c *crowd) run(limit time.Duration) {
	for c.now < limit && !c.over() {
		c.now += hop
		due := c.later
		c.later = nil
		for _, f := range due {
			f()
		}
		for _, k := range c.w.Status().Running {
			if at, ok := c.ends[k]; ok && at <= c.now {
				delete(c.ends, k)
				c.work(worker.Finished{Key: k, Report: work.Report{Key: k, Result: &job.Result{}}})
			}
		}
		for i, r := range c.leaders {
			if r.Wake() <= c.now {
				c.lead(i, shard.Tick{})
			}
		}
		if c.w.Wake() <= c.now {
			c.work(worker.Tick{})
		}
	}
}

func (c *crowd) over() bool {
	for _, r := range c.leaders {
		for _, j := range r.State().Jobs {
			if !j.State.Terminal() {
				return false
			}
		}
	}
	return true
}

// TestLeadersShareAWorker lets many leaders that know nothing of each other book
// one worker. They over-book it all the time, which the worker refuses; that
// costs no attempt, every leader gets its turns, and the worker is not idle.
func TestLeadersShareAWorker(t *testing.T) {
	const leaders, slots, tasks = 8, 2, 25
	c := newCrowd(t, leaders, slots)
	c.run(time.Second) // nothing to do yet, so it stops at once
	for i := range leaders {
		o := offerOf(tasks)
		binary.BigEndian.PutUint64(o.Nonce[:], uint64(i))
		c.lead(i, shard.Submit{Token: 1, Offer: o.Encode(), Holders: []string{name(i)}})
	}
	c.run(5 * time.Minute)
	if !c.over() {
		t.Fatalf("some jobs had not ended after %v", c.now)
	}
	for i, r := range c.leaders {
		for _, j := range r.State().Jobs {
			for k, task := range j.Tasks {
				if task.Attempt != 1 || task.Lost+task.Failures > 0 {
					t.Errorf("leader %d, task %d: %d attempts, %d lost, %d failed", i, k, task.Attempt, task.Lost, task.Failures)
				}
			}
		}
	}
	first, last := c.done[0], c.done[0]
	for _, at := range c.done {
		first, last = min(first, at), max(last, at)
	}
	least := time.Duration(leaders*tasks/slots) * 200 * time.Millisecond
	t.Logf("the jobs ended between %v and %v, %v of work; %d bookings were refused", first, last, least, c.refused)
	if c.refused == 0 {
		t.Error("nothing was ever over-booked")
	}
	if first < last/2 {
		t.Errorf("one leader was done after %v, the last after %v: they do not take turns", first, last)
	}
	if last > 2*least {
		t.Errorf("it took %v to do %v of work", last, least)
	}
}

// TestLateLeaderGetsItsTurn gives a busy worker's second leader one task to
// place: the first leader, whose tasks take every place the moment that it is
// free, must not keep the other out until its own queue is empty.
func TestLateLeaderGetsItsTurn(t *testing.T) {
	const slots = 2
	c := newCrowd(t, 2, slots)
	c.run(time.Second)
	for i, tasks := range []int{300, 1} {
		o := offerOf(tasks)
		binary.BigEndian.PutUint64(o.Nonce[:], uint64(i))
		c.lead(i, shard.Submit{Token: 1, Offer: o.Encode(), Holders: []string{name(i)}})
		if i == 0 {
			c.run(3 * time.Second)
		}
	}
	at := c.now
	c.run(5 * time.Minute)
	if !c.over() {
		t.Fatalf("some jobs had not ended after %v", c.now)
	}
	t.Logf("the late leader's task ended %v after it was there, the other's after %v; %d bookings were refused", c.done[1]-at, c.done[0]-at, c.refused)
	if c.done[1]-at > 2*time.Second {
		t.Errorf("a task of 200 ms waited %v for its turn", c.done[1]-at)
	}
}
