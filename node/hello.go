package node

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/scheduler/worker"
)

const (
	helloTimeout = 10 * time.Second
	helloTries   = 5
	genesisProto = "/ciro/genesis/1"
)

// onPeer says hello to a peer that has just connected. It may not block.
func (n *Node) onPeer(p peer.ID, up bool) {
	if !up {
		n.dir.down(p)
		return
	}
	n.background(func(ctx context.Context) {
		var err error
		for i := range helloTries {
			if err = n.sayHello(ctx, p); err == nil || ctx.Err() != nil {
				return
			}
			pause(ctx, time.Duration(i+1)*100*time.Millisecond)
		}
		if errors.Is(err, errStranger) {
			n.log.Info("peer does not belong to this network; disconnecting", "peer", p, "error", err)
			n.host.Disconnect(p, true)
			return
		}
		n.log.Debug("hello failed", "peer", p, "error", err)
	})
}

// errStranger says that a peer is no member of this network.
var errStranger = errors.New("not a member")

func (n *Node) helloTo(p peer.ID, purpose string) *meshpb.Hello {
	return &meshpb.Hello{
		Network: n.net.id[:], Proof: proof(n.net.secret, purpose, n.self, p.String()), Name: n.cfg.Name, Version: n.parts.Version,
		Roles: n.cfg.Roles, Shards: n.dir.reports(), Now: n.wall().UnixMilli(), Allowed: n.dir.admission.encoded(), Leaving: n.dir.admission.leaving.Load(), LowOnDisk: n.disk.isLow.Load(), Age: n.age(),
	}
}

// welcome checks a hello and takes in what it says.
func (n *Node) welcome(p peer.ID, h *meshpb.Hello, purpose string) error {
	if h.Refusal != "" {
		return fmt.Errorf("%w: %s", errStranger, h.Refusal)
	}
	if string(h.Network) != string(n.net.id[:]) {
		return fmt.Errorf("%w: it is of network %x, this is %s", errStranger, h.Network, n.net)
	}
	if !hmac.Equal(h.Proof, proof(n.net.secret, purpose, p.String(), n.self)) {
		return fmt.Errorf("%w: it does not know the join secret", errStranger)
	}
	if len(h.Roles) > 8 || len(h.Name) > 128 || len(h.Version) > 128 || len(h.Shards) > maxShards {
		return fmt.Errorf("%w: malformed hello", errStranger)
	}
	restarted, err := n.ages.judge(p, h.Age)
	if restarted {
		n.host.Restarted(p)
	}
	if err != nil {
		if errors.Is(err, errOutdated) {
			n.log.Warn("a node runs on an older copy of its data directory and is refused", "peer", p, "error", err)
			n.dir.expel(p)
		}
		return err
	}
	n.dir.admit(p, h)
	n.heardAllowed(h.Allowed)
	for _, r := range h.Shards {
		n.learn(r, r.Leader == p.String())
	}
	return nil
}

func (n *Node) sayHello(ctx context.Context, p peer.ID) error {
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	raw, err := proto.Marshal(n.helloTo(p, "hello"))
	if err != nil {
		return err
	}
	return n.links.hello.Call(ctx, p, raw, func(b []byte) error {
		h := &meshpb.Hello{}
		if err := proto.Unmarshal(b, h); err != nil {
			return fmt.Errorf("%w: %w", errStranger, err)
		}
		if h.Refusal != "" {
			n.heedRefusal(ctx, p, h, "welcome")
		}
		return n.welcome(p, h, "welcome")
	})
}

// onHello answers a hello.
func (n *Node) onHello(_ context.Context, from peer.ID, req []byte, reply func([]byte) error) error {
	h := &meshpb.Hello{}
	answer := &meshpb.Hello{}
	if err := proto.Unmarshal(req, h); err != nil {
		return fmt.Errorf("hello: %w", err)
	}
	if err := n.welcome(from, h, "hello"); err != nil {
		answer.Refusal = err.Error()
		if errors.Is(err, errOutdated) {
			answer = &meshpb.Hello{Refusal: answer.Refusal, Outdated: true, Roles: n.cfg.Roles, Proof: proof(n.net.secret, "welcome", n.self, from.String())}
		}
	} else {
		answer = n.helloTo(from, "welcome")
	}
	raw, err := proto.Marshal(answer)
	if err != nil {
		return err
	}
	return reply(raw)
}

// learn takes a report about a shard into the directory and tells the worker
// who leads. A leader that is new, or that is heard of again after a silence, has
// not heard what was offered meanwhile.
func (n *Node) learn(r *meshpb.ShardReport, sure bool) {
	changed, back := n.dir.learn(r, sure)
	if changed {
		n.tellWorker(r)
	}
	if r.Leader != "" && (changed || back) {
		n.gossip.sayAgain(r.Shard)
	}
}

func (n *Node) tellWorker(r *meshpb.ShardReport) {
	if n.attaches(r.Shard) {
		n.engine.offer(input{worker: worker.Leader{Shard: r.Shard, Peer: r.Leader, Term: r.Term}})
	}
}

// attaches says whether this node's worker serves a shard.
func (n *Node) attaches(shard uint32) bool {
	_, ok := slices.BinarySearch(n.serves, shard)
	return ok
}

// serveGenesis gives the genesis to those who join: in a closed network only to
// those who know the secret.
func (n *Node) serveGenesis() error {
	return n.host.ServeOpen(genesisProto, func(from peer.ID, req []byte) []byte {
		m, reply := &meshpb.GenesisRequest{}, &meshpb.GenesisReply{}
		switch {
		case proto.Unmarshal(req, m) != nil:
			reply.Refusal = "malformed request"
		case n.net.secret != "" && !hmac.Equal(m.Proof, proof(n.net.secret, "genesis", from.String(), n.self)):
			reply.Refusal = "this network is closed and the join secret is missing or wrong; use the whole join address, ADDRESS#SECRET"
		default:
			reply.Genesis = n.net.raw
		}
		raw, err := proto.Marshal(reply)
		if err != nil {
			return nil
		}
		return raw
	})
}

// fetchGenesis asks a member for the genesis and checks it.
func (n *Node) fetchGenesis(ctx context.Context, from *peer.AddrInfo, secret string) (*network, error) {
	raw, err := proto.Marshal(&meshpb.GenesisRequest{Proof: proof(secret, "genesis", n.self, from.ID.String())})
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, helloTimeout)
	defer cancel()
	answer, err := n.parts.Ask(ctx, n.key, *from, p2p.OpenRequest{Protocol: genesisProto, Body: raw})
	if err != nil {
		return nil, fmt.Errorf("%w; is the node running, and is the address reachable from here?", err)
	}
	reply := &meshpb.GenesisReply{}
	if err := proto.Unmarshal(answer, reply); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if reply.Refusal != "" {
		return nil, errors.New(reply.Refusal)
	}
	return newNetwork(reply.Genesis, secret)
}
