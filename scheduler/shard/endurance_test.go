package shard_test

import (
	"encoding/binary"
	"flag"
	"runtime"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

var (
	jobs    = flag.Int("jobs", 3000, "jobs of the endurance test")
	jobRate = flag.Float64("rate", 2.5, "of these per second of virtual time")
)

// offerLife is how long the endurance test's offers are good for; a job is kept
// for that time and job.Retention.
const offerLife = time.Minute

// enduring is a shard of one replica with one worker that does every task at
// once, an anchor that confirms every batch at once, and a disk of which only
// sizes are kept.
type enduring struct {
	t        *testing.T
	rep      *shard.Replica
	now      time.Duration
	first    uint64 // index of sizes[0]
	sizes    []int  // of the stored entries
	logBytes int
	snapshot int // bytes
	chunks   int // bytes, of the last one written
	accepted int
	peak     peaks
}

// peaks are the largest values seen.
type peaks struct{ jobs, stateBytes, entries, logBytes, snapshot, tombstones, events, leaves int }

// TestEndurance takes many jobs through one shard, with compaction and
// retention, and shows that what is kept does not grow with their number.
// make endurance does it with a million.
func TestEndurance(t *testing.T) {
	var d disk
	d.write(shard.Found("a", 7))
	cfg := shard.Config{Network: network, ID: 1, Self: "a"}
	d.fill(&cfg)
	rep, err := shard.New(cfg, shard.Now{Wall: wall})
	if err != nil {
		t.Fatal(err)
	}
	e := &enduring{t: t, rep: rep, first: 2}
	e.step(shard.Tick{})
	capability := work.Capability{Total: job.Resources{CPU: 1 << 30, Memory: 1 << 50, Disk: 1 << 50}, Executors: []string{"wasm"}, Slots: 1 << 12}
	e.step(shard.Heard{From: "w", Msg: work.Attach{Boot: 1, Capability: capability, Free: capability.Total, FreeSlots: capability.Slots}})
	began := time.Now()
	o := offerOf(1)
	perJob := time.Duration(float64(time.Second) / *jobRate)
	for i, due := 0, time.Duration(0); i < *jobs; {
		for ; due <= e.now && i < *jobs; due, i = due+perJob, i+1 {
			binary.BigEndian.PutUint64(o.Nonce[:], uint64(i))
			binary.BigEndian.PutUint32(o.ClientKey, uint32(i%16))
			o.NotAfter = wall + (e.now + offerLife).Milliseconds()
			e.step(shard.Submit{Token: uint64(i + 1), Offer: o.Encode(), Holders: []string{"a"}})
		}
		e.now += 100 * time.Millisecond
		e.step(shard.Tick{})
		if e.now%time.Second == 0 {
			e.step(shard.Heard{From: "w", Msg: work.Heartbeat{Boot: 1, Free: capability.Total, FreeSlots: capability.Slots}})
			e.look()
		}
	}
	e.look()
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	t.Logf("%d jobs in %v of virtual time and %v: at most %d jobs and %d bytes in the state, %d log entries of %d bytes, snapshots of %d bytes, %d tombstones, %d events, %d leaves; heap at the end %d MB",
		e.accepted, e.now, time.Since(began).Round(time.Millisecond), e.peak.jobs, e.peak.stateBytes, e.peak.entries, e.peak.logBytes, e.peak.snapshot,
		e.peak.tombstones, e.peak.events, e.peak.leaves, m.HeapAlloc>>20)
	kept := int(*jobRate * (offerLife + job.Retention + 2*time.Minute).Seconds()) // a sweep comes once a minute
	for _, b := range []struct {
		what       string
		got, bound int
	}{
		{"accepted jobs not", *jobs - e.accepted, 0}, {"jobs in the state", e.peak.jobs, kept}, {"tombstones", e.peak.tombstones, job.MaxTombstones},
		{"log entries", e.peak.entries, max(4096, e.peak.jobs) + 4096/8 + 256}, {"events", e.peak.events, job.MaxEvents}, {"leaves", e.peak.leaves, job.MaxLeaves / 2},
		{"no-ops", int(rep.State().Noops), 0},
	} {
		if b.got > b.bound {
			t.Errorf("%s: %d, over %d", b.what, b.got, b.bound)
		}
	}
	if *jobs > 2*kept && e.peak.tombstones == 0 {
		t.Error("nothing was forgotten")
	}
}

// step steps the replica and plays everything around it.
func (e *enduring) step(ev shard.Event) {
	var next []shard.Event
	for _, a := range e.rep.Step(shard.Now{Mono: e.now, Wall: wall + e.now.Milliseconds()}, ev) {
		switch a := a.(type) {
		case shard.Persist:
			e.persist(a)
		case shard.Work:
			next = append(next, e.work(a.Msg)...)
		case shard.Cut:
			next = append(next, shard.Confirm{Anchor: job.Anchor{Seq: a.Batch.Seq, Signer: "a", Reference: "test"}})
		case shard.Reply:
			if a.Answer.Reason != "" {
				e.t.Fatalf("a submission at %v is answered %s: %s", e.now, a.Answer.Reason, a.Answer.Message)
			}
			e.accepted++
		}
	}
	for _, ev := range next {
		e.step(ev)
	}
}

// work is the worker's side.
func (e *enduring) work(m work.Message) []shard.Event {
	say := func(m work.Message) shard.Event { return shard.Heard{From: "w", Msg: m} }
	switch m := m.(type) {
	case work.Book:
		return []shard.Event{say(work.Booked{Key: m.Key, Free: job.Resources{CPU: 1 << 29, Memory: 1 << 49, Disk: 1 << 49}, FreeSlots: 1 << 11})}
	case work.Assign:
		return []shard.Event{
			say(work.Started{Key: m.Key}),
			say(work.Report{Key: m.Key, Result: &job.Result{Output: "bafyoutput", Size: 1, Holders: []string{"a"}, WallTime: time.Second}}),
		}
	}
	return nil
}

func (e *enduring) persist(p shard.Persist) {
	for _, c := range p.Chunks {
		if c.N == 0 {
			e.chunks = 0
		}
		e.chunks += len(c.Data)
	}
	if p.Snapshot != nil {
		cut := int(min(p.SnapshotIndex+1-e.first, uint64(len(e.sizes))))
		for _, n := range e.sizes[:cut] {
			e.logBytes -= n
		}
		e.sizes, e.first, e.snapshot = append([]int(nil), e.sizes[cut:]...), p.SnapshotIndex+1, e.chunks
	}
	for _, b := range p.Entries {
		e.sizes = append(e.sizes, len(b)) // a lone leader never rewrites
		e.logBytes += len(b)
	}
}

func (e *enduring) look() {
	st, p := e.rep.State(), &e.peak
	p.jobs, p.stateBytes = max(p.jobs, len(st.Jobs)), max(p.stateBytes, int(st.Bytes))
	p.entries, p.logBytes, p.snapshot = max(p.entries, len(e.sizes)), max(p.logBytes, e.logBytes), max(p.snapshot, e.snapshot)
	p.tombstones, p.events = max(p.tombstones, len(st.Tombstones)), max(p.events, len(st.Events))
	p.leaves = max(p.leaves, len(st.Anchoring.Leaves))
}
