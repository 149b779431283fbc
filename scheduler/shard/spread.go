package shard

import (
	"slices"
	"strings"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/placement"
)

// fenceEvery is how often nodes whose replicas a recovery has outlawed are told.
const fenceEvery = 5 * time.Second

// ranking returns the place of every candidate in rendezvous order, the best
// first. A node that is no candidate has none.
func (r *Replica) ranking() map[string]int {
	out := map[string]int{}
	for i, p := range placement.Rank(placement.ShardKey(r.cfg.Network, r.cfg.Shard), r.lead.candidates) {
		out[p] = i + 1
	}
	return out
}

// whole says that the group has all the voters that it should have, and all
// alive.
func (r *Replica) whole() bool {
	for _, id := range r.conf.GetVoters() {
		if !r.isLive(id) {
			return false
		}
	}
	n := len(r.conf.GetVoters())
	return n >= 3 && n >= r.wanted()
}

// worst returns the voter other than this one whose node ranks lowest, behind
// the given place; 0 if there is none. Nodes that are no candidates rank last.
func (r *Replica) worst(place int, ranks map[string]int) (worst uint64) {
	for _, id := range r.conf.GetVoters() {
		at := ranks[r.peerOf(id)]
		if at == 0 {
			at = len(ranks) + 1
		}
		if id != r.cfg.ID && at > place {
			worst, place = id, at
		}
	}
	return worst
}

// swap ends what is half done when a whole group has a learner that is caught
// up: it takes the place of a voter on a worse node, or is not needed any more
// and goes.
func (r *Replica) swap() bool {
	if len(r.conf.GetLearners()) == 0 || !r.whole() {
		return false
	}
	caught, ranks := r.caughtUp(), r.ranking()
	for _, id := range r.conf.GetLearners() {
		if !caught[id] {
			continue
		}
		at := ranks[r.peerOf(id)]
		if at == 0 {
			continue // whether it is a candidate is not known yet
		}
		if out := r.worst(at, ranks); out != 0 && at <= len(r.conf.GetVoters()) {
			r.lead.driftAt = r.now.Mono
			return r.change(nil, single(raftpb.ConfChangeAddNode, id), single(raftpb.ConfChangeRemoveNode, out))
		}
		return r.change(nil, single(raftpb.ConfChangeRemoveNode, id))
	}
	return false
}

// drift moves the group towards the nodes that should hold it, one replica in
// DriftAfter: a better node becomes a learner, which swap then takes in. A leader
// that is itself out of place gives the leadership away first.
func (r *Replica) drift() bool {
	l := r.lead
	if r.now.Mono-l.driftAt < r.p.DriftAfter || len(r.conf.GetLearners()) > 0 || !r.whole() {
		return false
	}
	l.driftAt = r.now.Mono
	ranks, n := r.ranking(), len(r.conf.GetVoters())
	var better []string
	for _, c := range l.candidates {
		member := slices.ContainsFunc(r.conf.GetVoters(), func(id uint64) bool { return r.peerOf(id) == c })
		if !member && ranks[c] <= n {
			better = append(better, c)
		}
	}
	switch {
	case len(better) == 0:
		return false
	case r.worst(n, ranks) == 0:
		r.handOver()
		return true
	}
	return r.probe(better)
}

// fence tells the nodes that a recovery has outlawed, and that are here again,
// that their replicas are no more.
func (r *Replica) fence() {
	rec := &r.state.Recovery
	if rec.Epoch == 0 || r.now.Mono < r.lead.fenceAt {
		return
	}
	r.lead.fenceAt = r.now.Mono + fenceEvery
	for _, p := range rec.Fenced {
		if p != r.cfg.Self && slices.Contains(r.lead.candidates, p) {
			r.do(Dismiss{To: p, ID: rec.Floor})
		}
	}
}

// movePreferred hands the leadership to the voter that should have it.
func (r *Replica) movePreferred() {
	l := r.lead
	if l.preferred == "" || l.preferred == r.cfg.Self || r.now.Mono-l.movedAt < r.p.MoveAfter {
		return
	}
	if id := r.voterAt(func(m job.Member) bool { return m.Peer == l.preferred && r.isCandidate(m) }); id != 0 {
		l.movedAt = r.now.Mono
		r.rn.TransferLeader(id)
	}
}

// isCandidate says whether a member's node may lead: it is admitted, does not
// leave, and its clock is right.
func (r *Replica) isCandidate(m job.Member) bool { return slices.Contains(r.lead.candidates, m.Peer) }

// handOver gives the leadership to the voter that should have it, or else to a
// candidate, or else to any that is caught up.
func (r *Replica) handOver() { r.handTo("", false) }

// handTo is handOver, to best if that is possible; strict leaves out who is no
// candidate: two voters with wrong clocks would only throw the leadership to and fro.
func (r *Replica) handTo(best string, strict bool) {
	if r.lead == nil {
		return
	}
	id := uint64(0)
	for _, p := range []string{best, r.lead.preferred} {
		if id == 0 && p != "" {
			id = r.voterAt(func(m job.Member) bool { return m.Peer == p && r.isCandidate(m) })
		}
	}
	if id == 0 {
		id = r.voterAt(r.isCandidate)
	}
	if id == 0 && !strict {
		id = r.voterAt(func(job.Member) bool { return true })
	}
	if id != 0 {
		r.rn.TransferLeader(id)
	}
}

// voterAt returns another caught-up voter that fits and has replied just now,
// the one with the lowest peer id, or 0. One that has died a moment ago would
// cost the shard an election.
func (r *Replica) voterAt(fits func(job.Member) bool) uint64 {
	caught := r.caughtUp()
	recent := r.p.TickEvery * time.Duration(r.p.ElectionTicks) / 2
	var best job.Member
	for _, id := range r.conf.GetVoters() {
		m, ok := r.state.Members[id]
		at, replied := r.lead.replied[id]
		if !ok || id == r.cfg.ID || !caught[id] || !replied || r.now.Mono-at > recent || !fits(m) {
			continue
		}
		if best.ID == 0 || strings.Compare(m.Peer, best.Peer) < 0 {
			best = m
		}
	}
	return best.ID
}
