package node

import (
	"context"
	"fmt"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/constraint"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/node/store"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// restore makes the replica that the stored data describe. An invitation that
// was never completed has no replica yet.
func (e *engine) restore(n *Node, d store.ReplicaData) error {
	if d.Replica == 0 {
		return nil
	}
	r, err := shard.New(shard.Config{
		Shard: d.Shard, Network: n.net.id, ID: d.Replica, Self: e.self, Params: n.params(), Compile: compile,
		HardState: d.HardState, Snapshot: d.Snapshot, Chunks: d.Chunks, First: d.First, Entries: d.Entries,
	}, e.now())
	if err != nil {
		return fmt.Errorf("restore replica %d: %w", d.Replica, err)
	}
	e.replicas[d.Shard] = r
	return nil
}

// compile reads a constraint expression for a coordinator.
func compile(source string) (match.Constraint, error) {
	c, err := constraint.Compile(source)
	if err != nil {
		return nil, err
	}
	return c, nil
}

// onGroup handles the messages that arrange replicas. They come from peers that
// proved to belong and, as coordinators, are trusted not to lie (they may crash):
// an invitation counts only for the incarnation that this node made when probed,
// a dismissal only for replica ids up to the one that it names.
func (n *Node) onGroup(from peer.ID, data []byte) {
	m := &meshpb.Group{}
	if proto.Unmarshal(data, m) != nil || m.Shard >= n.net.gen.Shards || !n.dir.coordinates(from) {
		return
	}
	n.engine.offer(input{do: func(e *engine) {
		switch m.Kind {
		case meshpb.Group_PROBE:
			n.onProbe(e, from, m)
		case meshpb.Group_PROBED:
			e.stepReplica(m.Shard, shard.Probed{Peer: from.String(), Incarnation: m.Incarnation, Refused: m.Refused})
		case meshpb.Group_INVITE:
			n.onInvite(e, from, m)
		case meshpb.Group_INVITE_REFUSED:
			e.stepReplica(m.Shard, shard.InviteRefused{Peer: from.String(), ID: m.Id})
		case meshpb.Group_DISMISS:
			if r := e.replicas[m.Shard]; r != nil && r.ID() <= m.Id {
				e.remove(m.Shard, m.Id)
			}
		}
	}})
}

// onProbe answers a leader that looks for a place for a replica with a fresh
// incarnation, kept on disk before it is spoken of.
func (n *Node) onProbe(e *engine, from peer.ID, m *meshpb.Group) {
	reply := &meshpb.Group{Shard: m.Shard, Kind: meshpb.Group_PROBED, Refused: true}
	if n.has(roleCoordinator) && !n.dir.admission.leaving.Load() && e.replicas[m.Shard] == nil {
		if inc, err := randomID(); err == nil {
			reply.Refused, reply.Incarnation = false, inc
			e.write().PutInvite(m.Shard, inc)
		}
	}
	e.after(func() { n.links.send(n.links.group, from.String(), reply) })
}

// onInvite makes the replica that was committed for this node, or says that its
// state is lost.
func (n *Node) onInvite(e *engine, from peer.ID, m *meshpb.Group) {
	if r := e.replicas[m.Shard]; r != nil && r.ID() == m.Id {
		return // it is here
	}
	incarnation, tomb, err := e.store.Invite(m.Shard)
	if err != nil || incarnation != m.Incarnation || m.Id <= tomb || e.replicas[m.Shard] != nil {
		e.log.Warn("invitation refused: it names a replica whose state is not here", "shard", m.Shard, "replica", m.Id, "error", err)
		n.links.send(n.links.group, from.String(), &meshpb.Group{Shard: m.Shard, Kind: meshpb.Group_INVITE_REFUSED, Id: m.Id})
		return
	}
	d := store.ReplicaData{Shard: m.Shard, Replica: m.Id, Incarnation: incarnation}
	if err := e.restore(n, d); err != nil {
		e.log.Error("cannot make a replica", "shard", m.Shard, "error", err)
		return
	}
	e.write().PutReplica(m.Shard, m.Id, incarnation)
}

// group sends what a leader wants of other nodes' replicas. It is part of the
// engine's outlet.
func (n *Node) group(id uint32, a shard.Action) {
	switch a := a.(type) {
	case shard.Probe:
		n.links.send(n.links.group, a.To, &meshpb.Group{Shard: id, Kind: meshpb.Group_PROBE})
	case shard.Invite:
		n.links.send(n.links.group, a.To, &meshpb.Group{Shard: id, Kind: meshpb.Group_INVITE, Id: a.ID, Incarnation: a.Incarnation})
	case shard.Dismiss:
		n.links.send(n.links.group, a.To, &meshpb.Group{Shard: id, Kind: meshpb.Group_DISMISS, Id: a.ID})
	case shard.Fetch:
		n.background(func(ctx context.Context) { n.fetchChunk(ctx, id, a) })
	}
}

// observe follows what a replica of this node says about its shard. It is part
// of the engine's outlet.
func (n *Node) observe(id uint32, a shard.Action) {
	switch a := a.(type) {
	case shard.Led:
		n.observeLed(id, a)
		n.chain.touch(id)
	case shard.Cut, shard.Anchored:
		n.chain.touch(id)
	case shard.Applied:
		n.hub.publish(id, a)
	case shard.Progressed:
		n.hub.progress(id, a)
	}
}

func (n *Node) observeLed(id uint32, a shard.Led) {
	here := false
	for _, p := range append(append([]string(nil), a.Voters...), a.Learners...) {
		here = here || p == n.self
	}
	n.gossip.follow(id, here)
	if a.Term == 0 {
		return
	}
	if a.Mine {
		n.log.Info("leading shard", "shard", id, "term", a.Term, "voters", len(a.Voters), "learners", len(a.Learners))
	}
	n.learn(&meshpb.ShardReport{Shard: id, Term: a.Term, Leader: a.Leader, Voters: a.Voters, Learners: a.Learners}, true)
}

// handOver gives away what this node leads and waits until others lead it, at
// most until ctx ends. Shards without another voter stay.
func (n *Node) handOver(ctx context.Context) {
	for ctx.Err() == nil {
		left := 0
		err := n.engine.query(ctx, func(e *engine) {
			for id, r := range e.replicas {
				if h := r.Health(); h.Mine && h.Voters > 1 {
					left++
					e.stepReplica(id, shard.HandOver{})
				}
			}
		})
		if err != nil || left == 0 {
			return
		}
		pause(ctx, handOverPause)
	}
}
