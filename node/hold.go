package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/scheduler/job"
)

// holdInputs has a job's module and inputs held here and by a second node.
func (n *Node) holdInputs(ctx context.Context, id job.ID, spec *job.Spec, from []string) ([]string, error) {
	cids, until := inputsOf(spec), n.keepUntil(spec)
	if err := n.hold(ctx, until, cids, from); err != nil {
		return nil, err
	}
	holders := []string{n.self}
	for _, p := range from {
		if p != n.self && p != "" {
			return append(holders, p), nil // whoever hands a job in holds what it needs
		}
	}
	if second := n.holdElsewhere(ctx, id, until, cids); second != "" {
		holders = append(holders, second)
	}
	return holders, nil
}

// inputsOf names what a job's tasks need: its module and inputs.
func inputsOf(spec *job.Spec) []string {
	cids := []string{spec.Module}
	for _, in := range spec.Inputs {
		cids = append(cids, in.CID)
	}
	return cids
}

// hold fetches blobs and pins them until a time, rounded up to the hour, so that
// many jobs with the same module share one pin.
func (n *Node) hold(ctx context.Context, until time.Time, cids, from []string) error {
	ctx, cancel := context.WithTimeout(ctx, holdTimeout)
	defer cancel()
	var peers []peer.ID
	for _, s := range from {
		if p, err := peer.Decode(s); err == nil && s != n.self {
			peers = append(peers, p)
		}
	}
	for _, s := range cids {
		c, err := cid.Decode(s)
		if err != nil {
			return fmt.Errorf("CID %q: %w", s, err)
		}
		if _, err := n.blobs.Fetch(ctx, c, peers, blobs.FetchLimit{Bytes: maxBlobBytes}); err != nil {
			return err
		}
		// What unfolds to links or to names that lead elsewhere is no input.
		if _, err := n.blobs.List(ctx, c); err != nil {
			return fmt.Errorf("%s: %w", s, err)
		}
		if err := n.blobs.Pin(ctx, pinOwner(until, s), c); err != nil {
			return fmt.Errorf("pin %s: %w", s, err)
		}
	}
	return nil
}

// reasonInputs refuses a job whose module or inputs nobody gave.
const reasonInputs = "inputs_unavailable"

// maxBlobBytes bounds one module, input or output that a node takes in.
const maxBlobBytes = 1 << 30

// holdElsewhere asks connected nodes, coordinators first, until one holds the
// blobs as well; "" if there is none.
func (n *Node) holdElsewhere(ctx context.Context, id job.ID, until time.Time, cids []string) string {
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Hold{Hold: &meshpb.Hold{
		Job: id[:], Cids: cids, Holders: []string{n.self}, Until: until.UnixMilli(),
	}}}
	tried := map[string]bool{n.self: true}
	candidates := append([]string{n.dir.shard(id.Shard(n.net.gen.Shards)).Leader}, n.dir.coordinators()...)
	for p := range n.dir.members(true) {
		candidates = append(candidates, p.String())
	}
	for _, p := range candidates {
		if p == "" || tried[p] || len(tried) > 4 {
			continue
		}
		tried[p] = true
		if r, err := n.links.one(ctx, p, req); err == nil && r.Code == "" {
			return p
		}
	}
	return ""
}

func (n *Node) serveHold(ctx context.Context, h *meshpb.Hold) *meshpb.JobReply {
	if len(h.Cids) > job.MaxInputs+2 {
		return refusal(api.CodeInvalidRequest, "malformed request to hold blobs")
	}
	if err := n.hold(ctx, n.atMost(time.UnixMilli(h.Until)), h.Cids, h.Holders); err != nil {
		if errors.Is(err, blobs.ErrFull) {
			return refusal(api.CodeBusy, err.Error())
		}
		return refusal(reasonInputs, err.Error())
	}
	return &meshpb.JobReply{}
}
