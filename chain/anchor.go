package chain

import (
	"context"
	"errors"

	"github.com/ciro-network/ciro/chain/merkle"
)

// Batch is what an anchor takes: one batch of one shard.
type Batch struct {
	Network [32]byte
	Shard   uint32
	Seq     uint64 // counts from 1 without a gap
	Term    uint64 // of the log entry that cut it
	First   uint64 // number of the first record
	Count   uint64 // of records; 0: the batch only names the members
	Root    merkle.Hash
	At      int64 // shard time of the cut, unix milliseconds
	Members []string
}

// Receipt says how far an anchor is with a batch.
type Receipt struct {
	Seq       uint64
	Root      merkle.Hash
	Final     bool   // nothing takes it back
	Reference string // where it is held, as people look for it
}

// Errors of anchors. Any other error means that the anchor could not be reached
// and that the outcome is unknown: submit the batch again.
var (
	ErrUnknown  = errors.New("the anchor does not hold the batch")
	ErrGap      = errors.New("the anchor does not hold the batch before")
	ErrConflict = errors.New("the anchor holds another batch under this number")
	ErrStale    = errors.New("the anchor holds a batch of a later term")
)

// Anchor holds the roots of batches. Its methods may be called concurrently and
// respect ctx.
type Anchor interface {
	// Submit hands in the next batch of its shard. It returns nil when the anchor
	// has it, whether this time or before; that need not be final yet.
	Submit(ctx context.Context, b Batch) error
	// Find says how far the anchor is with a batch, or ErrUnknown.
	Find(ctx context.Context, network [32]byte, shard uint32, seq uint64) (Receipt, error)
	// Head returns the last batch of a shard that was submitted, or ErrUnknown.
	Head(ctx context.Context, network [32]byte, shard uint32) (Receipt, error)
}
