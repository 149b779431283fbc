package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// node is one machine: the shell around its cores.
type node struct {
	w      *world
	name   string
	index  int
	up     bool
	boot   uint64        // number of this life
	paused time.Duration // until then
	clock  clock
	skew   int64 // of the wall clock, milliseconds
	own    int64 // the skew that it began with
	disk   disk
	hosts  []*host         // by shard; nil where no replica is held
	dir    []*view         // by shard: who leads, as far as this node knows; never nil
	said   []*view         // by shard: what was last gossiped of those that it leads
	peers  []*node         // to which it is connected, some perhaps twice, itself included
	seen   []time.Duration // by place in peers: when the connection was last alive, 0: never
	worker *worker.Worker
	tickAt time.Duration // when the worker's next tick is scheduled
	cap    work.Capability
	runs   []*execution

	bystander bool              // has no role: it relays, and is a client's door
	voted     bool              // has held a replica
	wish      map[uint32]string // who should lead, made of wishOf
	wishOf    []*view
	reportAt  time.Duration // of the last gossip on what it leads
	wholeAt   time.Duration // when all that it leads is gossiped again
	traffic   [kinds]tally
	condition
	clocks
}

// clocks is what a node knows of its wall clock and others'.
type clocks struct {
	median   int64 // of all, less the virtual time
	compared int   // how many they were; 0: not yet
	wrong    bool  // its own
}

// condition is what faults have made of a node.
type condition struct {
	slow     time.Duration // of the disk's syncs; 0: as usual
	slowEnd  time.Duration // when the disk was last slow
	full     bool          // the disk takes nothing
	lying    int           // faults of the kind liar that concern this node now
	outsider bool          // no coordinator: hostile at some time
	frames   []frame       // heard lately; kept only if the script holds hostile nodes
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
		w: w, bystander: i > 0 && i >= w.cfg.Nodes-w.cfg.Bystanders, name: fmt.Sprintf("n%d", i), index: i, skew: w.rng.Int64N(4000) - 2000,
		disk: disk{shards: make([]shardDisk, w.cfg.Shards)},
		cap: work.Capability{
			Total:     job.Resources{CPU: 1000 * slots, Memory: uint64(slots) << 30, Disk: uint64(slots) << 30},
			Executors: []string{"wasm"}, Slots: slots,
		},
	}
	n.own = n.skew
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
	d.id, d.incarnation, d.log = 1, n.w.rng.Uint64(), &logDisk{}
	p := shard.Found(n.name, d.incarnation)
	d.log.write(p)
	n.w.oracle.found(s, p.Chunks[0].Data)
}

// start brings the node up with what it has on disk.
func (n *node) start() {
	if n.up || n.full {
		return // again when there is space
	}
	w := n.w
	n.up, n.boot, n.paused, n.tickAt = true, n.boot+1, 0, 0
	w.note("start", n.index, int(n.boot), nil)
	w.printf("%s starts, life %d", n.name, n.boot)
	n.hosts, n.dir, n.said = make([]*host, w.cfg.Shards), make([]*view, w.cfg.Shards), make([]*view, w.cfg.Shards)
	for s := range n.dir {
		n.dir[s] = &view{}
	}
	clear(n.seen)
	n.runs, n.wholeAt, n.reportAt, n.clocks = nil, 0, 0, clocks{}
	n.worker = worker.New(worker.Config{Self: n.name, Boot: n.boot, Capability: n.cap}, slices.Clone(n.disk.kept))
	for s := range n.hosts {
		if n.disk.shards[s].id != 0 {
			n.open(uint32(s))
		}
	}
	n.stepWorker(worker.Tick{})
	w.soon(n, w.between(0, 100*time.Millisecond), n.hello)
	w.soon(n, w.between(time.Second, 3*time.Second), n.advertise)
	w.soon(n, w.between(10*time.Millisecond, time.Second), n.second)
}

// stepWorker steps the worker and performs what it wants.
func (n *node) stepWorker(ev worker.Event) {
	w := n.w
	w.report.Steps++
	for _, a := range n.worker.Step(n.mono(), ev) {
		if !n.up {
			return // its disk was full
		}
		switch a := a.(type) {
		case worker.Send:
			w.toLeader(n, a)
		case worker.Run:
			n.execute(a)
		case worker.Kill:
			n.kill(a.Key)
		case worker.Keep:
			if n.full {
				n.starve()
				return
			}
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
	if at > n.mono()+time.Hour {
		return
	}
	at = n.when(at)
	if n.tickAt > n.w.now && n.tickAt <= at {
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
	if !n.up {
		return
	}
	w.ills++
	w.oracle.crashed(n)
	w.note("crash", n.index, 0, nil)
	w.printf("%s crashes, wiped %v", n.name, wiped)
	for s, h := range n.hosts {
		if h == nil || len(h.unsynced) == 0 || wiped || w.cfg.Mutation == PersistBeforeSend {
			continue
		}
		if w.chance(0.3) {
			n.flush(s, h)
		} else {
			w.effect("unsynced writes lost")
		}
	}
	n.down(wiped)
}

// stop takes the node down cleanly.
func (n *node) stop(wiped bool) {
	w := n.w
	w.ills++
	w.note("stop", n.index, 0, nil)
	w.printf("%s stops, wiped %v", n.name, wiped)
	for s, h := range n.hosts {
		if h != nil && !wiped {
			n.flush(s, h)
		}
	}
	n.down(wiped)
}

// starve stops a node whose disk is full, as a daemon does that cannot store
// what it has to: nothing of what it was about to promise is known to anybody.
func (n *node) starve() {
	w := n.w
	w.ills++
	w.effect("stopped with a full disk")
	w.note("full", n.index, 0, nil)
	w.printf("%s stops: its disk is full", n.name)
	n.down(false)
}

// roomy gives the disk space again; a node that has stopped comes back.
func (n *node) roomy() {
	n.full = false
	n.start()
}

// flush writes what was being synced.
func (n *node) flush(s int, h *host) {
	for _, p := range h.unsynced {
		h.store(p)
		n.w.oracle.persisted(h, p)
	}
}

func (n *node) down(wiped bool) {
	w := n.w
	n.up, n.hosts, n.worker, n.runs = false, nil, nil, nil
	if wiped {
		fresh := disk{shards: make([]shardDisk, w.cfg.Shards)}
		if w.cfg.Mutation == VoteAfterLostState {
			for s := range fresh.shards {
				fresh.shards[s] = n.disk.shards[s]
				fresh.shards[s].log = &logDisk{}
			}
		}
		n.disk = fresh
	}
	if w.cfg.Mutation == ForgetVote {
		for s := range n.disk.shards {
			if d := n.disk.shards[s].log; d != nil {
				d.hard = nil
			}
		}
	}
}
