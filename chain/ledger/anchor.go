package ledger

import (
	"context"
	"fmt"

	"github.com/ciro-network/ciro/chain"
)

// Sign signs a message in the name of this node.
type Sign func(message []byte) (peer string, signature []byte, err error)

// Anchor is the ledger as an anchor: whoever submits appends.
type Anchor struct{ *Ledger }

// Anchor returns the ledger as an anchor.
func (l *Ledger) Anchor() Anchor { return Anchor{l} }

var _ chain.Anchor = Anchor{}

// Submit implements chain.Anchor.
func (a Anchor) Submit(ctx context.Context, b chain.Batch) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	_, err := a.Append(b)
	return err
}

// Find implements chain.Anchor.
func (a Anchor) Find(ctx context.Context, network [32]byte, shard uint32, seq uint64) (chain.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return chain.Receipt{}, err
	}
	e, ok, err := a.Entry(shard, seq)
	if err != nil {
		return chain.Receipt{}, err
	}
	if !ok || network != a.network {
		return chain.Receipt{}, fmt.Errorf("entry %d of shard %d: %w", seq, shard, chain.ErrUnknown)
	}
	return chain.Receipt{Seq: seq, Root: e.Root, Final: true, Reference: reference(e.Hash())}, nil
}

// Head implements chain.Anchor.
func (a Anchor) Head(ctx context.Context, network [32]byte, shard uint32) (chain.Receipt, error) {
	tip, _, err := a.Tip(shard)
	if err != nil {
		return chain.Receipt{}, err
	}
	return a.Find(ctx, network, shard, tip)
}

// Sealed returns the leader's word about an entry that an anchor holds.
func Sealed(e *Signed, r chain.Receipt, sign Sign) (Seal, error) {
	hash := e.Hash()
	peer, signature, err := sign(Message(hash, r.Reference))
	if err != nil {
		return Seal{}, fmt.Errorf("sign entry %d of shard %d: %w", e.Seq, e.Shard, err)
	}
	return Seal{
		Shard: e.Shard, Seq: e.Seq, Root: e.Root, Hash: hash, Signer: peer, Signature: signature, Reference: r.Reference,
	}, nil
}
