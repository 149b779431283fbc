// Package chaintest is what every chain.Anchor must do: one suite that the
// embedded ledger and each client of a real chain pass.
package chaintest

import (
	"context"
	"errors"
	"sync"
	"testing"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/chain/merkle"
)

// Harness makes the anchor under test.
type Harness struct {
	// New returns an anchor that holds nothing of Network.
	New func(t *testing.T) chain.Anchor
	// Reopen returns the same anchor as another process would see it.
	Reopen func(t *testing.T, a chain.Anchor) chain.Anchor
	// Settle makes final what was submitted; nil for anchors that need no time.
	Settle func(t *testing.T, a chain.Anchor)
}

// Network is the network of the suite's batches.
var Network = [32]byte{0xc1, 0x20}

// Batch returns the batch of a shard with that number; equal arguments give
// equal batches.
func Batch(shard uint32, seq, term uint64) chain.Batch {
	leaf := merkle.Leaf{Kind: merkle.Assignment, Shard: shard, Term: term, Seq: seq, Worker: "w"}
	return chain.Batch{
		Network: Network, Shard: shard, Seq: seq, Term: term, First: seq - 1, Count: 1, Root: leaf.Hash(), At: int64(1000 * seq), Members: []string{"a", "b"},
	}
}

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	for name, test := range map[string]func(*testing.T, *subject){
		"InOrder": inOrder, "Repeated": repeated, "Conflict": conflict, "Gap": gap, "Stale": stale, "Shards": shards,
		"Unknown": unknown, "Reopened": reopened, "Concurrent": concurrent, "Ended": ended, "Empty": empty, "Fields": fields,
	} {
		t.Run(name, func(t *testing.T) { test(t, &subject{t: t, h: h, Anchor: h.New(t)}) })
	}
}

// subject is an anchor under test.
type subject struct {
	chain.Anchor
	t *testing.T
	h Harness
}

func (s *subject) must(b chain.Batch) {
	s.t.Helper()
	if err := s.Submit(s.t.Context(), b); err != nil {
		s.t.Fatalf("batch %d of shard %d: %v", b.Seq, b.Shard, err)
	}
}

func (s *subject) refuses(b chain.Batch, want error) {
	s.t.Helper()
	if err := s.Submit(s.t.Context(), b); !errors.Is(err, want) {
		s.t.Errorf("batch %d of shard %d: %v, want %v", b.Seq, b.Shard, err, want)
	}
}

// final settles and checks that the anchor holds a batch for good.
func (s *subject) final(b chain.Batch) chain.Receipt {
	s.t.Helper()
	if s.h.Settle != nil {
		s.h.Settle(s.t, s.Anchor)
	}
	r, err := s.Find(s.t.Context(), Network, b.Shard, b.Seq)
	if err != nil || !r.Final || r.Root != b.Root || r.Seq != b.Seq || r.Reference == "" {
		s.t.Fatalf("batch %d of shard %d: %+v, %v", b.Seq, b.Shard, r, err)
	}
	return r
}

func inOrder(t *testing.T, s *subject) {
	for seq := uint64(1); seq <= 5; seq++ {
		s.must(Batch(0, seq, 1+seq/3))
		s.final(Batch(0, seq, 1+seq/3))
	}
	if r, err := s.Head(t.Context(), Network, 0); err != nil || r.Seq != 5 {
		t.Errorf("head: %+v, %v", r, err)
	}
	s.final(Batch(0, 2, 1)) // older ones are still held
}

func repeated(t *testing.T, s *subject) {
	b := Batch(0, 1, 3)
	s.must(b)
	first := s.final(b)
	s.must(b)
	s.must(Batch(0, 2, 3))
	s.must(b) // a leader that was slow
	if again := s.final(b); again != first {
		t.Errorf("the receipt changed from %+v to %+v", first, again)
	}
	if r, err := s.Head(t.Context(), Network, 0); err != nil || r.Seq != 2 {
		t.Errorf("head: %+v, %v", r, err)
	}
}

func conflict(_ *testing.T, s *subject) {
	b := Batch(0, 1, 3)
	s.must(b)
	other := b
	other.Root = Batch(9, 9, 9).Root
	s.refuses(other, chain.ErrConflict)
	s.final(b)
}

