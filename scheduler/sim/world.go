package sim

import (
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"time"

	"github.com/ciro-network/ciro/scheduler/placement"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// epoch is the wall clock at virtual time zero, in unix milliseconds.
const epoch = 1_760_000_000_000

// settleBound is how long after the last fault everything accepted must have
// ended.
const settleBound = 90 * time.Second

// params are the shards' times: the group's long ones are shortened, so that
// replacement happens within a short run.
func (c Config) params() shard.Params {
	return shard.Params{
		DeadAfter: 6 * time.Second, CatchUp: 10 * time.Second, MoveAfter: 4 * time.Second, DriftAfter: 5 * time.Second,
		SnapshotEvery: c.SnapshotEvery, Seed: c.Seed,
		CutCount: max(1, int(c.SnapshotEvery/6)), CutAge: 2 * time.Second,
		SnapshotChunk: int(c.SnapshotEvery) * 40, // so that most snapshots have several
	}
}

// world is one simulation.
type world struct {
	cfg       Config
	rng       *rand.Rand
	now       time.Duration
	queue     queue
	seq       uint64
	nodes     []*node
	ails      []*ailment // faults that last
	hostility bool       // the script holds hostile nodes
	client    *client
	oracle    *oracle
	report    Report
	hash      uint64
	trace     io.Writer // nil: none
	failed    *Violation
	ills      uint64 // faults so far
	healed    bool
	jumped    bool // some wall clock was set off
	network   [32]byte
	attach    [][]uint32 // shards that a node's worker serves
	members   [][]*node  // by shard: the nodes that hold a replica

	measureAt time.Duration
	second    time.Duration // of virtual time
	busy      int           // what has happened in it
}

// later schedules something that concerns nobody's life.
func (w *world) later(d time.Duration, run func()) { w.push(occurrence{at: w.now + d, run: run}) }

// soon schedules something in this life of a node; a pause puts it off.
func (w *world) soon(n *node, d time.Duration, run func()) {
	w.push(occurrence{at: w.now + d, node: n, boot: n.boot, run: run})
}

func (w *world) push(o occurrence) {
	w.seq++
	o.seq = w.seq
	w.queue.push(o)
}

// between draws a duration.
func (w *world) between(lo, hi time.Duration) time.Duration {
	if hi <= lo {
		return lo
	}
	return lo + time.Duration(w.rng.Int64N(int64(hi-lo)))
}

func (w *world) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

// note adds one thing that happened to the trace and its hash.
func (w *world) note(kind string, a, b int, data []byte) {
	const prime = 0x9e3779b97f4a7c15
	mix := func(h, v uint64) uint64 {
		h = (h ^ v) * prime
		return h ^ h>>29
	}
	h := mix(w.hash, uint64(w.now))
	h = mix(h, uint64(a)<<32^uint64(b)^uint64(len(kind))<<24^uint64(kind[0])<<16)
	for ; len(data) >= 8; data = data[8:] {
		h = mix(h, binary.LittleEndian.Uint64(data))
	}
	var rest [8]byte
	copy(rest[:], data)
	w.hash = mix(h, binary.LittleEndian.Uint64(rest[:])^uint64(len(data)))
}

func (w *world) printf(format string, args ...any) {
	if w.trace == nil {
		return
	}
	fmt.Fprintf(w.trace, "%9.4f ", w.now.Seconds())
	fmt.Fprintf(w.trace, format, args...)
	fmt.Fprintln(w.trace)
}

// violate records the first broken promise; the simulation stops there.
func (w *world) violate(rule, format string, args ...any) {
	if w.failed == nil {
		w.failed = &Violation{Seed: w.cfg.Seed, Step: w.report.Steps, At: w.now, Rule: rule, Detail: fmt.Sprintf(format, args...)}
		w.printf("VIOLATION %v", w.failed)
	}
}

func newWorld(cfg Config, trace io.Writer) *world {
	w := &world{cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 0x5eed)), trace: trace, report: Report{Seed: cfg.Seed}, hash: 14695981039346656037}
	w.network[0] = 0xc1
	w.oracle = newOracle(w)
	w.members = make([][]*node, cfg.Shards)
	for i := range cfg.Nodes {
		n := newNode(w, i)
		w.nodes, w.attach = append(w.nodes, n), append(w.attach, nil)
		if !n.bystander {
			w.attach[i] = placement.Attach(string(w.network[:]), n.name, uint32(cfg.Shards))
		}
	}
	w.connect()
	w.client = newClient(w)
	for _, f := range cfg.Script {
		for _, i := range f.Nodes {
			w.hostility = w.hostility || f.Kind == "hostile"
			w.nodes[i].outsider = w.nodes[i].outsider || f.Kind == "hostile"
		}
	}
	return w
}

// run plays the whole simulation.
func (w *world) run() {
	founder := w.nodes[0]
	for s := range w.cfg.Shards {
		founder.found(uint32(s))
	}
	for i, n := range w.nodes {
		// The founder first, the others within two seconds.
		if i == 0 {
			n.start()
			continue
		}
		w.later(w.between(0, 2*time.Second), n.start)
	}
	w.client.begin()
	w.plague()
	w.later(time.Second, w.scan)
	w.later(w.cfg.Duration, w.heal)
	end := w.cfg.Duration + settleBound
	for w.failed == nil && len(w.queue) > 0 {
		o := w.queue.pop()
		w.now = max(w.now, o.at)
		if w.now > end {
			w.oracle.unfinished()
			break
		}
		if w.healed && w.client.finished() {
			break
		}
		w.bounded()
		w.happen(o)
	}
	if w.failed == nil {
		w.oracle.scan()
		w.oracle.complete()
		w.client.linear()
	}
	w.report.Virtual, w.report.TraceHash = w.now, w.hash
	w.account()
}

// bounded checks that no two cores keep each other busy without end: what
// happens in one second of virtual time has a bound.
func (w *world) bounded() {
	if second := w.now / time.Second; second != w.second {
		w.second, w.busy = second, 0
	}
	if w.busy++; w.busy > 200_000+5_000*len(w.nodes) {
		w.violate("storm", "%d things happen within one second", w.busy)
	}
}

func (w *world) happen(o occurrence) {
	if n := o.node; n != nil {
		if !n.up || o.from != nil && w.cut(o.from, n) || o.boot != 0 && o.boot != n.boot {
			return
		}
		if n.paused > w.now {
			o.at = n.paused
			w.push(o)
			return
		}
	}
	o.run()
}

// scan looks at everything, once a second.
func (w *world) scan() {
	w.oracle.scanSome()
	w.measure()
	w.later(time.Second, w.scan)
}
