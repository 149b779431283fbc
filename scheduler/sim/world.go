package sim

import (
	"container/heap"
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
var params = shard.Params{
	DeadAfter: 6 * time.Second, CatchUp: 10 * time.Second, MoveAfter: 4 * time.Second, SnapshotEvery: 48,
}

// world is one simulation.
type world struct {
	cfg     Config
	rng     *rand.Rand
	now     time.Duration
	queue   queue
	seq     uint64
	nodes   []*node
	blocked [][]bool // from, to
	client  *client
	oracle  *oracle
	report  Report
	hash    uint64
	trace   io.Writer // nil: none
	failed  *Violation
	ills    uint64 // faults so far
	healed  bool
	network [32]byte
	attach  [][]uint32 // shards that a node's worker serves
}

// occurrence is something that will happen.
type occurrence struct {
	at   time.Duration
	seq  uint64
	node *node  // it happens to; nil: to nobody
	boot uint64 // only in this life of the node; 0: in any
	run  func()
}

type queue []occurrence

func (q queue) Len() int { return len(q) }
func (q queue) Less(i, j int) bool {
	return q[i].at < q[j].at || q[i].at == q[j].at && q[i].seq < q[j].seq
}
func (q queue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

// Push implements heap.Interface.
func (q *queue) Push(x any) { *q = append(*q, x.(occurrence)) }

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	old := *q
	x := old[len(old)-1]
	old[len(old)-1] = occurrence{}
	*q = old[:len(old)-1]
	return x
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
	heap.Push(&w.queue, o)
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
	h := w.hash ^ uint64(w.now)
	const prime = 1099511628211
	h *= prime
	h = (h ^ uint64(a)<<32 ^ uint64(b)) * prime
	for i := range len(kind) {
		h = (h ^ uint64(kind[i])) * prime
	}
	for _, c := range data {
		h = (h ^ uint64(c)) * prime
	}
	w.hash = h
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
	w.blocked = make([][]bool, cfg.Nodes)
	for i := range cfg.Nodes {
		w.blocked[i] = make([]bool, cfg.Nodes)
		w.nodes = append(w.nodes, newNode(w, i))
		w.attach = append(w.attach, placement.Attach(string(w.network[:]), w.nodes[i].name, uint32(cfg.Shards)))
	}
	w.client = newClient(w)
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
	w.later(3*time.Second, w.fault)
	w.later(time.Second, w.scan)
	w.later(w.cfg.Duration, w.heal)
	end := w.cfg.Duration + settleBound
	for w.failed == nil && len(w.queue) > 0 {
		o := heap.Pop(&w.queue).(occurrence)
		w.now = max(w.now, o.at)
		if w.now > end {
			w.oracle.unfinished()
			break
		}
		if w.healed && w.client.finished() {
			break
		}
		w.happen(o)
	}
	if w.failed == nil {
		w.oracle.scan()
	}
	w.oracle.tally()
	w.report.Virtual, w.report.TraceHash = w.now, w.hash
}

func (w *world) happen(o occurrence) {
	if n := o.node; n != nil {
		if !n.up || o.boot != 0 && o.boot != n.boot {
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
	w.oracle.scan()
	w.later(time.Second, w.scan)
}
