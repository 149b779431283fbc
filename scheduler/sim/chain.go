package sim

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// batches is what is known for certain of the batches of one shard, and of the
// anchor that holds them.
type batches struct {
	cut     [][]byte         // encoded, batch 1 first
	leaves  uint64           // in all of them
	held    map[uint64]bool  // batches that the anchor holds
	final   uint64           // of the last batch whose anchor is in the log
	settled map[taskRef]bool // completions in a batch
	given   map[attemptRef]bool
}

func newBatches() batches {
	return batches{held: map[uint64]bool{}, settled: map[taskRef]bool{}, given: map[attemptRef]bool{}}
}

// root stands for a batch's Merkle root.
func root(encoded []byte) [32]byte { return sha256.Sum256(encoded) }

// cut checks a batch that the log has cut: it follows the one before without a
// gap, its assignments are the log's, and no completion is in two batches.
func (o *oracle) cut(l *ledger, c job.Cut) {
	b := l.state.Anchoring.Batch(c)
	seq := uint64(len(l.batches.cut)) + 1
	if c.Seq != seq || c.First != l.batches.leaves || len(b.Leaves) != int(c.Count) {
		o.w.violate("batches", "batch %d of %d records from %d follows batch %d, which ended at %d", c.Seq, len(b.Leaves), c.First, seq-1, l.batches.leaves)
		return
	}
	for i := range b.Leaves {
		o.leaf(l, &b.Leaves[i])
	}
	l.batches.cut = append(l.batches.cut, b.Encode())
	l.batches.leaves += c.Count
	o.w.report.Batches++
	o.w.report.Records += len(b.Leaves)
}

func (o *oracle) leaf(l *ledger, f *job.Leaf) {
	t := taskRef{f.Job, f.Task}
	at := attemptRef{t, f.Attempt}
	if g := l.given[at]; g.fence != f.Seq || g.worker != f.Worker {
		o.w.violate("batches", "a record says that attempt %d of %s task %d went to %s at %d, the log says %s at %d",
			f.Attempt, f.Job.Short(), f.Task, f.Worker, f.Seq, g.worker, g.fence)
	}
	switch f.Kind {
	case job.LeafAssignment:
		if l.batches.given[at] {
			o.w.violate("batches", "the assignment of attempt %d of %s task %d is in two batches", f.Attempt, f.Job.Short(), f.Task)
		}
		l.batches.given[at] = true
	case job.LeafCompletion:
		if l.batches.settled[t] {
			o.w.violate("G3", "the completion of %s task %d is recorded twice", f.Job.Short(), f.Task)
		}
		if fence, ok := l.done[t]; !ok || fence != f.Seq {
			o.w.violate("G3", "the completion of %s task %d is recorded at fence %d, done is %d", f.Job.Short(), f.Task, f.Seq, fence)
		}
		l.batches.settled[t] = true
	}
}

// handed checks the batch that a replica hands to its owner.
func (o *oracle) handed(h *host, b job.Batch) {
	l := o.shards[h.shard]
	switch got := b.Encode(); {
	case b.Seq > uint64(len(l.batches.cut)):
		o.w.violate("batches", "%s shard %d hands out batch %d, which is not in the log", h.n.name, h.shard, b.Seq)
	case !bytes.Equal(got, l.batches.cut[b.Seq-1]):
		o.w.violate("batches", "%s shard %d has another batch %d than the log", h.n.name, h.shard, b.Seq)
	}
}

// anchored checks that what the log calls final is held by the anchor, in order,
// and is the batch that every replica cut.
func (o *oracle) anchored(l *ledger, a *job.Anchor) {
	switch {
	case a.Seq != l.batches.final+1:
		o.w.violate("batches", "batch %d becomes final after batch %d", a.Seq, l.batches.final)
	case !l.batches.held[a.Seq]:
		o.w.violate("batches", "batch %d is final, but the anchor does not hold it", a.Seq)
	case a.Root != root(l.batches.cut[a.Seq-1]):
		o.w.violate("batches", "batch %d is final under another root", a.Seq)
	}
	l.batches.final = a.Seq
}

// complete checks, at the end, that every completed job's completions are in a
// batch or wait for one, once.
func (o *oracle) complete() {
	for _, l := range o.shards {
		open := map[taskRef]int{}
		c := &l.state.Anchoring
		for _, f := range c.Leaves[c.OpenFrom()-c.First:] {
			if f.Kind == job.LeafCompletion {
				open[taskRef{f.Job, f.Task}]++
			}
		}
		for _, j := range l.state.SortedJobs() {
			for i := range j.Tasks {
				t := taskRef{j.ID, j.WireIndex(i)}
				n := open[t]
				if l.batches.settled[t] {
					n++
				}
				if want := j.State == job.Completed; n > 1 || want != (n == 1) {
					o.w.violate("G3", "job %s is %s and the completion of task %d is recorded %d times", j.ID.Short(), j.State, t.task, n)
				}
			}
		}
	}
}

// keepBatches stores the batches among actions before anything else of them is
// performed.
func (h *host) keepBatches(acts []shard.Action) {
	for _, a := range acts {
		if c, ok := a.(shard.Cut); ok {
			h.keepBatch(&c.Batch)
		}
	}
}

// keepBatch stores a batch under its number. The planted bug cutReplayed counts
// batches as they come, and they come again after a restart.
func (h *host) keepBatch(b *job.Batch) {
	d := &h.n.disk.shards[h.shard]
	if d.batches == nil {
		d.batches = map[uint64][]byte{}
	}
	seq := b.Seq
	if h.n.w.cfg.Mutation == CutReplayed && d.last > 0 {
		seq = d.last + 1
	}
	d.batches[seq], d.last = b.Encode(), max(seq, d.last)
}

// anchor plays the leader's owner: it hands the oldest batch to the anchor, waits
// for it, and says so to the replica; and so on while there are any.
func (h *host) anchor() {
	w := h.n.w
	if h.anchoring || !h.led.Mine {
		return
	}
	h.anchoring = true
	w.soon(h.n, w.between(5*time.Millisecond, 400*time.Millisecond), func() {
		h.anchoring = false
		if !h.alive() || !h.led.Mine {
			return
		}
		c := &h.rep.State().Anchoring
		if len(c.Cuts) == 0 {
			return
		}
		seq := c.Cuts[0].Seq
		encoded := h.n.disk.shards[h.shard].batches[seq]
		if encoded == nil {
			w.violate("batches", "%s shard %d leads and was never handed batch %d, which is not final", h.n.name, h.shard, seq)
			return
		}
		w.oracle.shards[h.shard].batches.held[seq] = true
		h.step(shard.Confirm{Anchor: job.Anchor{
			Seq: seq, Root: root(encoded), Hash: root(slices.Concat(encoded, encoded)), Signer: h.n.name, Reference: fmt.Sprint("sim:", seq),
		}})
		h.anchor()
	})
}
