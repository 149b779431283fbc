package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/ciro-network/ciro/node/store"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// errStopped is returned to callers once the engine has stopped.
var errStopped = errors.New("the node is stopping")

// inboxSize bounds what waits for the engine; senders that may not block drop.
const inboxSize = 8192

// perBatch bounds the inputs that share one write to disk.
const perBatch = 512

// localTurns bounds how often one batch lets this node's own worker and
// coordinators answer each other without the network.
const localTurns = 64

// engine is the one goroutine that owns all cores of this node: the replicas of
// its shards and its worker. Everything reaches them as an input in one queue.
// After at most perBatch inputs all that must be durable is written with one
// fsync, and only then are the actions performed (see package scheduler/shard).
type engine struct {
	self     string
	store    *store.Store
	log      *slog.Logger
	start    time.Time
	wall     func() time.Time
	inbox    chan input
	stopped  chan struct{}
	replicas map[uint32]*shard.Replica
	worker   *worker.Worker // nil without the worker role
	out      outlet
	due      []stepped // performed after the next write
	local    []input   // for this node's own cores
	batch    *store.Batch
	broken   map[uint32]string // shards whose replica here has stopped, and why
	failed   error             // why nothing may be done any more
	tokens   map[uint64]chan<- shard.Answer
	token    uint64
}

// outlet is where the engine's actions leave it. Its methods are called from the
// engine's goroutine and must not block.
type outlet interface {
	raft(to string, shardID uint32, data []byte)
	work(to string, shardID uint32, m work.Message)
	coreOutlet
	sent() // the end of one flush
}

// coreOutlet takes what is not a message between cores.
type coreOutlet interface {
	group(shardID uint32, a shard.Action)
	observe(shardID uint32, a shard.Action)
	attempt(a worker.Action)
}

// input is one thing for the engine: an event for a replica or the worker, or a
// function to run with all of them.
type input struct {
	shard  uint32
	event  shard.Event
	worker worker.Event
	do     func(*engine)
}

// stepped is one action that waits for the write.
type stepped struct {
	shard uint32
	act   shard.Action
	wact  worker.Action
	then  func()
}

func newEngine(self string, st *store.Store, out outlet, log *slog.Logger) *engine {
	return &engine{
		self: self, store: st, out: out, log: log, start: time.Now(), wall: time.Now,
		inbox: make(chan input, inboxSize), stopped: make(chan struct{}),
		replicas: map[uint32]*shard.Replica{}, broken: map[uint32]string{}, tokens: map[uint64]chan<- shard.Answer{},
	}
}

func (e *engine) mono() time.Duration { return time.Since(e.start) }

func (e *engine) now() shard.Now {
	return shard.Now{Mono: e.mono(), Wall: e.wall().UnixMilli()}
}

// offer gives the engine an input without waiting; false when its queue is full
// or it has stopped. For messages, which the other side repeats.
func (e *engine) offer(in input) bool {
	select {
	case e.inbox <- in:
		return true
	default:
		return false
	}
}

// push gives the engine an input and waits for room.
func (e *engine) push(ctx context.Context, in input) error {
	select {
	case e.inbox <- in:
		return nil
	case <-e.stopped:
		return errStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// query runs f on the engine's goroutine and waits for it. f must not block.
func (e *engine) query(ctx context.Context, f func(*engine)) error {
	done := make(chan struct{})
	if err := e.push(ctx, input{do: func(e *engine) { f(e); close(done) }}); err != nil {
		return err
	}
	select {
	case <-done:
		return nil
	case <-e.stopped:
		return errStopped
	}
}

// ask steps a replica with an event that is answered by a token and waits for
// the answer. A shard that has no replica here answers not_leader.
func (e *engine) ask(ctx context.Context, id uint32, event func(token uint64) shard.Event) (shard.Answer, error) {
	answer := make(chan shard.Answer, 1)
	err := e.push(ctx, input{do: func(e *engine) {
		if e.replicas[id] == nil {
			answer <- shard.Answer{Reason: shard.ReasonNotLeader, Message: "this node holds no replica of the shard"}
			return
		}
		e.token++
		e.tokens[e.token] = answer
		e.stepReplica(id, event(e.token))
	}})
	if err != nil {
		return shard.Answer{}, err
	}
	select {
	case a := <-answer:
		return a, nil
	case <-ctx.Done():
		return shard.Answer{}, ctx.Err() // the replica answers in its own time; nobody listens
	case <-e.stopped:
		return shard.Answer{}, errStopped
	}
}

// run steps the cores until ctx ends. An error means that the disk failed.
func (e *engine) run(ctx context.Context) error {
	defer close(e.stopped)
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case in := <-e.inbox:
			e.take(in)
			e.drain()
		case <-timer.C:
		}
		e.wake()
		if err := e.flush(); err != nil {
			return fmt.Errorf("write the node's state: %w; stopping, since nothing can be promised any more", err)
		}
		if e.failed != nil {
			return e.failed
		}
		timer.Reset(max(0, e.nextWake()-e.mono()))
	}
}

// drain takes what is waiting, up to one batch.
func (e *engine) drain() {
	for range perBatch {
		select {
		case in := <-e.inbox:
			e.take(in)
		default:
			return
		}
	}
}

func (e *engine) take(in input) {
	switch {
	case in.do != nil:
		in.do(e)
	case in.worker != nil:
		e.stepWorker(in.worker)
	case in.event != nil:
		e.stepReplica(in.shard, in.event)
	}
}

