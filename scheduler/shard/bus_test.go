package shard_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// wall is the wall clock at the bus's time zero, in unix milliseconds.
const wall = 1_700_000_000_000

// hop is how long every message travels.
const hop = 5 * time.Millisecond

var network = [32]byte{1, 2, 3}

// box is one node: at most one replica of the one shard, and its disk.
type box struct {
	peer        string
	rep         *shard.Replica
	id          uint64
	incarnation uint64 // as answered to a probe; 0: none
	tomb        uint64
	down        bool
	disk        disk
	copied      disk // an older copy of it
}

// disk holds what Persist actions wrote.
type disk struct {
	hard, snap []byte
	entries    map[uint64][]byte
	chunks     map[uint64][][]byte // by index of their snapshot
	last       uint64
	snapIndex  uint64
}

func (d *disk) write(p shard.Persist) {
	if p.HardState != nil {
		d.hard = p.HardState
	}
	if d.entries == nil {
		d.entries, d.chunks = map[uint64][]byte{}, map[uint64][][]byte{}
	}
	for _, c := range p.Chunks {
		if c.N == 0 {
			d.keepChunks(c.Index)
		}
		d.chunks[c.Index] = append(d.chunks[c.Index][:c.N:c.N], c.Data)
	}
	if p.Snapshot != nil {
		d.snap, d.snapIndex = p.Snapshot, p.SnapshotIndex
		d.keepChunks(p.SnapshotIndex)
	}
	for i, e := range p.Entries {
		d.entries[p.First+uint64(i)] = e
		d.last = p.First + uint64(i)
	}
	for i := range d.entries { // any order: each is judged alone
		if i <= d.snapIndex || i > d.last {
			delete(d.entries, i)
		}
	}
}

// keepChunks drops all chunks but those of an index and of the snapshot.
func (d *disk) keepChunks(index uint64) {
	for i := range d.chunks { // any order: each is judged alone
		if i != index && i != d.snapIndex {
			delete(d.chunks, i)
		}
	}
}

// chunk answers a Fetch.
func (d *disk) chunk(index uint64, n uint32) []byte {
	if list := d.chunks[index]; int(n) < len(list) {
		return list[n]
	}
	return nil
}

func (d *disk) clone() disk {
	c := *d
	c.entries = maps.Clone(d.entries)
	return c
}

// fill gives the stored parts to a configuration.
func (d *disk) fill(cfg *shard.Config) {
	cfg.HardState, cfg.Snapshot, cfg.Chunks, cfg.First = d.hard, d.snap, d.chunks[d.snapIndex], d.snapIndex+1
	for i := cfg.First; d.entries[i] != nil; i++ {
		cfg.Entries = append(cfg.Entries, d.entries[i])
	}
}

type letter struct {
	at       time.Duration
	from, to string
	body     any // shard.Event for a box, work.Message for a worker
}

// bus is a mesh of boxes and scripted workers on one virtual clock. Everything
// that people could see is written to log.
type bus struct {
	t        *testing.T
	now      time.Duration
	params   shard.Params
	boxes    map[string]*box
	workers  map[string]*hand
	names    []string // of the boxes, sorted
	crew     []string // of the workers, sorted
	dir      shard.Directory
	skewed   []string        // whose clocks are wrong
	cut      map[string]bool // "a b": nothing goes from a to b
	letters  []letter
	token    uint64
	tokens   map[uint64]string
	jobs     map[string]job.ID
	titles   map[job.ID]string
	takes    map[job.ID]time.Duration // to run one task; 0: as long as the worker says
	log      strings.Builder
	answered map[uint64]shard.Answer
}

func newBus(t *testing.T, p shard.Params) *bus {
	return &bus{
		t: t, params: p, boxes: map[string]*box{}, workers: map[string]*hand{}, cut: map[string]bool{},
		tokens: map[uint64]string{}, jobs: map[string]job.ID{}, titles: map[job.ID]string{}, takes: map[job.ID]time.Duration{}, answered: map[uint64]shard.Answer{},
	}
}

func (b *bus) printf(format string, args ...any) {
	fmt.Fprintf(&b.log, "%7.3f ", b.now.Seconds())
	fmt.Fprintf(&b.log, format, args...)
	b.log.WriteByte('\n')
}

