package shard_test

import (
	"encoding/binary"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// lone is a replica that leads alone, with one worker that is never full.
type lone struct {
	rep *shard.Replica
	now time.Duration
}

func newLone(b *testing.B, p shard.Params) *lone {
	var d disk
	d.write(shard.Found("a", 7))
	cfg := shard.Config{Network: network, ID: 1, Self: "a", Params: p}
	d.fill(&cfg)
	rep, err := shard.New(cfg, shard.Now{Wall: wall})
	if err != nil {
		b.Fatal(err)
	}
	l := &lone{rep: rep}
	l.step(shard.Tick{})
	if !rep.Health().Mine {
		b.Fatal("a lone voter does not lead at once")
	}
	l.hear(work.Attach{Boot: 1, Capability: plenty, Free: plenty.Total, FreeSlots: plenty.Slots})
	return l
}

var plenty = work.Capability{
	Total: job.Resources{CPU: 1 << 30, Memory: 1 << 50, Disk: 1 << 50}, Executors: []string{"wasm"}, Slots: 1 << 20,
}

func (l *lone) step(ev shard.Event) []shard.Action {
	l.now += time.Microsecond
	return l.rep.Step(shard.Now{Mono: l.now, Wall: wall + l.now.Milliseconds()}, ev)
}

func (l *lone) hear(m work.Message) []shard.Action { return l.step(shard.Heard{From: "w", Msg: m}) }

// find returns the first message of a kind that the actions send to the worker.
func find[M work.Message](b *testing.B, acts []shard.Action) M {
	for _, a := range acts {
		if w, ok := a.(shard.Work); ok {
			if m, ok := w.Msg.(M); ok {
				return m
			}
		}
	}
	var none M
	b.Fatalf("no %T among %d actions", none, len(acts))
	return none
}

// BenchmarkJob takes one job of one task from its submission to its result:
// accept, book, assign, started, done. Four commits each.
func BenchmarkJob(b *testing.B) {
	l := newLone(b, shard.Params{})
	o := offerOf(1)
	jobs := 0
	for b.Loop() {
		// A fresh shard now and then, so that the cost of a job is measured and not
		// that of a state of any size.
		if jobs%2000 == 1999 {
			l = newLone(b, shard.Params{})
		}
		jobs++
		binary.BigEndian.PutUint64(o.Nonce[:], uint64(jobs))
		book := find[work.Book](b, l.step(shard.Submit{Token: uint64(jobs), Offer: o.Encode(), Holders: []string{"a"}}))
		assign := find[work.Assign](b, l.hear(work.Booked{Key: book.Key, Free: plenty.Total, FreeSlots: plenty.Slots}))
		l.hear(work.Started{Key: assign.Key})
		if ack := find[work.Ack](b, l.hear(work.Report{Key: assign.Key, Result: &job.Result{Output: "cid"}})); !ack.Accepted {
			b.Fatal("the result was refused")
		}
	}
	b.ReportMetric(float64(4*jobs)/b.Elapsed().Seconds(), "commits/s")
}

// BenchmarkIdle is the cost of a tick in which nothing happens.
func BenchmarkIdle(b *testing.B) {
	l := newLone(b, shard.Params{})
	for b.Loop() {
		l.now += 100 * time.Millisecond
		l.step(shard.Tick{})
	}
}

// BenchmarkPlace gives the one place that becomes free in a full mesh to the
// task that comes first, and has the worker refuse it: two Steps.
func BenchmarkPlace(b *testing.B) {
	for _, workers := range []int{10, 1000, 10_000} {
		for _, queued := range []int{10, 10_000, 100_000} {
			b.Run(fmt.Sprintf("workers=%d/queued=%d", workers, queued), func(b *testing.B) { place(b, workers, queued) })
		}
	}
}

func place(b *testing.B, workers, queued int) {
	l := newLone(b, shard.Params{MaxWorkers: workers + 1, Lease: 10 * time.Hour})
	name := func(i int) string { return fmt.Sprintf("12D3KooW%044d", i) }
	small := plenty
	small.Slots = 4
	l.hear(work.Heartbeat{Boot: 1, Free: plenty.Total})
	for i := range workers {
		l.step(shard.Heard{From: name(i), Msg: work.Attach{Boot: 1, Capability: small, Free: small.Total}})
	}
	for i := range max(1, queued/10) {
		o := offerOf(min(10, queued))
		o.ClientKey[0] = byte(i % 16)
		binary.BigEndian.PutUint64(o.Nonce[:], uint64(i))
		l.step(shard.Submit{Token: uint64(i + 1), Offer: o.Encode(), Holders: []string{"a"}})
	}
	if n := l.rep.Health().Jobs; n != max(1, queued/10) {
		b.Fatalf("%d jobs were accepted", n)
	}
	i := 0
	for b.Loop() {
		i = (i + 7919) % workers
		from := name(i)
		book := find[work.Book](b, l.step(shard.Heard{From: from, Msg: work.Heartbeat{Boot: 1, Free: small.Total, FreeSlots: 1}}))
		l.step(shard.Heard{From: from, Msg: work.Refused{Key: book.Key, Free: small.Total}})
	}
}

func offerOf(tasks int) *job.Offer {
	spec := &job.Spec{
		Name: "job", Type: "custom", Executor: "wasm", Module: "module", Tasks: uint32(tasks), Priority: 5,
		Need: job.Resources{CPU: 1000, Memory: 1 << 30, Disk: 1 << 30}, Policy: job.Policy{Timeout: time.Minute},
	}
	return &job.Offer{
		Network: network, ClientKey: make([]byte, 32), NotAfter: wall + time.Hour.Milliseconds(), Spec: spec.Encode(), Signature: make([]byte, 64),
	}
}

// BenchmarkHeartbeat is a heartbeat from one of 800 workers, with as many
// attempts under way.
func BenchmarkHeartbeat(b *testing.B) {
	const workers = 800
	l := newLone(b, shard.Params{Lease: 10 * time.Hour})
	name := func(i int) string { return fmt.Sprintf("12D3KooW%044d", i) }
	small := plenty
	small.Slots = 4
	held := make([][]work.Key, workers)
	take := func(acts []shard.Action) {
		for _, a := range slices.Clone(acts) {
			w, ok := a.(shard.Work)
			if !ok {
				continue
			}
			switch m := w.Msg.(type) {
			case work.Book:
				l.step(shard.Heard{From: w.To, Msg: work.Booked{Key: m.Key, Free: small.Total, FreeSlots: 3}})
			}
		}
	}
	for i := range workers {
		l.step(shard.Heard{From: name(i), Msg: work.Attach{Boot: 1, Capability: small, Free: small.Total, FreeSlots: 4}})
	}
	for i := range workers {
		o := offerOf(1)
		binary.BigEndian.PutUint64(o.Nonce[:], uint64(i))
		take(l.step(shard.Submit{Token: uint64(i + 1), Offer: o.Encode(), Holders: []string{"a"}}))
	}
	for i := range workers {
		for _, j := range l.rep.State().SortedJobs() {
			if t := j.Tasks[0]; t.Worker == name(i) {
				held[i] = append(held[i], work.Key{Job: j.ID, Attempt: t.Attempt, Fence: t.Fence})
			}
		}
	}
	i := 0
	b.ReportAllocs()
	for b.Loop() {
		i = (i + 7919) % workers
		l.step(shard.Heard{From: name(i), Msg: work.Heartbeat{Boot: 1, Free: small.Total, FreeSlots: 3, Held: held[i]}})
	}
}
