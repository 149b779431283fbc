package sim

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/placement"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// What the gossip model assumes. A test of package p2p holds the first five
// against a real router (TestGossipIsAsModelled): keep them equal there.
const (
	gossipDegree   = 8                       // mesh neighbours of a subscriber in a topic
	gossipCopies   = 0.8                     // copies of a message that a subscriber gets from each of them
	gossipEnvelope = 165                     // bytes around a payload: author, sequence, signature, topic, framing
	gossipIHave    = 38                      // times that a subscriber is offered a message by its id, and offers it
	gossipID       = 48                      // bytes of that
	gossipBeat     = time.Second             // after which who missed a message asks for it
	gossipTries    = 4                       // heartbeats in which it may ask
	peersWanted    = 300                     // connections of a node in a mesh that is larger
	presence       = 3500 * time.Millisecond // how long a silent connection counts as one
	advertEvery    = 5 * time.Minute
	slice          = 5 * time.Millisecond // of time in which a message to many is delivered at once
)

// leadership is one line of a node's report on what it leads.
type leadership struct {
	shard uint32
	view  *view
}

const (
	leadershipSize = 160 // bytes of one line: term, leader, voters as peer ids, counts
	advertSize     = 220 // bytes of a worker's capabilities
)

// connect draws who is connected to whom: everybody in a small mesh, else
// peersWanted on average, at random. Connections that a shard lives on, between
// its voters and with its workers, exist beside these.
func (w *world) connect() {
	n := len(w.nodes)
	if n <= peersWanted+1 {
		for _, a := range w.nodes {
			a.peers = w.nodes
		}
	} else {
		for _, a := range w.nodes {
			a.peers = append(a.peers, a)
			for range peersWanted / 2 {
				b := w.nodes[w.rng.IntN(n)]
				a.peers, b.peers = append(a.peers, b), append(b.peers, a)
			}
		}
	}
	for _, a := range w.nodes {
		a.seen = make([]time.Duration, len(a.peers))
	}
}

// publish carries a gossiped message to the subscribers of a topic: each gets it
// over as many hops as a flood with the mesh's degree takes to reach that many,
// and one that misses it asks for it after the next heartbeats.
func (w *world) publish(kind Kind, from *node, size int, to []*node, heard func(*node)) {
	w.relay(kind, from, size, to)
	var slots [][]*node
	for _, m := range to {
		if m == from || !m.up || w.cut(from, m) {
			continue
		}
		d, ok := w.spread(from, m, len(to))
		switch {
		case !ok:
		case len(to) <= 64:
			w.push(occurrence{at: w.now + d, node: m, from: from, run: func() { heard(m) }})
		default:
			at := int(d / slice)
			for len(slots) <= at {
				slots = append(slots, nil)
			}
			slots[at] = append(slots[at], m)
		}
	}
	for i, nodes := range slots {
		if len(nodes) > 0 {
			w.later(time.Duration(i+1)*slice, func() { w.arrive(from, nodes, heard) })
		}
	}
}

// arrive delivers a gossiped message to many nodes at once.
func (w *world) arrive(from *node, to []*node, heard func(*node)) {
	for _, m := range to {
		w.happen(occurrence{at: w.now, node: m, from: from, run: func() { heard(m) }})
	}
}

// spread draws how long a message takes to a subscriber; false if it never
// comes.
func (w *world) spread(from, to *node, subscribers int) (time.Duration, bool) {
	d := w.latency(from, to)
	// Its author sends to all subscribers that it is connected to, they to their
	// neighbours in the mesh, and so on.
	reached := min(subscribers, len(from.peers))
	for at := w.rng.IntN(subscribers); at >= reached && reached < subscribers; reached *= gossipDegree - 1 {
		d += w.latency(from, to)
	}
	for range gossipTries {
		if !w.chance(w.loss()) {
			return d, true
		}
		d += w.between(0, gossipBeat) + 2*w.latency(from, to)
	}
	return 0, false
}

// relay counts what a message costs: every subscriber gets and passes on copies
// over its links in the mesh, and offers the id to some more.
func (w *world) relay(kind Kind, from *node, size int, to []*node) {
	links := float64(min(gossipDegree, len(to)-1))
	copies := max(1, links*gossipCopies)
	bytes := int(copies*float64(size+gossipEnvelope)) + min(gossipIHave, max(0, len(to)-1-gossipDegree)*gossipTries)*gossipID
	from.traffic[kind].Messages += uint64(min(len(to), len(from.peers)))
	from.traffic[kind].Bytes += uint64(min(len(to), len(from.peers)) * (size + gossipEnvelope))
	for _, m := range to {
		if m.up && m != from { // in and out
			m.traffic[kind].Messages += uint64(2*copies + 0.5)
			m.traffic[kind].Bytes += uint64(2 * bytes)
		}
	}
}

