package shard

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"
)

// leaves says whether a replica's node gives up its replicas.
func (r *Replica) leaves(id uint64) bool {
	return len(r.lead.leaving) > 0 && slices.Contains(r.lead.leaving, r.peerOf(id))
}

// shrink lets voters go that leave and that nobody can replace: the group falls
// to the largest odd number that is left, and a voter too many becomes a learner.
// A node that only fell silent never shrinks its group.
func (r *Replica) shrink() bool {
	gone := slices.DeleteFunc(slices.Clone(r.conf.GetVoters()), func(id uint64) bool { return !r.leaves(id) })
	if len(gone) == 0 || r.replaceable() {
		return false
	}
	caught := r.caughtUp()
	var stay []uint64
	for _, id := range slices.Concat([]uint64{r.cfg.ID}, r.conf.GetVoters(), r.conf.GetLearners()) {
		if !r.leaves(id) && (id == r.cfg.ID || caught[id]) && !slices.Contains(stay, id) {
			stay = append(stay, id)
		}
	}
	n := min(len(stay), len(r.conf.GetVoters()))
	if n%2 == 0 {
		n--
	}
	if n < 1 {
		return false // the last one holds the only copy: it stays
	}
	var ccs []*raftpb.ConfChangeSingle
	for _, id := range r.conf.GetVoters() {
		switch {
		case r.leaves(id):
			ccs = append(ccs, single(raftpb.ConfChangeRemoveNode, id))
		case !slices.Contains(stay[:n], id):
			ccs = append(ccs, single(raftpb.ConfChangeAddLearnerNode, id))
		}
	}
	for _, id := range stay[:n] {
		if !slices.Contains(r.conf.GetVoters(), id) {
			ccs = append(ccs, single(raftpb.ConfChangeAddNode, id))
		}
	}
	return r.change(nil, ccs...)
}

// replaceable says whether a candidate that is no member could still take a
// place, or a learner is on its way to do so.
func (r *Replica) replaceable() bool {
	caught := r.caughtUp()
	for _, id := range r.conf.GetLearners() {
		if !caught[id] {
			return true
		}
	}
	members := r.peersOf(slices.Concat(r.conf.GetVoters(), r.conf.GetLearners()))
	return slices.ContainsFunc(r.lead.candidates, func(c string) bool { return !slices.Contains(members, c) })
}