func (b *bus) add(peer string) *box {
	x := &box{peer: peer}
	b.boxes[peer] = x
	b.names = append(b.names, peer)
	slices.Sort(b.names)
	return x
}

// start makes the replica from what the box has on disk.
func (b *bus) start(x *box) {
	cfg := shard.Config{Network: network, ID: x.id, Self: x.peer, Params: b.params}
	x.disk.fill(&cfg)
	rep, err := shard.New(cfg, b.moment())
	if err != nil {
		b.t.Fatal(err)
	}
	x.rep = rep
	b.step(x, shard.Tick{})
}

func (b *bus) moment() shard.Now { return shard.Now{Mono: b.now, Wall: wall + b.now.Milliseconds()} }

func (b *bus) step(x *box, ev shard.Event) {
	if x.rep == nil || x.down {
		return
	}
	for _, a := range slices.Clone(x.rep.Step(b.moment(), ev)) {
		b.perform(x, a)
	}
}

func (b *bus) post(from, to string, body any) {
	if !b.cut[from+" "+to] {
		b.letters = append(b.letters, letter{b.now + hop, from, to, body})
	}
}

func (b *bus) perform(x *box, a shard.Action) {
	switch a := a.(type) {
	case shard.Persist:
		if a.Snapshot != nil {
			b.printf("%s stores a snapshot at %d", x.peer, a.SnapshotIndex)
		}
		x.disk.write(a)
	case shard.Send:
		m := &raftpb.Message{}
		if err := proto.Unmarshal(a.Data, m); err != nil {
			b.t.Fatal(err)
		}
		if m.GetType() == raftpb.MsgSnap {
			b.printf("%s sends a snapshot to %s", x.peer, a.To)
		}
		b.post(x.peer, a.To, shard.Received{From: x.peer, Data: a.Data})
	case shard.Work:
		b.post(x.peer, a.To, a.Msg)
	case shard.Reply:
		b.answered[a.Token] = a.Answer
		b.printf("%s answers %s: %s", x.peer, b.tokens[a.Token], b.answer(a.Answer))
	case shard.Applied:
		b.applied(x, a)
	case shard.Progressed:
		b.printf("%s hears progress %d from %s", x.peer, a.Progress.Permille, a.Worker)
	case shard.Led:
		mine := ""
		if a.Mine {
			mine = " mine"
		}
		b.printf("%s sees term %d leader %q%s voters %v learners %v", x.peer, a.Term, a.Leader, mine, a.Voters, a.Learners)
	case shard.Cut:
		b.printf("%s cuts batch %d: records %d to %d, members %v", x.peer, a.Batch.Seq, a.Batch.First, a.Batch.First+a.Batch.Count, a.Batch.Members)
	case shard.Anchored:
		b.printf("%s has the anchor of batch %d", x.peer, a.Anchor.Seq)
	case shard.Fetch:
		b.printf("%s fetches chunk %d of the snapshot at %d from %s", x.peer, a.N, a.Index, a.From)
		if y := b.boxes[a.From]; !y.down && !b.cut[x.peer+" "+a.From] {
			b.post(a.From, x.peer, shard.Fetched{Index: a.Index, N: a.N, Data: y.disk.chunk(a.Index, a.N)})
		}
	case shard.Outdated:
		b.printf("%s stops: it has the log up to %d and acknowledged %d", x.peer, a.Last, a.Known)
		x.down, x.rep = true, nil
	case shard.Removed:
		b.printf("%s is removed", x.peer)
		x.tomb, x.rep, x.disk = max(x.tomb, x.id), nil, disk{}
	default:
		b.member(x, a)
	}
}

// member performs the actions that concern the group.
func (b *bus) member(x *box, a shard.Action) {
	switch a := a.(type) {
	case shard.Probe:
		b.printf("%s probes %s", x.peer, a.To)
		if y := b.boxes[a.To]; y != nil && !y.down && !b.cut[x.peer+" "+a.To] {
			if y.rep != nil {
				b.post(a.To, x.peer, shard.Probed{Peer: a.To, Refused: true})
				return
			}
			y.incarnation = 1000 + uint64(b.now/time.Millisecond)
			b.post(a.To, x.peer, shard.Probed{Peer: a.To, Incarnation: y.incarnation})
		}
	case shard.Invite:
		b.invite(x, a)
	case shard.Dismiss:
		b.printf("%s dismisses replica %d of %s", x.peer, a.ID, a.To)
		if y := b.boxes[a.To]; !y.down && y.rep != nil && y.id <= a.ID && !b.cut[x.peer+" "+a.To] {
			y.tomb, y.rep, y.disk = max(y.tomb, a.ID), nil, disk{}
		}
	}
}

