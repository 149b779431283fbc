package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	prooffile "github.com/ciro-network/ciro/chain/proof"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// proofPatience is how long a node may be silent before the next one is asked.
const proofPatience = 1500 * time.Millisecond

// proofChunk is how much of a proof file one reply carries.
const proofChunk = 1 << 20

// serveProve makes a job's proof from what this node keeps of the shard's ledger.
func (n *Node) serveProve(ctx context.Context, q *meshpb.Prove, each func(*meshpb.JobReply) error) error {
	id, on, bad := n.target(q.Job)
	if bad != nil {
		return each(bad)
	}
	// It may take a moment: say at once that somebody is here.
	if err := each(&meshpb.JobReply{Code: codeWorking}); err != nil {
		return err
	}
	data, refused := n.prove(ctx, id, on)
	if refused != nil {
		return each(refused)
	}
	for at := 0; at < len(data); at += proofChunk {
		end := min(at+proofChunk, len(data))
		c := &meshpb.Chunk{Offset: int64(at), Data: data[at:end], End: end == len(data)}
		if err := each(&meshpb.JobReply{Chunk: c, End: c.End}); err != nil {
			return err
		}
	}
	return nil
}

// prove makes the file, or says why not.
func (n *Node) prove(ctx context.Context, id job.ID, on uint32) ([]byte, *meshpb.JobReply) {
	waiting, here := 0, false
	err := n.engine.query(ctx, func(e *engine) {
		r := e.replicas[on]
		if r == nil {
			return
		}
		here = true
		c := &r.State().Anchoring
		for i := range c.Leaves {
			if c.Leaves[i].Job == id {
				waiting++
			}
		}
	})
	switch {
	case err != nil:
		return nil, refusal(shard.ReasonUnavailable, err.Error())
	case !here:
		return nil, refusal(shard.ReasonNotLeader, "this node holds no replica of the shard")
	case waiting > 0:
		return nil, refusal(api.CodeNotAnchored, fmt.Sprintf("%d records of the job wait for their batch's anchor", waiting))
	}
	f := &prooffile.File{Format: prooffile.Format, Network: n.net.id, Genesis: n.net.raw, Shard: on, Job: prooffile.ID(id)}
	if err := n.addRecords(f, id, on); err != nil {
		return nil, refusal(api.CodeInternal, err.Error())
	}
	if len(f.Records) == 0 {
		return nil, refusal(api.CodeNotFound, "no record of the job is kept here: it was never assigned, or its batches are older than those kept")
	}
	switch err := f.AddEntries(n.chain.ledger, n.net.gen.Founder); {
	case errors.Is(err, prooffile.ErrNotReady):
		return nil, refusal(api.CodeNotAnchored, err.Error())
	case err != nil:
		return nil, refusal(api.CodeInternal, err.Error())
	}
	data, err := f.Encode()
	if err != nil {
		return nil, refusal(api.CodeInternal, err.Error())
	}
	return data, nil
}

// addRecords adds a job's records of all kept batches, each with its path.
func (n *Node) addRecords(f *prooffile.File, id job.ID, on uint32) error {
	seqs, err := n.store.JobBatches(id)
	if err != nil {
		return err
	}
	for _, seq := range seqs {
		raw, ok, err := n.store.Records(on, seq)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		b, err := job.DecodeBatch(raw)
		if err != nil {
			return fmt.Errorf("stored batch %d of shard %d: %w", seq, on, err)
		}
		records := leaves(on, b)
		t, err := tree(records)
		if err != nil {
			return err
		}
		for i := range records {
			if records[i].Job == id {
				f.Records = append(f.Records, prooffile.FromLeaf(&records[i], seq, uint64(i), t.Path(i)))
			}
		}
	}
	return nil
}

// Proof implements api.Chain: any voter of the job's shard can make it.
func (a *adapter) Proof(ctx context.Context, text string) ([]byte, error) {
	id, err := a.resolve(ctx, answerBy(), text)
	if err != nil {
		return nil, err
	}
	on := id.Shard(a.n.net.gen.Shards)
	var last error = a.unavailable(on, "no coordinator is known", nil)
	for _, p := range a.n.dir.whom(on, a.n.self) {
		data, refused, err := a.askProof(ctx, p, id)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case refused == nil && err == nil:
			return data, nil
		case refused == nil: // it did not answer
		case refused.Code == api.CodeNotAnchored:
			wait := api.Refuse(api.CodeNotAnchored, "try again in a moment: batches are cut when they are full or old enough", "%s", refused.Message)
			wait.RetryAfter = time.Second
			last = wait
		case refused.Code != shard.ReasonNotLeader && !notAnchored(last):
			last = api.Refuse(refused.Code, "", "%s", refused.Message)
		}
	}
	return nil, last
}

