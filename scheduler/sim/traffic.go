package sim

import (
	"slices"
	"time"
)

// Kind is a kind of traffic.
type Kind uint8

// The kinds of traffic.
const (
	KindRaft    Kind = iota // between the replicas of a shard
	KindWork                // between leaders and workers
	KindGroup               // probes, invitations and hellos
	KindClient              // submissions, questions and their answers
	KindShards              // gossip: who leads what
	KindOffers              // gossip: offers of jobs
	KindWorkers             // gossip: capabilities of workers
	kinds
)

var kindNames = [kinds]string{"raft", "work", "group", "client", "gossip shards", "gossip offers", "gossip workers"}

// String returns the name that users see.
func (k Kind) String() string { return kindNames[k] }

// tally is what a node has sent and received of one kind.
type tally struct{ Messages, Bytes uint64 }

func (n *node) count(kind Kind, size int) {
	n.traffic[kind].Messages++
	n.traffic[kind].Bytes += uint64(size)
}

// Traffic is what the nodes of one class sent and received. Bytes are those of
// the messages, without what the transport adds.
type Traffic struct {
	Class string        `json:"class"` // voter, worker or bystander
	Nodes int           `json:"nodes"`
	Kinds []KindTraffic `json:"kinds"`
}

// KindTraffic is the part of one kind, per node and second.
type KindTraffic struct {
	Kind     string  `json:"kind"` // or "all"
	Messages float64 `json:"messagesPerSecond"`
	Bytes    float64 `json:"bytesPerSecond"`
	MaxBytes float64 `json:"maxBytesPerSecond"` // of the node that has most
}

// The classes of nodes. A voter usually works too.
var classes = []string{"voter", "worker", "bystander"}

func (n *node) class() string {
	switch {
	case n.voted:
		return "voter"
	case n.bystander:
		return "bystander"
	}
	return "worker"
}

// account puts the traffic of the nodes into the report.
func (w *world) account() {
	seconds := w.now.Seconds()
	if seconds == 0 {
		return
	}
	for _, class := range classes {
		t := Traffic{Class: class, Kinds: make([]KindTraffic, kinds+1)}
		for _, n := range w.nodes {
			if n.class() == class {
				t.Nodes++
				t.take(n, seconds)
			}
		}
		if t.Nodes == 0 {
			continue
		}
		for i := range t.Kinds {
			k := &t.Kinds[i]
			k.Messages, k.Bytes = k.Messages/float64(t.Nodes), k.Bytes/float64(t.Nodes)
		}
		w.report.Traffic = append(w.report.Traffic, t)
	}
	for _, n := range w.nodes {
		for _, t := range n.traffic {
			w.report.Messages += t.Messages
			w.report.Bytes += t.Bytes
		}
	}
}

func (t *Traffic) take(n *node, seconds float64) {
	sum := tally{}
	put := func(k *KindTraffic, name string, of tally) {
		k.Kind = name
		k.Messages += float64(of.Messages) / seconds
		k.Bytes += float64(of.Bytes) / seconds
		k.MaxBytes = max(k.MaxBytes, float64(of.Bytes)/seconds)
	}
	for i, of := range n.traffic {
		put(&t.Kinds[i], Kind(i).String(), of)
		sum.Messages, sum.Bytes = sum.Messages+of.Messages, sum.Bytes+of.Bytes
	}
	put(&t.Kinds[kinds], "all", sum)
}

// addTraffic takes another run's traffic in, weighted by the time that each
// lasted.
func (r *Report) addTraffic(o *Report) {
	a, b := r.Virtual.Seconds(), o.Virtual.Seconds()
	if a+b == 0 {
		return
	}
	for _, t := range o.Traffic {
		i := slices.IndexFunc(r.Traffic, func(mine Traffic) bool { return mine.Class == t.Class })
		if i < 0 {
			t.Kinds = slices.Clone(t.Kinds)
			r.Traffic = append(r.Traffic, t)
			continue
		}
		mine := &r.Traffic[i]
		mine.Nodes = max(mine.Nodes, t.Nodes)
		for j := range mine.Kinds {
			x, y := &mine.Kinds[j], t.Kinds[j]
			x.Messages = (x.Messages*a + y.Messages*b) / (a + b)
			x.Bytes = (x.Bytes*a + y.Bytes*b) / (a + b)
			x.MaxBytes = max(x.MaxBytes, y.MaxBytes)
		}
	}
}

// Sizes are the sizes of what replicas keep, looked at every ten seconds of
// virtual time.
type Sizes struct {
	LogEntries    Spread `json:"logEntries"`
	LogBytes      Spread `json:"logBytes"`      // stored entries
	SnapshotBytes Spread `json:"snapshotBytes"` // stored snapshot
	Jobs          Spread `json:"jobs"`          // in the state, ended ones included
	StateBytes    Spread `json:"stateBytes"`    // of jobs, as the state itself estimates them
}

// Spread is a mean and a maximum over all replicas and times.
type Spread struct {
	N    uint64  `json:"n"`
	Mean float64 `json:"mean"`
	Max  uint64  `json:"max"`
}

func (s *Spread) note(v uint64) {
	s.N++
	s.Mean += (float64(v) - s.Mean) / float64(s.N)
	s.Max = max(s.Max, v)
}

func (s *Spread) add(o Spread) {
	if n := s.N + o.N; n > 0 {
		s.Mean = (s.Mean*float64(s.N) + o.Mean*float64(o.N)) / float64(n)
	}
	s.N, s.Max = s.N+o.N, max(s.Max, o.Max)
}

func (s *Sizes) add(o *Sizes) {
	s.LogEntries.add(o.LogEntries)
	s.LogBytes.add(o.LogBytes)
	s.SnapshotBytes.add(o.SnapshotBytes)
	s.Jobs.add(o.Jobs)
	s.StateBytes.add(o.StateBytes)
}

const measureEvery = 10 * time.Second

// measure looks at the sizes when that is due.
func (w *world) measure() {
	if w.now < w.measureAt {
		return
	}
	w.measureAt = w.now + measureEvery
	z := &w.report.Sizes
	for s, members := range w.members {
		for _, n := range members {
			if !n.up || n.hosts[s] == nil {
				continue
			}
			log, st := n.disk.shards[s].log, n.hosts[s].rep.State()
			z.LogEntries.note(uint64(len(log.entries)))
			size := 0
			for _, e := range log.entries {
				size += len(e)
			}
			z.LogBytes.note(uint64(size))
			z.SnapshotBytes.note(log.snapshotBytes())
			z.Jobs.note(uint64(len(st.Jobs)))
			z.StateBytes.note(uint64(st.Bytes))
		}
	}
}

// snapshotBytes is the size of the stored snapshot.
func (d *logDisk) snapshotBytes() uint64 {
	n := len(d.snap)
	for _, c := range d.chunks[d.index] {
		n += len(c)
	}
	return uint64(n)
}
