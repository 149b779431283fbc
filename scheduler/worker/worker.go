package worker

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// Bounds and times that nobody configures.
const (
	maxFences   = 10_000                 // tasks whose newest fence is remembered
	maxShards   = 4096                   // shards with a leader
	resendEvery = 2 * time.Second        // between two sendings of one report
	resendBatch = 256                    // reports sent to one leader at a time
	resendPause = 100 * time.Millisecond // before the next batch
	freeDelay   = 50 * time.Millisecond  // before leaders that were not refused hear of freed capacity
	attachBeats = 5                      // heartbeats' time between two Attach
)

// Config describes a worker. A zero duration or bound means its default.
type Config struct {
	Self       string          // this node's peer id
	Boot       uint64          // differs after every start of the process
	Capability work.Capability // what the node offers
	Hold       time.Duration   // of a booking, default 2 s
	Beat       time.Duration   // between heartbeats, default 1 s
	MaxReports int             // kept reports, default 10,000; the oldest are dropped beyond
}

// Restored is a report that an earlier life of the process kept.
type Restored struct {
	Shard  uint32
	Report work.Report
}

// Worker is the worker's side. One owner steps it.
type Worker struct {
	cfg        Config
	now        time.Duration
	draining   bool
	shards     []*shard   // by id
	hungry     []*shard   // refused for want of room, longest waiting first
	bookings   []*booking // by the time of their lapse
	attempts   []*attempt // in order of assignment
	used       job.Resources
	apartUntil time.Duration // heartbeats keep their own times
	shrunk     bool          // the total was lowered below what was used
	fences     map[task]uint64
	memory     []task // keys of fences, oldest first
	reports    map[work.Key]*report
	seq        uint64 // of the newest report
	out        []Action
}

type task struct {
	job   job.ID
	index int32
}

func taskOf(k work.Key) task { return task{k.Job, k.Task} }

// shard is what is known of a shard's leader, and the reports it is owed.
type shard struct {
	id       uint32
	peer     string // "": unknown
	term     uint64
	beatAt   time.Duration
	attachAt time.Duration // from then on a beat is an Attach
	resendAt time.Duration
	kept     []*report // oldest first
}

type booking struct {
	key   work.Key // Fence 0
	shard uint32
	need  job.Resources
	until time.Duration
}

type attempt struct {
	key     work.Key
	shard   uint32
	need    job.Resources
	started bool
	stopped bool // killed; its end is of no interest
}

type report struct {
	work.Report
	shard uint32
	seq   uint64
	sent  time.Duration
}

// New makes a worker that holds nothing but the restored reports.
func New(cfg Config, restored []Restored) *Worker {
	cfg.Hold = cmp.Or(cfg.Hold, 2*time.Second)
	cfg.Beat = cmp.Or(cfg.Beat, time.Second)
	cfg.MaxReports = cmp.Or(cfg.MaxReports, 10_000)
	w := &Worker{cfg: cfg, fences: map[task]uint64{}, reports: map[work.Key]*report{}}
	for _, r := range restored {
		if s := w.shard(r.Shard); s != nil && w.reports[r.Report.Key] == nil && len(w.reports) < cfg.MaxReports {
			w.file(s, r.Report)
			w.learn(r.Report.Key)
		}
	}
	return w
}

// Step takes one event at a monotonic time and returns what is to be done, in
// order. The result is valid until the next Step.
func (w *Worker) Step(now time.Duration, ev Event) []Action {
	w.now = max(w.now, now)
	w.out = nil
	w.lapse()
	switch ev := ev.(type) {
	case Tick:
	case Leader:
		w.leader(ev)
	case Message:
		w.message(ev)
	case Started:
		w.started(ev.Key)
	case Progressed:
		w.progressed(ev)
	case Finished:
		w.finished(ev)
	case Drain:
		w.draining = ev.On
		w.beatSoon(0)
	case Capability:
		w.cfg.Capability = ev.Capability
		w.shrunk = !w.cfg.Capability.Total.Fits(w.used) || w.taken() > w.slots()
		for _, s := range w.shards {
			s.beatAt, s.attachAt = w.now, w.now
		}
	case HandBack:
		w.handBack()
	}
	w.speak()
	return w.out
}

// Wake returns the time at which Step with Tick is wanted at the latest; the
// greatest duration when nothing is due.
func (w *Worker) Wake() time.Duration {
	next := time.Duration(math.MaxInt64)
	if len(w.bookings) > 0 {
		next = w.bookings[0].until
	}
	for _, s := range w.shards {
		if s.peer == "" {
			continue
		}
		next = min(next, s.beatAt)
		if len(s.kept) > 0 {
			next = min(next, s.resendAt)
		}
	}
	return next
}

// Status is a worker's state as people may see it.
type Status struct {
	Free      job.Resources
	FreeSlots uint32
	Draining  bool
	Running   []work.Key // held attempts in order of assignment, killed ones included
	Booked    int        // places held for assignments to come
	Kept      int        // reports that no leader has acknowledged
}

// Status returns the state at the last Step.
func (w *Worker) Status() Status {
	st := Status{Draining: w.draining, Booked: len(w.bookings), Kept: len(w.reports)}
	st.Free, st.FreeSlots = w.free()
	for _, a := range w.attempts {
		st.Running = append(st.Running, a.key)
	}
	return st
}

// Check verifies the worker's invariants: the books balance, nothing is promised
// that is not there (unless the node's total was lowered under it), and every
// table keeps to its bound. An error is a bug in this package.
func (w *Worker) Check() error {
	var used job.Resources
	seen := map[work.Key]bool{}
	for _, b := range w.bookings {
		if used = used.Add(b.need); seen[b.key] || b.key.Fence != 0 {
			return fmt.Errorf("booking %v is held twice or has a fence", b.key)
		}
		seen[b.key] = true
	}
	for _, a := range w.attempts {
		if used = used.Add(a.need); seen[a.key] {
			return fmt.Errorf("attempt %v is held twice", a.key)
		}
		seen[a.key] = true
	}
	kept := 0
	for _, s := range w.shards {
		kept += len(s.kept)
	}
	switch total := w.cfg.Capability.Total; {
	case used != w.used:
		return fmt.Errorf("the places held take %v, the books say %v", used, w.used)
	case !w.shrunk && (!total.Fits(used) || w.taken() > w.slots()):
		return fmt.Errorf("%d places take %v of %v and %d slots", w.taken(), used, total, w.slots())
	case kept != len(w.reports) || kept > w.cfg.MaxReports:
		return fmt.Errorf("%d reports are kept, %d indexed, %d allowed", kept, len(w.reports), w.cfg.MaxReports)
	case len(w.fences) != len(w.memory) || len(w.memory) > maxFences || len(w.shards) > maxShards:
		return fmt.Errorf("%d fences, %d in memory, %d shards", len(w.fences), len(w.memory), len(w.shards))
	}
	return nil
}

// shard finds or makes the entry of a shard; nil when the table is full.
func (w *Worker) shard(id uint32) *shard {
	i, ok := slices.BinarySearchFunc(w.shards, id, func(s *shard, id uint32) int { return cmp.Compare(s.id, id) })
	if ok {
		return w.shards[i]
	}
	if len(w.shards) >= maxShards {
		return nil
	}
	s := &shard{id: id}
	w.shards = slices.Insert(w.shards, i, s)
	return s
}

func (w *Worker) do(a Action) { w.out = append(w.out, a) }

// send says something to a shard's leader, if there is one.
func (w *Worker) send(s *shard, m work.Message) {
	if s != nil && s.peer != "" {
		w.do(Send{Shard: s.id, To: s.peer, Msg: m})
	}
}