// second is what the node does every second: it looks at its connections, says
// what it leads, and tells its replicas what it knows.
func (n *node) second() {
	w := n.w
	n.report()
	before := n.wrong
	if n.compareClocks(); n.leading() || n.wrong || before {
		n.look()
		ev := shard.Directory{Candidates: n.candidates(), Skewed: n.wrong}
		preferred := n.preferred()
		for s, h := range n.hosts {
			if h != nil {
				ev.Preferred = preferred[uint32(s)]
				h.step(ev)
			}
		}
	}
	w.soon(n, time.Second, n.second)
}

func (n *node) leading() bool {
	return slices.ContainsFunc(n.hosts, func(h *host) bool { return h != nil && h.led.Mine })
}

// preferred says who should lead each shard as far as this node knows. Lines of
// the directory are replaced, never changed, so the last answer holds as long as
// they are the same.
func (n *node) preferred() map[uint32]string {
	if n.wish != nil && slices.Equal(n.wishOf, n.dir) {
		return n.wish
	}
	n.wishOf = append(n.wishOf[:0], n.dir...)
	voters := map[uint32][]string{}
	for s := range n.dir {
		if len(n.dir[s].voters) > 0 {
			voters[uint32(s)] = n.dir[s].voters
		}
	}
	n.wish = placement.Preferred(voters, func(s uint32) string { return placement.ShardKey(n.w.network, s) })
	return n.wish
}

// look notes which connections are alive.
func (n *node) look() {
	w := n.w
	for i, m := range n.peers {
		if w.linked(n, m) {
			n.seen[i] = w.now
		}
	}
}

// linked says whether a connection between two nodes would be alive now.
func (w *world) linked(a, b *node) bool {
	return b.up && b.paused <= w.now && !w.cut(a, b) && !w.cut(b, a)
}

// candidates returns the connected nodes that have a role, each once: also the
// other members of the groups that it leads, which are always connected.
func (n *node) candidates() []string {
	var out []string
	for i, at := range n.seen {
		if m := n.peers[i]; at > 0 && n.w.now-at < presence && !m.bystander && !m.outsider {
			out = append(out, m.name)
		}
	}
	for _, h := range n.hosts {
		if h == nil || !h.led.Mine {
			continue
		}
		for _, name := range slices.Concat(h.led.Voters, h.led.Learners) {
			if m := n.w.byName(name); !m.outsider && n.w.linked(n, m) {
				out = append(out, name)
			}
		}
	}
	out = slices.DeleteFunc(out, func(name string) bool { return n.off(n.w.byName(name)) })
	slices.Sort(out)
	return slices.Compact(out)
}

// report says in one message what this node leads: what has changed since the
// last, and everything now and then; never twice within a second.
func (n *node) report() {
	w := n.w
	if w.now-n.reportAt < time.Second && n.reportAt > 0 {
		return
	}
	whole := w.now >= n.wholeAt
	if whole {
		n.wholeAt = w.now + placement.RefreshEvery(uint32(w.cfg.Shards))
	}
	var out []leadership
	for s, h := range n.hosts {
		if h == nil || !h.led.Mine {
			continue
		}
		if old := n.said[s]; whole || old == nil || old.term != h.led.Term || !slices.Equal(old.voters, h.led.Voters) {
			v := &view{h.led.Term, n.name, h.led.Voters}
			n.said[s] = v
			out = append(out, leadership{uint32(s), v})
		}
	}
	if len(out) == 0 {
		return
	}
	n.reportAt = w.now
	n.gossip(out)
	w.publish(KindShards, n, len(out)*leadershipSize, w.nodes, func(m *node) { m.gossip(out) })
}

// gossip takes a node's word on what it leads.
func (n *node) gossip(leads []leadership) {
	for _, l := range leads {
		old := n.dir[l.shard]
		if l.view.term < old.term {
			continue
		}
		changed := old.term != l.view.term || old.leader != l.view.leader
		n.dir[l.shard] = l.view
		if changed && slices.Contains(n.w.attach[n.index], l.shard) {
			n.stepWorker(worker.Leader{Shard: l.shard, Peer: l.view.leader, Term: l.view.term})
		}
	}
}

// hello asks some connected nodes who leads what, as a node does that knows
// nothing.
func (n *node) hello() {
	w := n.w
	for range 3 {
		m := n.peers[w.rng.IntN(len(n.peers))]
		if m == n {
			continue
		}
		w.send(KindGroup, n, m, 64, func() {
			var known []leadership
			for s, v := range m.dir {
				if v.leader != "" {
					known = append(known, leadership{uint32(s), v})
				}
			}
			w.send(KindGroup, m, n, 64+leadershipSize*len(known), func() { n.gossip(known) })
		})
	}
}

// advertise publishes the worker's capabilities to the shards that it serves.
func (n *node) advertise() {
	w := n.w
	for _, s := range w.attach[n.index] {
		w.publish(KindWorkers, n, advertSize, w.members[s], func(m *node) {
			if h := m.hosts[s]; h != nil && h.led.Mine && !h.rep.Attached(n.name) {
				known := []leadership{{s, m.dir[s]}}
				w.send(KindGroup, m, n, 64+leadershipSize, func() { n.gossip(known) })
			}
		})
	}
	w.soon(n, w.between(advertEvery*9/10, advertEvery*11/10), n.advertise)
}
