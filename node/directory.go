package node

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/placement"
)

// maxNodes bounds the table of nodes that said hello.
const maxNodes = 20_000

// member is a node that said hello and proved that it belongs.
type member struct {
	name      string
	version   string
	roles     []string
	connected bool
	seen      time.Time
	origin    time.Time // what its clock showed when this node started; see Node.origin
	leaving   bool
	lowOnDisk bool
}

func (m member) is(role string) bool { return slices.Contains(m.roles, role) }

// known is what this node knows of a shard's group.
type known struct {
	*meshpb.ShardReport
	at time.Time
}

// directory is what this node knows of others: who belongs, and who leads which
// shard. All of it is hearsay but for what this node's own replicas say; a stale
// entry costs a redirect.
type directory struct {
	admission *admission
	start     time.Time // monotonic: when this node started

	mu     sync.Mutex
	nodes  map[peer.ID]member
	shards []known
}

func newDirectory(shards uint32) *directory {
	d := &directory{start: time.Now(), nodes: map[peer.ID]member{}, shards: make([]known, shards)}
	for i := range d.shards {
		d.shards[i].ShardReport = &meshpb.ShardReport{Shard: uint32(i)}
	}
	return d
}

// admit notes a node that said a good hello.
func (d *directory) admit(p peer.ID, h *meshpb.Hello) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.nodes) >= maxNodes {
		d.evict()
	}
	d.nodes[p] = member{name: h.Name, version: h.Version, roles: h.Roles, connected: true, seen: time.Now(),
		origin: time.UnixMilli(h.Now).Add(-time.Since(d.start)), leaving: h.Leaving, lowOnDisk: h.LowOnDisk}
}

// evict forgets some node that is not connected. The lock is held.
func (d *directory) evict() {
	// any order: whichever comes first
	for p, m := range d.nodes {
		if !m.connected {
			delete(d.nodes, p)
			return
		}
	}
}

// admitted says whether the peer has said a good hello.
func (d *directory) admitted(p peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, ok := d.nodes[p]
	return ok
}

// expel forgets a node, so that it has to prove again that it belongs.
func (d *directory) expel(p peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.nodes, p)
}

func (d *directory) down(p peer.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if m, ok := d.nodes[p]; ok {
		m.connected, m.seen = false, time.Now()
		d.nodes[p] = m
	}
}

// members returns the nodes, connected ones only if so asked, by peer id.
func (d *directory) members(connected bool) map[peer.ID]member {
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make(map[peer.ID]member, len(d.nodes))
	for p, m := range d.nodes {
		if m.connected || !connected {
			out[p] = m
		}
	}
	return out
}

// coordinates says whether a connected node is known to be a coordinator.
func (d *directory) coordinates(p peer.ID) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	m := d.nodes[p]
	return m.connected && m.is(roleCoordinator)
}

// coordinators returns the connected nodes with that role, sorted.
func (d *directory) coordinators() []string {
	var out []string
	for p, m := range d.members(true) {
		if m.is(roleCoordinator) {
			out = append(out, p.String())
		}
	}
	slices.Sort(out)
	return out
}

// learn takes a report about a shard; sure ones come from the leader itself or
// from a replica of this node. It says whether the leader that this node
// believes in has changed, and whether a leader is heard of after a silence.
func (d *directory) learn(r *meshpb.ShardReport, sure bool) (changed, back bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if int(r.Shard) >= len(d.shards) {
		return false, false
	}
	old := &d.shards[r.Shard]
	if r.Term < old.Term || r.Term == old.Term && (r.Leader == "" || !sure && old.Leader != "") {
		return false, false
	}
	changed = r.Leader != old.Leader || r.Term != old.Term
	back = r.Leader != "" && time.Since(old.at) > 2*placement.RefreshEvery(uint32(len(d.shards)))
	if r.Wanted == 0 && r.Leader == old.Leader {
		r.Wanted, r.Live, r.Jobs, r.Behind = old.Wanted, old.Live, old.Jobs, old.Behind
	}
	old.ShardReport, old.at = r, time.Now()
	return changed, back
}

// shard returns what is known of one shard.
func (d *directory) shard(id uint32) known {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.shards[id]
}

// all returns what is known of every shard.
func (d *directory) all() []known {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.shards)
}

// reports returns what is known of the shards that have a leader.
func (d *directory) reports() []*meshpb.ShardReport {
	var out []*meshpb.ShardReport
	for _, k := range d.all() {
		if k.Leader != "" {
			out = append(out, k.ShardReport)
		}
	}
	return out
}

// whom returns the peers to ask about a shard, likeliest first: its leader, its
// voters, then every connected coordinator, this node itself in its place.
func (d *directory) whom(id uint32, self string) []string {
	k := d.shard(id)
	out := []string{}
	add := func(p string) {
		if p != "" && !slices.Contains(out, p) {
			out = append(out, p)
		}
	}
	add(k.Leader)
	for _, v := range k.Voters {
		add(v)
	}
	for _, v := range d.coordinators() {
		add(v)
	}
	add(self)
	return out
}

// whenDeposed calls f when a node other than leader is found to lead the shard in
// a later term than now. It returns then or at the end of ctx.
func (d *directory) whenDeposed(ctx context.Context, id uint32, leader string, f func()) {
	before := d.shard(id).Term
	look := time.NewTicker(100 * time.Millisecond)
	defer look.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-look.C:
			if k := d.shard(id); k.Term > before && k.Leader != "" && k.Leader != leader {
				f()
				return
			}
		}
	}
}
