package sim

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// send carries something from one node to another, if the network lets it.
// Messages overtake each other.
func (w *world) send(kind Kind, from, to *node, size int, arrive func()) bool {
	from.count(kind, size)
	sky := w.weather(from, to)
	if w.cut(from, to) {
		w.effect("cut off")
		return false
	}
	if w.chance(sky.loss) {
		w.effect("lost")
		return false
	}
	to.count(kind, size)
	w.deliver(from, to, sky.late, arrive)
	if w.chance(sky.duplicate) {
		w.effect("doubled")
		w.deliver(from, to, sky.late, arrive)
	}
	return to.up
}

func (w *world) deliver(from, to *node, late time.Duration, arrive func()) {
	w.push(occurrence{at: w.now + w.latency(from, to) + late, node: to, from: from, run: arrive})
}

// latency draws the time from one node to another.
func (w *world) latency(from, to *node) time.Duration {
	d := w.between(w.cfg.Faults.MinDelay, w.cfg.Faults.MaxDelay)
	if w.chance(0.02) {
		d *= 5
	}
	if from == to {
		d = 50 * time.Microsecond
	}
	return d
}

// raft carries a Raft message to the other replica's node.
func (w *world) raft(h *host, a shard.Send) {
	to := w.byName(a.To)
	ev := shard.Received{From: h.n.name, Data: a.Data}
	w.note("raft", h.n.index, to.index, a.Data)
	m := &raftpb.Message{}
	if err := proto.Unmarshal(a.Data, m); err != nil {
		w.violate("codec", "Raft message: %v", err)
		return
	}
	w.oracle.sent(h, m)
	if !w.send(KindRaft, h.n, to, len(a.Data), func() {
		to.overhear(frame{shard: h.shard, raft: a.Data})
		to.receive(h.shard, ev)
	}) && w.cfg.Mutation == ForgedAck {
		w.forgeAck(h, a.To, m)
	}
	if w.cfg.Mutation == LearnerCounts {
		w.learnerCounts(h, to, m)
	}
}

func (n *node) receive(s uint32, ev shard.Event) {
	if h := n.hosts[s]; h != nil {
		h.step(ev)
	}
}

// toWorker carries a leader's message. It goes through its encoding, so that
// nothing is shared between the cores.
func (w *world) toWorker(h *host, a shard.Work) {
	to := w.byName(a.To)
	data := work.Encode(a.Msg)
	w.note("work", h.n.index, to.index, data)
	w.oracle.told(h, a)
	if b, ok := a.Msg.(work.Book); ok && w.cfg.Mutation == UncommittedAssign && w.chance(0.05) {
		if m, ok := h.forgeAssign(b.Key); ok {
			data = work.Encode(m)
		}
	}
	from, s := h.n.name, h.shard
	w.send(KindWork, h.n, to, len(data), func() {
		m, err := work.Decode(data)
		if err != nil {
			w.violate("codec", "leader's message: %v", err)
			return
		}
		if as, ok := m.(work.Assign); ok {
			w.oracle.assigned(to, s, as)
		}
		to.overhear(frame{shard: s, work: data})
		to.stepWorker(worker.Message{Shard: s, From: from, Msg: m})
	})
}

// toLeader carries a worker's message.
func (w *world) toLeader(n *node, a worker.Send) {
	r, ok := a.Msg.(work.Report)
	if !ok {
		w.say(n, a)
		return
	}
	for _, r := range n.bend(r) {
		w.oracle.said(n, a.Shard, r)
		a.Msg = r
		w.say(n, a)
	}
}

// say carries one message of a worker.
func (w *world) say(n *node, a worker.Send) {
	to, from := w.byName(a.To), n.name
	msg := a.Msg
	if r, ok := msg.(work.Report); ok && w.cfg.Mutation == StaleFence {
		msg, from = w.oracle.refence(a.Shard, r, from)
	}
	data := work.Encode(msg)
	w.note("work", n.index, to.index, data)
	w.send(KindWork, n, to, len(data), func() {
		m, err := work.Decode(data)
		if err != nil {
			w.violate("codec", "worker's message: %v", err)
			return
		}
		to.overhear(frame{shard: a.Shard, work: data})
		to.receive(a.Shard, shard.Heard{From: from, Msg: m})
	})
}

// group performs what concerns the group's membership, as a node's shell does.
func (w *world) group(h *host, a shard.Action) {
	from, s := h.n, h.shard
	switch a := a.(type) {
	case shard.Probe:
		to := w.byName(a.To)
		w.printf("%s shard %d probes %s", from.name, s, to.name)
		w.send(KindGroup, from, to, 16, func() { to.probed(s, from) })
	case shard.Invite:
		to := w.byName(a.To)
		w.send(KindGroup, from, to, 32, func() { to.invited(s, from, a) })
	case shard.Dismiss:
		to := w.byName(a.To)
		w.printf("%s shard %d dismisses replica %d of %s", from.name, s, a.ID, to.name)
		w.send(KindGroup, from, to, 24, func() { to.dismissed(s, a.ID) })
	case shard.Fetch:
		to := w.byName(a.From)
		w.send(KindRaft, from, to, 16, func() {
			data := to.disk.shards[s].log.chunk(a.Index, a.N)
			w.send(KindRaft, to, from, 16+len(data), func() { from.receive(s, shard.Fetched{Index: a.Index, N: a.N, Data: data}) })
		})
	}
}

// probed answers a probe: a node that holds no replica makes an incarnation,
// stores it and answers with it.
func (n *node) probed(s uint32, from *node) {
	w, d := n.w, &n.disk.shards[s]
	answer := shard.Probed{Peer: n.name, Refused: n.hosts[s] != nil || n.bystander}
	if !answer.Refused {
		d.incarnation = w.rng.Uint64() | 1
		answer.Incarnation = d.incarnation
	}
	w.send(KindGroup, n, from, 24, func() { from.receive(s, answer) })
}

// invited makes the replica whose incarnation this node has answered with.
func (n *node) invited(s uint32, from *node, a shard.Invite) {
	w, d := n.w, &n.disk.shards[s]
	switch {
	case d.id == a.ID && d.incarnation == a.Incarnation:
		return // held
	case n.hosts[s] == nil && d.incarnation == a.Incarnation && a.ID > d.tomb:
		w.printf("%s shard %d becomes replica %d", n.name, s, a.ID)
		d.id, d.log = a.ID, &logDisk{}
		n.open(s)
	default:
		w.send(KindGroup, n, from, 24, func() { from.receive(s, shard.InviteRefused{Peer: n.name, ID: a.ID}) })
	}
}

// dismissed ends a replica that was removed, and leaves a tombstone.
func (n *node) dismissed(s uint32, id uint64) {
	d := &n.disk.shards[s]
	if d.id != 0 && d.id <= id {
		n.close(s, id)
		return
	}
	d.tomb = max(d.tomb, id)
}