func (b *bus) invite(x *box, a shard.Invite) {
	y := b.boxes[a.To]
	if y.down || b.cut[x.peer+" "+a.To] || y.rep != nil && y.id == a.ID {
		return
	}
	b.printf("%s invites %s as replica %d", x.peer, a.To, a.ID)
	if y.incarnation != a.Incarnation || a.ID <= y.tomb || a.ID <= y.id && y.rep != nil {
		b.post(a.To, x.peer, shard.InviteRefused{Peer: a.To, ID: a.ID})
		return
	}
	y.id, y.disk = a.ID, disk{}
	b.start(y)
}

func (b *bus) title(id job.ID) string {
	if n := b.titles[id]; n != "" {
		return n
	}
	return id.Short()
}

func (b *bus) answer(a shard.Answer) string {
	if a.Reason != "" {
		if a.Leader != "" {
			return a.Reason + ", ask " + a.Leader
		}
		return a.Reason
	}
	if a.Index == 0 {
		return "ok"
	}
	return fmt.Sprintf("ok, accepted in term %d at index %d, created %v", a.Term, a.Index, a.Created)
}

// applied writes the events of the leader alone, since all replicas see the
// same ones.
func (b *bus) applied(x *box, a shard.Applied) {
	if a.Reset {
		b.printf("%s takes over a snapshot at %d", x.peer, x.rep.State().Index)
	}
	if !x.rep.Health().Mine {
		return
	}
	for _, e := range a.Events {
		s := fmt.Sprintf("%d: %s %s", e.Index, b.title(e.Job), e.Kind)
		if e.Attempt > 0 {
			s += fmt.Sprintf(" task %d attempt %d on %s", e.Task, e.Attempt, e.Worker)
		}
		if e.Cause != 0 || e.Detail != "" {
			s += fmt.Sprintf(" (%s %s)", e.Cause, e.Detail)
		}
		b.printf("%s", s)
	}
}

// anchor says at a box, twice, that the anchor holds a batch.
func (b *bus) anchor(args []string) {
	x := b.boxes[option(args, "at", "")]
	if x == nil {
		x = b.leader()
	}
	for range 2 {
		b.step(x, shard.Confirm{Anchor: job.Anchor{Seq: uint64(b.number(args, "seq")), Signer: x.peer}})
	}
}

// run lets time pass.
func (b *bus) run(d time.Duration) {
	for end := b.now + d; b.now < end; {
		b.now += hop
		due := b.letters
		b.letters = nil
		for _, l := range due {
			if l.at > b.now {
				b.letters = append(b.letters, l)
				continue
			}
			b.deliver(l)
		}
		for _, n := range b.names {
			x := b.boxes[n]
			if x.rep == nil || x.down {
				continue
			}
			if b.now%time.Second == 0 {
				dir := b.dir
				dir.Skewed = slices.Contains(b.skewed, n)
				b.step(x, dir)
			}
			if x.rep != nil && x.rep.Wake() <= b.now {
				b.step(x, shard.Tick{})
			}
		}
		for _, n := range b.crew {
			b.workers[n].pass(b)
		}
	}
}

func (b *bus) deliver(l letter) {
	if w := b.workers[l.to]; w != nil {
		if m, ok := l.body.(work.Message); ok {
			w.hear(b, l.from, m)
		}
		return
	}
	if x := b.boxes[l.to]; x != nil {
		if ev, ok := l.body.(shard.Event); ok {
			b.step(x, ev)
		}
	}
}

// leader returns the box that leads and is ready, in the newest term.
func (b *bus) leader() *box {
	var best *box
	for _, n := range b.names {
		x := b.boxes[n]
		if x.rep != nil && !x.down && x.rep.Health().Mine {
			best = x
		}
	}
	return best
}