// askProof asks one node for a job's proof file.
func (a *adapter) askProof(ctx context.Context, p string, id job.ID) (data []byte, refused *meshpb.JobReply, err error) {
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	// A node that has died is noticed by the network much later.
	silent := time.AfterFunc(proofPatience, cancel)
	defer silent.Stop()
	whole := false
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Prove{Prove: &meshpb.Prove{Job: id[:]}}}
	err = a.n.links.call(ctx, p, req, func(r *meshpb.JobReply) error {
		silent.Stop()
		switch {
		case r.Code == codeWorking:
			return nil
		case r.Code != "":
			refused = r
			return nil
		}
		data = append(data, r.Chunk.GetData()...)
		whole = r.End
		if len(data) > prooffile.MaxFile {
			return fmt.Errorf("the proof of %s is over %d bytes", short(p), prooffile.MaxFile)
		}
		return nil
	})
	if err == nil && refused == nil && !whole {
		err = errNoReply
	}
	return data, refused, err
}

func notAnchored(err error) bool {
	var r *api.Refusal
	return errors.As(err, &r) && r.Code == api.CodeNotAnchored
}

// serveChainStatus says how far the ledgers are of the shards that this node
// leads.
func (n *Node) serveChainStatus(ctx context.Context) *meshpb.JobReply {
	list := []api.ShardChain{}
	bad := n.chain.mismatched()
	shards := n.led(ctx, func(on uint32, r *shard.Replica) {
		c := &r.State().Anchoring
		list = append(list, api.ShardChain{
			Shard: int(on), Open: c.Open(), Cut: c.Seq, Anchored: c.Head.Seq, Pending: len(c.Cuts), Records: c.First, Mismatches: bad[on],
		})
	})
	for i := range list {
		v := &list[i]
		on := uint32(v.Shard)
		if e, ok, err := n.chain.ledger.Entry(on, v.Anchored); err == nil && ok {
			v.Head, v.HeadAt = fmt.Sprintf("%x", e.Hash()), moment(e.At)
		}
		v.From = 1
		if seq, _, missing, err := n.chain.ledger.Want(on); err == nil && missing {
			v.From = seq + 1
		}
	}
	r := jsonReply(list)
	r.Shards = shards
	return r
}

// ChainStatus implements api.Chain.
func (a *adapter) ChainStatus(ctx context.Context) (api.ChainStatus, error) {
	out := api.ChainStatus{Network: a.n.net.String(), Anchor: "ledger", Shards: []api.ShardChain{}, AsOf: api.At(time.Now())}
	seen := map[int]bool{}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_ChainStatus{ChainStatus: &meshpb.ChainStatus{}}}
	out.Unanswered = a.everyLeader(ctx, answerBy(), req, func(r *meshpb.JobReply) error {
		var part []api.ShardChain
		if err := json.Unmarshal(r.Json, &part); err != nil {
			return err
		}
		for _, s := range part {
			if !seen[s.Shard] {
				seen[s.Shard] = true
				out.Shards = append(out.Shards, s)
			}
		}
		return nil
	})
	slices.SortFunc(out.Shards, func(x, y api.ShardChain) int { return x.Shard - y.Shard })
	if wrong := a.n.chain.wrong(); len(wrong) > 0 {
		out.LocalShards = wrong
	}
	for _, n := range a.n.chain.mismatched() {
		out.Local += n
	}
	return out, nil
}

// LedgerEntries implements api.Chain.
func (a *adapter) LedgerEntries(ctx context.Context, q api.EntryQuery) (api.LedgerEntries, error) {
	if q.Shard < 0 || q.Shard >= int(a.n.net.gen.Shards) {
		return api.LedgerEntries{}, api.Refuse(api.CodeInvalidRequest, "ciro network shards lists them",
			"there is no shard %d; the network has %d", q.Shard, a.n.net.gen.Shards)
	}
	var out api.LedgerEntries
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Entries{Entries: &meshpb.Entries{
		Shard: uint32(q.Shard), Before: q.Before, Limit: uint32(min(max(q.Limit, 1), api.MaxListLimit)),
	}}}
	err := a.leader(ctx, asked{shard: uint32(q.Shard), until: answerBy()}, req, func(r *meshpb.JobReply) error { return json.Unmarshal(r.Json, &out) })
	return out, err
}

// Chain is the ledgers of the mesh; see Jobs.
func (n *Node) Chain() api.Chain { return &adapter{n: n} }

// ProofRules are what a proof file is held against: the network's id, "" to take
// the file's own, and peers whose signatures count beside what follows from the
// network's founder.
type ProofRules struct {
	Network string
	Trust   []string
}

// VerifyProof checks a proof file. It needs no node, network or disk.
func VerifyProof(data []byte, r ProofRules) (*prooffile.Verdict, error) {
	return prooffile.Verify(data, prooffile.Rules{Network: r.Network, Trust: r.Trust, Verify: verifySignature, Genesis: readFounder})
}

// readFounder reads who founded a network.
func readFounder(raw []byte) (founder, name string, err error) {
	if len(raw) > maxGenesis {
		return "", "", fmt.Errorf("genesis of %d bytes is over %d", len(raw), maxGenesis)
	}
	g := &meshpb.Genesis{}
	if err := proto.Unmarshal(raw, g); err != nil {
		return "", "", fmt.Errorf("genesis: %w", err)
	}
	return g.Founder, g.Name, nil
}
