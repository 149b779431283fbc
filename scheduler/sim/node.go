package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/placement"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// presence is how long a node that is no longer heard counts as a candidate.
const presence = 3500 * time.Millisecond

// node is one machine: the shell around its cores.
type node struct {
	w      *world
	name   string
	index  int
	up     bool
	boot   uint64        // number of this life
	paused time.Duration // until then
	skew   int64         // of the wall clock, milliseconds
	disk   disk
	hosts  []*host         // by shard; nil where no replica is held
	dir    []view          // by shard: who leads, as far as this node knows
	seen   []time.Duration // by node: when it was last heard, 0: never
	worker *worker.Worker
	tickAt time.Duration // when the worker's next tick is scheduled
	cap    work.Capability
	runs   []*execution
}

// view is one line of a node's directory of shards.
type view struct {
	term   uint64
	leader string
	voters []string
}

func newNode(w *world, i int) *node {
	slots := uint32(2 + w.rng.IntN(3))
	n := &node{
		w: w, name: fmt.Sprintf("n%d", i), index: i, skew: w.rng.Int64N(4000) - 2000,
		disk: disk{shards: make([]shardDisk, w.cfg.Shards)},
		cap: work.Capability{
			Total:     job.Resources{CPU: 1000 * slots, Memory: uint64(slots) << 30, Disk: uint64(slots) << 30},
			Executors: []string{"wasm"}, Slots: slots,
		},
	}
	return n
}

// byName finds a node; names are "n" and the index.
func (w *world) byName(name string) *node {
	i := 0
	for _, c := range name[min(1, len(name)):] {
		i = i*10 + int(c-'0')
	}
	if name == "" || i >= len(w.nodes) {
		return nil
	}
	return w.nodes[i]
}

// found makes this node the founder of a shard.
func (n *node) found(s uint32) {
	d := &n.disk.shards[s]
	d.id, d.incarnation = 1, n.w.rng.Uint64()
	d.log.write(shard.Persist{Snapshot: shard.Found(n.name, d.incarnation), SnapshotIndex: 1})
	n.w.oracle.found(s, d.log.snap)
}

// start brings the node up with what it has on disk.
func (n *node) start() {
	if n.up {
		return
	}
	w := n.w
	n.up, n.boot, n.paused, n.tickAt = true, n.boot+1, 0, 0
	w.note("start", n.index, int(n.boot), nil)
	w.printf("%s starts, life %d", n.name, n.boot)
	n.hosts, n.dir = make([]*host, w.cfg.Shards), make([]view, w.cfg.Shards)
	n.seen, n.runs = make([]time.Duration, w.cfg.Nodes), nil
	n.worker = worker.New(worker.Config{Self: n.name, Boot: n.boot, Capability: n.cap}, slices.Clone(n.disk.kept))
	for s := range n.hosts {
		if n.disk.shards[s].id != 0 {
			n.open(uint32(s))
		}
	}
	n.stepWorker(worker.Tick{})
	w.soon(n, w.between(10*time.Millisecond, time.Second), n.second)
}

// second is what the node does every second: gossip and directory.
func (n *node) second() {
	w := n.w
	n.seen[n.index] = w.now
	leads := n.leads()
	for _, m := range w.nodes {
		if m != n {
			w.send(n, m, 24+40*len(leads), func() { m.gossip(n.index, leads) })
		}
	}
	n.gossip(n.index, leads)
	ev := shard.Directory{Candidates: n.candidates()}
	voters := map[uint32][]string{}
	for s := range n.dir {
		if len(n.dir[s].voters) > 0 {
			voters[uint32(s)] = n.dir[s].voters
		}
	}
	preferred := placement.Preferred(voters, func(s uint32) string { return placement.ShardKey(w.network, s) })
	for s, h := range n.hosts {
		if h != nil {
			ev.Preferred = preferred[uint32(s)]
			h.step(ev)
		}
	}
	w.soon(n, time.Second, n.second)
}

// leads returns this node's part of the directory: what it leads.
func (n *node) leads() []leadership {
	var out []leadership
	for s, h := range n.hosts {
		if h != nil && h.led.Mine {
			out = append(out, leadership{uint32(s), view{h.led.Term, n.name, h.led.Voters}})
		}
	}
	return out
}

type leadership struct {
	shard uint32
	view  view
}

// gossip takes another node's word on what it leads.
func (n *node) gossip(from int, leads []leadership) {
	n.seen[from] = n.w.now
	for _, l := range leads {
		old := &n.dir[l.shard]
		if l.view.term < old.term {
			continue
		}
		changed := old.term != l.view.term || old.leader != l.view.leader
		*old = l.view
		if changed && slices.Contains(n.w.attach[n.index], l.shard) {
			n.stepWorker(worker.Leader{Shard: l.shard, Peer: l.view.leader, Term: l.view.term})
		}
	}
}

// candidates returns the nodes heard of late.
func (n *node) candidates() []string {
	var out []string
	for i, at := range n.seen {
		if at > 0 && n.w.now-at < presence {
			out = append(out, n.w.nodes[i].name)
		}
	}
	return out
}

// stepWorker steps the worker and performs what it wants.
func (n *node) stepWorker(ev worker.Event) {
	w := n.w
	w.report.Steps++
	for _, a := range n.worker.Step(w.now, ev) {
		switch a := a.(type) {
		case worker.Send:
			w.toLeader(n, a)
		case worker.Run:
			n.execute(a)
		case worker.Kill:
			n.kill(a.Key)
		case worker.Keep:
			n.disk.keep(worker.Restored{Shard: a.Shard, Report: a.Report})
		case worker.Forget:
			n.disk.forget(a.Key)
		}
	}
	if err := n.worker.Check(); err != nil {
		w.violate("capacity", "%s: %v", n.name, err)
	}
	n.wakeWorker()
}

func (n *node) wakeWorker() {
	at := n.worker.Wake()
	if at > n.w.now+time.Hour || n.tickAt > n.w.now && n.tickAt <= at {
		return
	}
	at = max(at, n.w.now+time.Millisecond)
	n.tickAt = at
	n.w.soon(n, at-n.w.now, func() {
		if n.tickAt == at {
			n.tickAt = 0
			n.stepWorker(worker.Tick{})
		}
	})
}

// crash takes the node down. What was being synced may or may not have reached
// the disk.
func (n *node) crash(wiped bool) {
	w := n.w
	w.report.Crashes++
	w.ills++
	w.oracle.crashed(n)
	w.note("crash", n.index, 0, nil)
	w.printf("%s crashes, wiped %v", n.name, wiped)
	for s, h := range n.hosts {
		if h != nil && len(h.unsynced) > 0 && !wiped && w.cfg.Mutation != PersistBeforeSend && w.chance(0.3) {
			for _, p := range h.unsynced {
				n.disk.shards[s].log.write(p)
				w.oracle.persisted(h, p)
			}
		}
	}
	n.up, n.hosts, n.worker, n.runs = false, nil, nil, nil
	if wiped {
		w.report.Wiped++
		fresh := disk{shards: make([]shardDisk, w.cfg.Shards)}
		if w.cfg.Mutation == VoteAfterLostState {
			for s := range fresh.shards {
				fresh.shards[s] = n.disk.shards[s]
				fresh.shards[s].log = logDisk{}
			}
		}
		n.disk = fresh
	}
	if w.cfg.Mutation == ForgetVote {
		for s := range n.disk.shards {
			n.disk.shards[s].log.hard = nil
		}
	}
}
