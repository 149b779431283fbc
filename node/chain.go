package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/node/store"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

const (
	anchorTimeout = 10 * time.Second // of one call of the anchor
	maxUnsealed   = 256              // entries without the leader's word that are looked at again
)

// ledgers is what this node makes of the batches that its replicas cut: it
// computes their roots, appends to the shards' ledgers, compares what leaders
// anchored with its own, and, where it leads, has batches anchored. It also fills
// in from other voters what it was not there for. All of it may lag behind the
// engine and catches up after a restart, since the engine stores batches and
// anchors in the same write as the log.
type ledgers struct {
	n      *Node
	ledger *ledger.Ledger
	anchor chain.Anchor
	wake   chan struct{}

	mu         sync.Mutex
	dirty      map[uint32]bool      // shards to look at
	mismatches map[uint32][]uint64  // entries at which this node disagrees with its leaders
	audited    map[uint32]uint64    // how far down each ledger was read since the start, 1 at the end; tend's alone
	gaveAway   map[uint32]time.Time // when a leadership was last given away; tend's alone
	unnamed    map[uint32]time.Time // since when this node leads without being named; tend's alone
	fillAt     map[uint32]time.Time // when to look for missing entries again
	complained map[uint32]time.Time // when an anchor's failure was last logged
}

func newLedgers(n *Node) *ledgers {
	l := ledger.New(n.net.id, ledgerStore{n.store}, verifySignature)
	var anchor chain.Anchor = l.Anchor()
	if n.parts.Anchor != nil {
		anchor = n.parts.Anchor
	}
	return &ledgers{
		n: n, ledger: l, anchor: anchor, wake: make(chan struct{}, 1), dirty: map[uint32]bool{}, audited: map[uint32]uint64{}, gaveAway: map[uint32]time.Time{}, unnamed: map[uint32]time.Time{},
		mismatches: map[uint32][]uint64{}, fillAt: map[uint32]time.Time{}, complained: map[uint32]time.Time{},
	}
}

// ledgerStore keeps the ledger's values among the node's state.
type ledgerStore struct{ s *store.Store }

func ledgerKey(key []byte) []byte { return append([]byte("c/l/"), key...) }

// Get implements ledger.Store.
func (l ledgerStore) Get(key []byte) ([]byte, bool, error) { return l.s.Get(ledgerKey(key)) }

// Put implements ledger.Store.
func (l ledgerStore) Put(pairs ...ledger.Pair) error {
	b := l.s.NewBatch()
	for _, p := range pairs {
		b.Set(ledgerKey(p.Key), p.Value)
	}
	return b.Commit(true)
}

// touch has a shard looked at soon. It does not block.
func (c *ledgers) touch(id uint32) {
	c.mu.Lock()
	c.dirty[id] = true
	c.mu.Unlock()
	select {
	case c.wake <- struct{}{}:
	default:
	}
}

// run looks at the shards that changed, and once a second at those that were not
// finished.
func (c *ledgers) run(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	unfinished := map[uint32]bool{}
	err := c.n.engine.query(ctx, func(e *engine) {
		for id := range e.replicas {
			unfinished[id] = true // after a restart everything is
		}
	})
	for err == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			for id := range unfinished {
				c.touch(id)
			}
			clear(unfinished)
		case <-c.wake:
		}
		c.mu.Lock()
		due := c.dirty
		c.dirty = map[uint32]bool{}
		c.mu.Unlock()
		// any order: each shard alone
		for id := range due {
			again, err := c.tend(ctx, id)
			if err != nil && ctx.Err() == nil {
				c.complain(id, err)
			}
			unfinished[id] = again || err != nil
			if !unfinished[id] {
				delete(unfinished, id)
			}
		}
	}
	return nil // a stopped engine has no batches
}

// complain logs what went wrong with a shard's ledger, not more than once a
// minute each.
func (c *ledgers) complain(id uint32, err error) {
	c.mu.Lock()
	quiet := time.Since(c.complained[id]) < time.Minute
	if !quiet {
		c.complained[id] = time.Now()
	}
	c.mu.Unlock()
	if !quiet {
		c.n.log.Warn("the shard's ledger cannot go on; trying again", "shard", id, "error", err)
	}
}

// position is what a replica's state says about its batches.
type position struct {
	here bool
	mine bool
	head job.Head
	cuts []job.Cut
}

// position looks at a replica, and returns once what it has seen is durable.
func (c *ledgers) position(ctx context.Context, id uint32) (position, error) {
	var p position
	done := make(chan struct{})
	err := c.n.engine.push(ctx, input{do: func(e *engine) {
		if r := e.replicas[id]; r != nil {
			a := &r.State().Anchoring
			p.here, p.mine, p.head, p.cuts = true, r.Health().Mine, a.Head, append(p.cuts, a.Cuts...)
		}
		e.after(func() { close(done) })
	}})
	if err != nil {
		return p, err
	}
	select {
	case <-done:
		return p, nil
	case <-c.n.engine.stopped:
		return p, errStopped
	}
}