func gap(t *testing.T, s *subject) {
	s.refuses(Batch(0, 2, 1), chain.ErrGap)
	s.must(Batch(0, 1, 1))
	s.refuses(Batch(0, 3, 1), chain.ErrGap)
	if r, err := s.Head(t.Context(), Network, 0); err != nil || r.Seq != 1 {
		t.Errorf("head: %+v, %v", r, err)
	}
}

func stale(_ *testing.T, s *subject) {
	s.must(Batch(0, 1, 7))
	s.refuses(Batch(0, 2, 6), chain.ErrStale)
	s.must(Batch(0, 2, 7))
	s.must(Batch(0, 3, 9))
}

func shards(t *testing.T, s *subject) {
	s.must(Batch(0, 1, 5))
	s.must(Batch(1, 1, 2))
	s.must(Batch(0, 2, 5))
	s.must(Batch(1, 2, 2))
	for shard := range uint32(2) {
		s.final(Batch(shard, 2, []uint64{5, 2}[shard]))
		if r, err := s.Head(t.Context(), Network, shard); err != nil || r.Seq != 2 {
			t.Errorf("head of shard %d: %+v, %v", shard, r, err)
		}
	}
}

func unknown(t *testing.T, s *subject) {
	if _, err := s.Head(t.Context(), Network, 4); !errors.Is(err, chain.ErrUnknown) {
		t.Errorf("head of nothing: %v", err)
	}
	if _, err := s.Find(t.Context(), Network, 4, 1); !errors.Is(err, chain.ErrUnknown) {
		t.Errorf("a batch of nothing: %v", err)
	}
	s.must(Batch(4, 1, 1))
	if _, err := s.Find(t.Context(), Network, 4, 2); !errors.Is(err, chain.ErrUnknown) {
		t.Errorf("the next batch: %v", err)
	}
	if _, err := s.Find(t.Context(), [32]byte{1}, 4, 1); !errors.Is(err, chain.ErrUnknown) {
		t.Errorf("another network's: %v", err)
	}
}

func reopened(t *testing.T, s *subject) {
	s.must(Batch(0, 1, 1))
	s.must(Batch(0, 2, 1))
	first := s.final(Batch(0, 2, 1))
	s.Anchor = s.h.Reopen(t, s.Anchor)
	if again := s.final(Batch(0, 2, 1)); again != first {
		t.Errorf("the receipt changed from %+v to %+v", first, again)
	}
	s.must(Batch(0, 2, 1))
	s.refuses(Batch(0, 4, 1), chain.ErrGap)
	s.must(Batch(0, 3, 1))
	s.final(Batch(0, 3, 1))
}

// concurrent is what happens when an old leader and its successor both try.
func concurrent(t *testing.T, s *subject) {
	for seq := uint64(1); seq <= 3; seq++ {
		var wg sync.WaitGroup
		errs := make([]error, 4)
		for i := range errs {
			wg.Go(func() { errs[i] = s.Submit(t.Context(), Batch(0, seq, 1)) })
		}
		wg.Wait()
		if err := errors.Join(errs...); err != nil {
			t.Fatalf("batch %d: %v", seq, err)
		}
		s.final(Batch(0, seq, 1))
	}
}

func ended(t *testing.T, s *subject) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Submit(ctx, Batch(0, 1, 1)); !errors.Is(err, context.Canceled) {
		t.Errorf("submit: %v", err)
	}
	if _, err := s.Find(ctx, Network, 0, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("find: %v", err)
	}
	s.must(Batch(0, 1, 1))
}

// empty is a batch that only names the members: it has no root.
func empty(_ *testing.T, s *subject) {
	b := Batch(0, 1, 1)
	b.Count, b.Root = 0, merkle.Hash{}
	s.must(b)
	s.final(b)
	s.must(Batch(0, 2, 1))
}

// fields are all of a batch that an anchor is asked to remember.
func fields(t *testing.T, s *subject) {
	b := Batch(0, 1, 1)
	b.Members = nil
	s.must(b)
	r := s.final(b)
	head, err := s.Head(t.Context(), Network, 0)
	if err != nil || head.Root != r.Root || head.Seq != 1 {
		t.Errorf("head %+v, %v; found %+v", head, err, r)
	}
}
