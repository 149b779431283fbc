package node

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// chunkTimeout bounds the fetching of one chunk; the replica asks again.
const chunkTimeout = 20 * time.Second

// fetchChunk fetches a chunk of a snapshot for a replica of this node. A node
// fetches one at a time, so that a snapshot, however large, leaves room for what
// is urgent.
func (n *Node) fetchChunk(ctx context.Context, id uint32, f shard.Fetch) {
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	select {
	case n.links.fetching <- struct{}{}:
		defer func() { <-n.links.fetching }()
	case <-ctx.Done():
		return
	}
	got := shard.Fetched{Index: f.Index, N: f.N}
	from, err := peer.Decode(f.From)
	var req []byte
	if err == nil {
		req, err = proto.Marshal(&meshpb.Fetch{Shard: id, Index: f.Index, N: f.N})
	}
	if err == nil {
		err = n.links.chunks.Call(ctx, from, req, func(b []byte) error { got.Data = b; return nil })
	}
	if err != nil && ctx.Err() == nil {
		n.log.Debug("chunk of a snapshot not fetched", "shard", id, "index", f.Index, "chunk", f.N, "from", f.From, "error", err)
	}
	n.engine.offer(input{shard: id, event: got})
}

// onFetch gives a chunk of a snapshot that this node has stored. It does not
// pass through the engine: a chunk never changes.
func (n *Node) onFetch(_ context.Context, from peer.ID, raw []byte, reply func([]byte) error) error {
	if !n.dir.coordinates(from) {
		return errors.New("snapshots are for coordinators")
	}
	req := &meshpb.Fetch{}
	if err := proto.Unmarshal(raw, req); err != nil {
		return fmt.Errorf("snapshot request: %w", err)
	}
	data, err := n.store.Chunk(req.Shard, req.Index, req.N)
	if err != nil {
		n.log.Error("a chunk of a snapshot cannot be read", "shard", req.Shard, "index", req.Index, "error", err)
		return fmt.Errorf("chunk %d cannot be read", req.N)
	}
	if data == nil {
		return fmt.Errorf("chunk %d of the snapshot at %d is not here any more", req.N, req.Index)
	}
	return reply(data)
}
