package node

import (
	"context"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/placement"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/worker"
)

const (
	tendEvery  = time.Second
	peersEvery = 30 // tends between two writings of the known peers
	unpinEvery = 600
	greetEvery = 300
	// handOverTimeout bounds the wait for others to lead; when all nodes stop at
	// once nobody can.
	handOverTimeout = 3 * time.Second
)

// tend does what is due about once a second: it tells the replicas who could
// hold another and who should lead, and the mesh what this node leads.
func (n *Node) tend(ctx context.Context) error {
	tick := time.NewTicker(tendEvery)
	defer tick.Stop()
	said := map[uint32]*meshpb.ShardReport{}
	refresh := int(placement.RefreshEvery(n.net.gen.Shards) / tendEvery)
	guarded := map[string]bool{}
	stored := 0 // known peers, as last written
	for round := 0; ; round++ {
		n.judgeClock()
		n.tellReplicas(ctx)
		n.protect(ctx, guarded)
		n.greetMissed()
		n.report(ctx, said, round%refresh == 0)
		if known := n.host.KnownPeers(); len(known) > stored || round%peersEvery == peersEvery-1 {
			// At once when there are more: a young node may crash, too.
			if err := n.store.PutPeers(known); err != nil {
				n.log.Warn("cannot store the known peers", "error", err)
			}
			stored = len(known)
		}
		if round%greetEvery == greetEvery-1 {
			n.greetAll() // clocks drift
		}
		if round%unpinEvery == unpinEvery-1 {
			n.unpinDue(ctx)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// tellReplicas gives the replicas this node's view of the mesh, and
// the worker the leaders, in case an earlier word was lost.
func (n *Node) tellReplicas(ctx context.Context) {
	candidates, leaving, skewed := n.candidates()
	preferred := n.preferred()
	all := n.dir.all()
	// A stopped engine needs no word.
	_ = n.engine.query(ctx, func(e *engine) {
		for id := range e.replicas {
			e.stepReplica(id, shard.Directory{Candidates: candidates, Preferred: preferred[id], Leaving: leaving, Skewed: skewed})
		}
		for _, k := range all {
			if k.Leader != "" && n.attaches(k.Shard) {
				e.stepWorker(worker.Leader{Shard: k.Shard, Peer: k.Leader, Term: k.Term})
			}
		}
	})
}

// greetMissed says hello to connected peers with whom that has not worked out.
func (n *Node) greetMissed() {
	members := n.dir.members(true)
	for _, p := range n.host.Peers() {
		if _, known := members[p.ID]; !known && time.Since(p.Since) > helloTimeout {
			n.background(func(ctx context.Context) {
				if err := n.sayHello(ctx, p.ID); err != nil {
					n.log.Debug("hello failed again", "peer", p.ID, "error", err)
				}
			})
		}
	}
}

// protect keeps the connections that must not be trimmed: to the other voters of
// this node's shards and between leaders and workers. guarded is what is
// protected now.
func (n *Node) protect(ctx context.Context, guarded map[string]bool) {
	want := map[string]bool{}
	for _, k := range n.dir.all() {
		if slices.Contains(k.Voters, n.self) || slices.Contains(k.Learners, n.self) {
			for _, p := range slices.Concat(k.Voters, k.Learners) {
				want[p] = true
			}
		}
		if n.attaches(k.Shard) {
			want[k.Leader] = true
		}
	}
	// A stopped engine needs no connections.
	_ = n.engine.query(ctx, func(e *engine) {
		for _, r := range e.replicas {
			for _, w := range r.Workers() {
				want[w.Peer] = true
			}
		}
	})
	for p := range want {
		if id, err := peer.Decode(p); err == nil && !guarded[p] && p != n.self {
			n.host.Protect(id, "mesh")
			guarded[p] = true
		}
	}
	for p := range guarded {
		if id, err := peer.Decode(p); err == nil && !want[p] {
			n.host.Unprotect(id, "mesh")
			delete(guarded, p)
		}
	}
}

// preferred says who should lead each shard whose voters are all known, so that
// leaderships spread over the voters. One that is low on disk had to refuse jobs
// with content that is new to it; it leads only with others like it.
func (n *Node) preferred() map[uint32]string {
	voters, low := map[uint32][]string{}, map[string]bool{n.self: n.disk.isLow.Load()}
	for p, m := range n.dir.members(true) {
		low[p.String()] = m.lowOnDisk
	}
	for _, k := range n.dir.all() {
		if len(k.Voters) > 1 {
			voters[k.Shard] = slices.DeleteFunc(slices.Clone(k.Voters), func(p string) bool { return low[p] })
			if len(voters[k.Shard]) == 0 {
				voters[k.Shard] = k.Voters
			}
		}
	}
	return placement.Preferred(voters, func(id uint32) string { return placement.ShardKey(n.net.id, id) })
}

// report gossips the shards that this node leads: all of them now and then,
// otherwise those that changed.
func (n *Node) report(ctx context.Context, said map[uint32]*meshpb.ShardReport, whole bool) {
	var out []*meshpb.ShardReport
	err := n.engine.query(ctx, func(e *engine) {
		for id, r := range e.replicas {
			h := r.Health()
			if !h.Mine {
				delete(said, id)
				continue
			}
			k := n.dir.shard(id)
			rep := &meshpb.ShardReport{
				Shard: id, Term: k.Term, Leader: n.self, Voters: k.Voters, Learners: k.Learners,
				Wanted: uint32(h.Wanted), Live: uint32(r.Heard()), Jobs: uint32(h.Jobs),
			}
			if k.Leader != n.self {
				continue // its Led is on the way
			}
			behind := r.Behind()
			for _, p := range slices.Concat(k.Voters, k.Learners) {
				rep.Behind = append(rep.Behind, behind[p])
			}
			old := said[id]
			if whole || old == nil || old.Term != rep.Term || old.Live != rep.Live || old.Wanted != rep.Wanted || !slices.Equal(old.Voters, rep.Voters) {
				out = append(out, rep)
				said[id] = rep
			}
		}
	})
	if err != nil || len(out) == 0 {
		return
	}
	for _, r := range out {
		n.dir.learn(proto.Clone(r).(*meshpb.ShardReport), true)
	}
	n.gossip.publish(ctx, n.gossip.shards, &meshpb.ShardReports{Reports: out})
}

// leave is the clean end: nothing new is taken, what runs gets the grace time
// and is then handed back, leaderships are given away.
func (n *Node) leave(ctx context.Context, grace time.Duration) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	context.AfterFunc(n.bgCtx, cancel) // Abort
	n.stopping.Store(true)
	n.log.Info("leaving: draining attempts and handing leaderships over")
	if n.runner != nil {
		_ = n.drain(ctx)
		until := time.Now().Add(grace)
		for n.runner.busy() > 0 && time.Now().Before(until) && ctx.Err() == nil {
			pause(ctx, 50*time.Millisecond)
		}
		_ = n.engine.push(ctx, input{worker: worker.HandBack{}})
		n.settleReports(ctx)
	}
	handing, done := context.WithTimeout(ctx, handOverTimeout)
	defer done()
	n.handOver(handing)
	if err := n.store.PutPeers(n.host.KnownPeers()); err != nil {
		n.log.Warn("cannot store the known peers", "error", err)
	}
}

// settleReports waits a moment for the leaders to acknowledge what the worker
// has reported; what they do not comes back at the next start.
func (n *Node) settleReports(ctx context.Context) {
	for until := time.Now().Add(2 * time.Second); time.Now().Before(until) && ctx.Err() == nil; pause(ctx, 20*time.Millisecond) {
		open := 0
		if n.engine.query(ctx, func(e *engine) { s := e.worker.Status(); open = s.Kept + len(s.Running) }) != nil || open == 0 {
			return
		}
	}
}