func (e *engine) stepReplica(id uint32, ev shard.Event) {
	r := e.replicas[id]
	if r == nil {
		return
	}
	for _, a := range r.Step(e.now(), ev) {
		if p, ok := a.(shard.Persist); ok {
			e.persist(id, p)
			continue
		}
		e.keepChain(id, a)
		e.due = append(e.due, stepped{shard: id, act: a})
	}
}

func (e *engine) stepWorker(ev worker.Event) {
	if e.worker == nil {
		return
	}
	for _, a := range e.worker.Step(e.mono(), ev) {
		switch a := a.(type) {
		case worker.Keep:
			e.write().PutReport(a.Shard, a.Report)
		case worker.Forget:
			e.write().DropReport(a.Key)
		default:
			e.due = append(e.due, stepped{wact: a})
		}
	}
}

func (e *engine) write() *store.Batch {
	if e.batch == nil {
		e.batch = e.store.NewBatch()
	}
	return e.batch
}

func (e *engine) persist(id uint32, p shard.Persist) {
	b := e.write()
	for _, c := range p.Chunks {
		b.PutChunk(id, c.Index, c.N, c.Data)
	}
	if p.Snapshot != nil {
		b.PutSnapshot(id, p.SnapshotIndex, p.Snapshot)
	}
	if p.HardState != nil {
		b.PutHardState(id, p.HardState)
	}
	if len(p.Entries) > 0 {
		b.PutEntries(id, p.First, p.Entries)
	}
}

// keepChain writes what the ledgers need together with the log: the state lets
// go of a batch once its anchor is final.
func (e *engine) keepChain(id uint32, a shard.Action) {
	switch a := a.(type) {
	case shard.Cut:
		e.write().PutRecords(id, a.Batch.Seq, a.Batch.Encode())
	case shard.Anchored:
		e.write().PutAnchor(id, a.Anchor.Seq, a.Anchor.Encode())
	}
}

// wake steps the cores whose time has come.
func (e *engine) wake() {
	now := e.mono()
	// any order: each core alone
	for id, r := range e.replicas {
		if r.Wake() <= now {
			e.stepReplica(id, shard.Tick{})
		}
	}
	if e.worker != nil && e.worker.Wake() <= now {
		e.stepWorker(worker.Tick{})
	}
}

func (e *engine) nextWake() time.Duration {
	if len(e.due) > 0 {
		return 0
	}
	next := e.mono() + time.Second
	// any order: the earliest
	for _, r := range e.replicas {
		next = min(next, r.Wake())
	}
	if e.worker != nil {
		next = min(next, e.worker.Wake())
	}
	return next
}

// flush makes durable what must be and then performs what waited for it. What
// this node's cores say to each other is handled at once, again durably first.
func (e *engine) flush() error {
	for range localTurns {
		if e.batch != nil {
			b := e.batch
			e.batch = nil
			if err := b.Commit(true); err != nil {
				return err
			}
		}
		if len(e.due) == 0 {
			return nil
		}
		due := e.due
		e.due = nil
		for _, s := range due {
			e.perform(s)
		}
		e.out.sent()
		local := e.local
		e.local = nil
		for _, in := range local {
			e.take(in)
		}
	}
	return nil
}

// perform carries out one action whose preconditions are durable.
func (e *engine) perform(s stepped) {
	switch a := s.act.(type) {
	case nil:
		if s.then != nil {
			s.then()
			return
		}
		e.performWorker(s.wact)
	case shard.Send:
		e.out.raft(a.To, s.shard, a.Data)
	case shard.Work:
		if a.To == e.self {
			e.local = append(e.local, input{worker: worker.Message{Shard: s.shard, From: e.self, Msg: a.Msg}})
			return
		}
		e.out.work(a.To, s.shard, a.Msg)
	case shard.Reply:
		if c := e.tokens[a.Token]; c != nil {
			delete(e.tokens, a.Token)
			c <- a.Answer // has room for its one answer
		}
	case shard.Probe, shard.Invite, shard.Dismiss, shard.Fetch:
		e.out.group(s.shard, a)
	case shard.Broken:
		e.log.Error("a replica has stopped: its log contradicts what it was told; the node's other replicas go on", "shard", s.shard, "cause", a.Why)
		e.broken[s.shard] = a.Why
		delete(e.replicas, s.shard)
		e.out.observe(s.shard, shard.Led{})
	case shard.Outdated:
		e.failed = e.store.Condemn(fmt.Sprintf("of shard %d it has the log up to %d, and its leader has its acknowledgement up to %d", s.shard, a.Last, a.Known))
	case shard.Removed:
		if r := e.replicas[s.shard]; r != nil {
			e.remove(s.shard, r.ID())
		}
	default:
		e.out.observe(s.shard, a)
	}
}

func (e *engine) performWorker(a worker.Action) {
	if s, ok := a.(worker.Send); ok {
		if s.To == e.self {
			e.local = append(e.local, input{shard: s.Shard, event: shard.Heard{From: e.self, Msg: s.Msg}})
			return
		}
		e.out.work(s.To, s.Shard, s.Msg)
		return
	}
	e.out.attempt(a)
}

// after runs f once what has been written so far is durable.
func (e *engine) after(f func()) { e.due = append(e.due, stepped{then: f}) }

// remove deletes a replica that is no longer a member and leaves a tombstone:
// this node never again answers for a replica id up to it.
func (e *engine) remove(id uint32, tombstone uint64) {
	r := e.replicas[id]
	if r == nil {
		return
	}
	e.log.Info("replica removed", "shard", id, "replica", r.ID())
	e.write().DropReplica(id, tombstone)
	delete(e.replicas, id)
	e.out.observe(id, shard.Led{})
}
