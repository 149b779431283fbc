package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
)

const (
	fillAtOnce  = 64              // entries that one look fills in
	fillPause   = 5 * time.Second // after nobody had what is missing
	fillTimeout = 5 * time.Second // of one question
)

// verifySignature checks a peer's signature, with the key that its id contains.
func verifySignature(id string, message, signature []byte) error {
	p, err := peer.Decode(id)
	if err != nil {
		return fmt.Errorf("signer %.80q: %w", id, err)
	}
	key, err := p.ExtractPublicKey()
	if err != nil {
		return fmt.Errorf("signer %s: %w", p, err)
	}
	if ok, err := key.Verify(message, signature); err != nil || !ok {
		return errors.Join(fmt.Errorf("the signature is not that of %s", p), err)
	}
	return nil
}

// fill fetches ledger entries, and the batches behind them, that other voters
// have and this node was not there for. It says whether some are still missing.
func (c *ledgers) fill(ctx context.Context, id uint32) (missing bool, err error) {
	c.mu.Lock()
	wait := time.Now().Before(c.fillAt[id])
	c.mu.Unlock()
	for range fillAtOnce {
		seq, _, want, err := c.ledger.Want(id)
		if err != nil || !want {
			return false, err
		}
		if wait || !c.fillOne(ctx, id, seq) {
			c.mu.Lock()
			if !wait {
				c.fillAt[id] = time.Now().Add(fillPause)
			}
			c.mu.Unlock()
			return true, nil
		}
	}
	return true, nil
}

// fillOne asks the other voters for one entry until one has it.
func (c *ledgers) fillOne(ctx context.Context, id uint32, seq uint64) bool {
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Ledger{Ledger: &meshpb.Ledger{Shard: id, Seq: seq}}}
	k := c.n.dir.shard(id)
	for _, p := range append([]string{k.Leader}, k.Voters...) {
		if p == c.n.self || p == "" {
			continue
		}
		asking, cancel := context.WithTimeout(ctx, fillTimeout)
		r, err := c.n.links.one(asking, p, req)
		cancel()
		if err != nil || r.Code != "" {
			continue
		}
		if err := c.take(id, r); err != nil {
			c.n.log.Warn("a ledger entry of another voter is not taken", "shard", id, "entry", seq, "from", p, "error", err)
			continue
		}
		return true
	}
	return false
}

// take checks an entry of another voter and keeps it, with its batch if that is
// whole.
func (c *ledgers) take(id uint32, r *meshpb.JobReply) error {
	e, err := ledger.Decode(r.Entry)
	if err != nil {
		return err
	}
	if e.Shard != id {
		return fmt.Errorf("the entry is shard %d's", e.Shard)
	}
	if len(r.Batch) > 0 {
		b, err := job.DecodeBatch(r.Batch)
		if err != nil {
			return err
		}
		made, err := c.batch(id, b)
		if err != nil {
			return err
		}
		if (&ledger.Entry{Batch: made, Previous: e.Previous}).Hash() != e.Hash() {
			return fmt.Errorf("batch %d is not the one of its entry: %w", b.Seq, ledger.ErrMismatch)
		}
		// Fill checks the entry itself: without it the batch means nothing.
		if err := c.ledger.Fill(e); err != nil {
			return err
		}
		w := c.n.store.NewBatch()
		w.PutRecords(id, b.Seq, r.Batch)
		if err := w.Commit(true); err != nil {
			return err
		}
		return c.index(id, b)
	}
	return c.ledger.Fill(e)
}

// serveLedger gives one entry and its batch to another voter.
func (n *Node) serveLedger(q *meshpb.Ledger) *meshpb.JobReply {
	e, ok, err := n.chain.ledger.Entry(q.Shard, q.Seq)
	if err != nil {
		return refusal(api.CodeInternal, err.Error())
	}
	if !ok || e.Signer == "" {
		return refusal(api.CodeNotFound, "the ledger's entry is not here")
	}
	out := &meshpb.JobReply{Entry: e.Encode()}
	if out.Batch, _, err = n.store.Records(q.Shard, q.Seq); err != nil {
		return refusal(api.CodeInternal, err.Error())
	}
	return out
}

// serveEntries gives a page of a ledger.
func (n *Node) serveEntries(q *meshpb.Entries) *meshpb.JobReply {
	tip, _, err := n.chain.ledger.Tip(q.Shard)
	if err != nil {
		return refusal(api.CodeInternal, err.Error())
	}
	page := api.LedgerEntries{Entries: []api.LedgerEntry{}}
	seq := tip
	if q.Before > 0 {
		seq = min(tip, q.Before-1)
	}
	for ; seq > 0 && len(page.Entries) < int(min(q.Limit, api.MaxListLimit)); seq-- {
		e, ok, err := n.chain.ledger.Entry(q.Shard, seq)
		if err != nil {
			return refusal(api.CodeInternal, err.Error())
		}
		if !ok {
			break
		}
		page.Entries = append(page.Entries, viewEntry(e))
	}
	if seq > 0 {
		page.Next = seq + 1
	}
	return jsonReply(page)
}

func viewEntry(e *ledger.Signed) api.LedgerEntry {
	v := api.LedgerEntry{
		Shard: int(e.Shard), Seq: e.Seq, Term: e.Term, Records: e.Count, Hash: fmt.Sprintf("%x", e.Hash()), Members: slices.Clone(e.Members),
		Signer: e.Signer, Reference: e.Reference, At: moment(e.At),
	}
	if v.Members == nil {
		v.Members = []string{}
	}
	if e.Count > 0 {
		v.Root = e.Root.String()
	}
	return v
}
