package node

import (
	"fmt"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/chain/merkle"
	"github.com/ciro-network/ciro/scheduler/job"
)

// leaves are a batch's records as package merkle has them.
func leaves(id uint32, b *job.Batch) []merkle.Leaf {
	out := make([]merkle.Leaf, len(b.Leaves))
	for i := range b.Leaves {
		l := &b.Leaves[i]
		out[i] = merkle.Leaf{
			Kind: uint8(l.Kind), Shard: id, Term: l.Term, Seq: l.Seq, Job: l.Job, Task: l.Task, Attempt: l.Attempt, Worker: l.Worker,
			Spec: merkle.Cut(l.Spec), Exit: l.Exit, Output: l.Output, Prints: l.Prints,
		}
	}
	return out
}

// tree is the Merkle tree over a batch's records.
func tree(records []merkle.Leaf) (*merkle.Tree, error) {
	hashes := make([]merkle.Hash, len(records))
	for i := range records {
		hashes[i] = records[i].Hash()
	}
	return merkle.New(hashes)
}

// batch computes a batch's root.
func (c *ledgers) batch(id uint32, b *job.Batch) (chain.Batch, error) {
	t, err := tree(leaves(id, b))
	if err != nil {
		return chain.Batch{}, fmt.Errorf("batch %d of shard %d: %w", b.Seq, id, err)
	}
	root, _ := t.Root() // none: zero
	return chain.Batch{
		Network: c.n.net.id, Shard: id, Seq: b.Seq, Term: b.Term, First: b.First, Count: b.Count, Root: root, At: b.At, Members: b.Members,
	}, nil
}

// index notes which jobs have records in a batch.
func (c *ledgers) index(id uint32, b *job.Batch) error {
	w := c.n.store.NewBatch()
	for _, j := range jobsOf(b) {
		w.PutJobBatch(j, b.Seq)
	}
	if err := w.Commit(false); err != nil {
		return fmt.Errorf("index batch %d of shard %d: %w", b.Seq, id, err)
	}
	return nil
}

// jobsOf lists the jobs of a batch.
func jobsOf(b *job.Batch) [][32]byte {
	var out [][32]byte
	seen := map[job.ID]bool{}
	for i := range b.Leaves {
		if j := b.Leaves[i].Job; !seen[j] {
			seen[j] = true
			out = append(out, j)
		}
	}
	return out
}

// prune forgets the batch that falls out of the newest ones. Its ledger entry
// stays.
func (c *ledgers) prune(id uint32, newest uint64) {
	keep := uint64(c.n.cfg.Chain.KeepBatches)
	if newest <= keep {
		return
	}
	raw, ok, err := c.n.store.Records(id, newest-keep)
	if err != nil || !ok {
		return
	}
	b, err := job.DecodeBatch(raw)
	if err != nil {
		return
	}
	w := c.n.store.NewBatch()
	w.DropRecords(id, b.Seq, jobsOf(b))
	w.DropAnchor(id, b.Seq) // a replayed log may have stored it once more
	if err := w.Commit(false); err != nil {
		c.complain(id, err)
	}
}
