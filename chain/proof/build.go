package proof

import (
	"errors"
	"fmt"
	"slices"

	"github.com/ciro-network/ciro/chain/ledger"
)

// ErrNotReady means that an entry that the proof needs is not here, or not
// anchored, yet.
var ErrNotReady = errors.New("the ledger is not far enough yet")

// Source is the ledger that a proof is built from.
type Source interface {
	Entry(shard uint32, seq uint64) (*ledger.Signed, bool, error)
	Named(shard uint32, peer string) (seq uint64, ok bool, err error)
	Tip(shard uint32) (uint64, [32]byte, error)
}

// AddEntries adds the ledger entries that the file's records need: from their
// first batch to the head, and before them those that lead from the founder to
// the signers.
func (f *File) AddEntries(src Source, founder string) error {
	if len(f.Records) == 0 {
		return errors.New("the proof has no records")
	}
	first, last := f.Records[0].Batch, uint64(0)
	for _, r := range f.Records {
		first, last = min(first, r.Batch), max(last, r.Batch)
	}
	tip, _, err := src.Tip(f.Shard)
	if err != nil {
		return err
	}
	tip = min(tip, first+MaxEntries-1)
	need := map[uint64]*ledger.Signed{}
	for seq := first; seq <= tip; seq++ {
		e, ok, err := src.Entry(f.Shard, seq)
		if err != nil {
			return err
		}
		if !ok || e.Signer == "" {
			tip = seq - 1 // the head is the last one that is anchored
			break
		}
		need[seq] = e
	}
	if tip < last {
		return fmt.Errorf("batch %d of shard %d is not anchored: %w", last, f.Shard, ErrNotReady)
	}
	for seq := first; seq <= tip; seq++ {
		if err := f.introduce(src, founder, need[seq], need); err != nil {
			return err
		}
	}
	for _, e := range need {
		f.Entries = append(f.Entries, FromSigned(e))
	}
	slices.SortFunc(f.Entries, func(a, b Entry) int {
		if a.Seq < b.Seq {
			return -1
		}
		return 1
	})
	return nil
}

// introduce adds the entries by which a signer was named, back to the founder.
func (f *File) introduce(src Source, founder string, e *ledger.Signed, need map[uint64]*ledger.Signed) error {
	for e.Signer != founder {
		seq, ok, err := src.Named(f.Shard, e.Signer)
		if err != nil {
			return err
		}
		if !ok || seq >= e.Seq {
			return fmt.Errorf("no entry here names %s before it signed entry %d of shard %d: %w", e.Signer, e.Seq, f.Shard, ErrNotReady)
		}
		if need[seq] != nil {
			return nil // it is introduced in its turn
		}
		by, ok, err := src.Entry(f.Shard, seq)
		if err != nil {
			return err
		}
		if !ok || by.Signer == "" {
			return fmt.Errorf("entry %d of shard %d is not here: %w", seq, f.Shard, ErrNotReady)
		}
		need[seq], e = by, by
	}
	return nil
}