// tend brings one shard's ledger up to its log and says whether there is more
// to do later.
func (c *ledgers) tend(ctx context.Context, id uint32) (again bool, err error) {
	p, err := c.position(ctx, id)
	if err != nil || !p.here {
		return false, err
	}
	if err := c.append(id, p); err != nil {
		return true, err
	}
	if err := c.seal(id); err != nil {
		return true, err
	}
	whole, err := c.check(id, p.head)
	if err != nil {
		return true, err
	}
	if c.mismatched()[id] > 0 { // nothing is built on what does not fit
		if p.mine {
			c.giveAway(id, "", giveAwayEvery)
		}
		return true, nil
	}
	if !p.mine {
		delete(c.unnamed, id)
	}
	due, may := p.mine && len(p.cuts) > 0, false
	if due {
		if may, err = c.maySign(id, p.cuts[0].Seq); may {
			err = c.confirm(ctx, id, p.cuts[0].Seq)
		}
		if err != nil {
			return true, err
		}
	}
	missing, err := c.fill(ctx, id)
	if due && !may && !missing && err == nil { // the entry that names this node is nowhere to be fetched
		c.giveAway(id, c.signer(id, p.cuts[0].Seq), namedSoonEvery)
	}
	return due || missing || !whole, err
}

// append makes the entries of the batches that the engine has stored.
func (c *ledgers) append(id uint32, p position) error {
	for {
		tip, _, err := c.ledger.Tip(id)
		if err != nil {
			return err
		}
		raw, ok, err := c.n.store.Records(id, tip+1)
		if err != nil {
			return err
		}
		if !ok && p.head.Seq > tip { // the replica began behind these, at a snapshot, or they were lost
			if err := c.ledger.Base(id, p.head.Seq, p.head.Hash); err != nil {
				return err
			}
			continue
		}
		if !ok {
			return nil
		}
		b, err := job.DecodeBatch(raw)
		if err != nil {
			return fmt.Errorf("stored batch %d of shard %d: %w", tip+1, id, err)
		}
		made, err := c.batch(id, b)
		if err != nil {
			return err
		}
		if err := c.index(id, b); err != nil {
			return err
		}
		if _, err := c.ledger.Append(made); err != nil {
			return err
		}
		if err := c.sealOne(id, b.Seq); err != nil { // before its anchor may be pruned
			return err
		}
		c.prune(id, b.Seq)
	}
}

// seal compares what leaders anchored with this node's entries and takes it.
func (c *ledgers) seal(id uint32) error {
	tip, _, err := c.ledger.Tip(id)
	if err != nil {
		return err
	}
	from := tip + 1
	for from > 1 && tip+1-from < maxUnsealed {
		e, ok, err := c.ledger.Entry(id, from-1)
		if err != nil {
			return err
		}
		if !ok || e.Signer != "" {
			break
		}
		from--
	}
	for seq := from; seq <= tip; seq++ {
		if err := c.sealOne(id, seq); err != nil {
			return err
		}
	}
	return nil
}

func (c *ledgers) sealOne(id uint32, seq uint64) error {
	raw, ok, err := c.n.store.Anchor(id, seq)
	if err != nil || !ok {
		return err
	}
	a, err := job.DecodeAnchor(raw)
	if err != nil {
		return fmt.Errorf("stored anchor %d of shard %d: %w", seq, id, err)
	}
	err = c.ledger.Seal(ledger.Seal{
		Shard: id, Seq: seq, Root: a.Root, Hash: a.Hash, Signer: a.Signer, Signature: a.Signature, Reference: a.Reference,
	})
	if errors.Is(err, ledger.ErrMismatch) || errors.Is(err, ledger.ErrSignature) {
		c.alarm(id, seq, err)
		return nil
	}
	if err != nil {
		return err
	}
	w := c.n.store.NewBatch()
	w.DropAnchor(id, seq)
	return w.Commit(false)
}

// alarm says that this node and a leader disagree about an entry.
func (c *ledgers) alarm(id uint32, seq uint64, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, old := range c.mismatches[id] {
		if old == seq {
			return
		}
	}
	if len(c.mismatches[id]) < maxUnsealed {
		c.mismatches[id] = append(c.mismatches[id], seq)
	}
	c.n.log.Error("LEDGER MISMATCH: what the shard's leader anchored is not what the log says; do not trust this shard's records until it is explained",
		"shard", id, "entry", seq, "error", err)
}

// mismatched returns how many entries this node disagrees about, by shard.
func (c *ledgers) mismatched() map[uint32]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	out := map[uint32]int{}
	for id, seqs := range c.mismatches {
		out[id] = len(seqs)
	}
	return out
}

// confirm has the oldest batch anchored and, once that is final, tells the
// replica, which puts it into the log.
func (c *ledgers) confirm(ctx context.Context, id uint32, seq uint64) error {
	e, ok, err := c.ledger.Entry(id, seq)
	if err != nil || !ok {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, anchorTimeout)
	defer cancel()
	if err := c.anchor.Submit(ctx, e.Batch); err != nil {
		return fmt.Errorf("anchor batch %d: %w", seq, err)
	}
	r, err := c.anchor.Find(ctx, c.n.net.id, id, seq)
	switch {
	case err != nil || !r.Final:
		return err
	case r.Root != e.Root:
		c.alarm(id, seq, fmt.Errorf("the anchor holds root %v, the log makes %v: %w", r.Root, e.Root, ledger.ErrMismatch))
		return nil
	}
	s, err := ledger.Sealed(e, r, c.sign)
	if err != nil {
		return err
	}
	c.n.engine.offer(input{shard: id, event: shard.Confirm{Anchor: job.Anchor{
		Seq: seq, Root: s.Root, Hash: s.Hash, Signer: s.Signer, Signature: s.Signature, Reference: s.Reference,
	}}})
	return nil
}

// sign signs in this node's name.
func (c *ledgers) sign(message []byte) (string, []byte, error) {
	sig, err := c.n.key.Sign(message)
	return c.n.self, sig, err
}
