package shard

import (
	"fmt"
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
)

// recoveredTerms lie between the last term of a lost group and the first of the
// recovered one, so that everybody takes the latter's word about who leads.
const recoveredTerms = 1000

// Position is how far a replica's log reaches, and in which group.
type Position struct {
	ID       uint64
	Term     uint64 // of the last entry
	Last     uint64 // index of the last entry
	Applied  uint64
	Epoch    uint64
	Leader   string // "" while none is known
	Voters   []string
	Learners []string
}

// Position returns it.
func (r *Replica) Position() Position {
	last, err := r.store.LastIndex()
	if err != nil {
		last = r.state.Index // a memory store has no way to fail
	}
	term, err := r.store.Term(last)
	if err != nil {
		term = r.snapTerm
	}
	return Position{
		ID: r.cfg.ID, Term: term, Last: last, Applied: r.state.Index, Epoch: r.state.Recovery.Epoch, Leader: r.peerOf(r.rn.BasicStatus().Lead),
		Voters: r.peersOf(r.conf.GetVoters()), Learners: r.peersOf(r.conf.GetLearners()),
	}
}

// Recovered is a group begun anew with one replica.
type Recovered struct {
	ID    uint64
	Floor uint64  // no replica id up to it counts any more
	Image Persist // what the replica finds stored
}

// Recover begins the group anew with this replica's state, when a majority of
// its voters is lost for good. Everything in this replica's log counts, committed
// or not: what the lost voters had alone is lost. The replica gets an id that no
// member of the old group has had, the terms go far ahead, and the state names
// the nodes of the old group, which the new leader dismisses when they turn up.
// It is refused while the voters that are not lost are a majority, or while a
// leader is known. The owner stores Image in the place of this replica, which it
// drops with a tombstone up to Floor, and makes the new one from it.
func (r *Replica) Recover(lost []string, incarnation uint64) (Recovered, error) {
	p := r.Position()
	left := 0
	for _, v := range p.Voters {
		if !slices.Contains(lost, v) {
			left++
		}
	}
	switch {
	case p.Leader != "":
		return Recovered{}, fmt.Errorf("shard %d has a coordinator, %s: nothing is to be recovered", r.cfg.Shard, p.Leader)
	case r.state.Index == 0:
		return Recovered{}, fmt.Errorf("the replica of shard %d here has no state", r.cfg.Shard)
	case slices.Contains(lost, r.cfg.Self):
		return Recovered{}, fmt.Errorf("this node holds shard %d and is named as lost", r.cfg.Shard)
	case 2*left > len(p.Voters):
		return Recovered{}, fmt.Errorf("%d of %d voters of shard %d are not lost: a majority can still be had, start them", left, len(p.Voters), r.cfg.Shard)
	}
	st, err := r.replay(p)
	if err != nil {
		return Recovered{}, err
	}
	floor := st.NextID // may have been given to a replica of which this log does not know
	id := floor + 1
	st.Recovery = job.Recovery{Epoch: st.Recovery.Epoch + 1, Floor: floor, At: st.Time}
	for _, m := range st.SortedMembers() {
		if m.Peer != r.cfg.Self && !slices.Contains(st.Recovery.Fenced, m.Peer) {
			st.Recovery.Fenced = append(st.Recovery.Fenced, m.Peer)
		}
	}
	st.Members, st.NextID = map[uint64]job.Member{id: {ID: id, Peer: r.cfg.Self, Incarnation: incarnation}}, id+1
	term := max(p.Term, r.rn.BasicStatus().GetTerm()) + recoveredTerms
	st.Index++
	img := imageOf(st, term, &raftpb.ConfState{Voters: []uint64{id}})
	img.HardState = encode(&raftpb.HardState{Term: &term, Commit: &st.Index})
	return Recovered{ID: id, Floor: floor, Image: img}, nil
}

// replay returns the state after all entries of the log.
func (r *Replica) replay(p Position) (*job.State, error) {
	st, err := job.DecodeState(r.state.Encode())
	if err != nil || p.Last <= p.Applied {
		return st, err
	}
	entries, err := r.store.Entries(p.Applied+1, p.Last+1, 1<<62)
	if err != nil {
		return nil, fmt.Errorf("read the log of shard %d: %w", r.cfg.Shard, err)
	}
	for _, e := range entries {
		st.Index = e.GetIndex()
		if e.GetType() == raftpb.EntryConfChangeV2 {
			cc := &raftpb.ConfChangeV2{}
			if m, ok := memberOf(cc, proto.Unmarshal(e.GetData(), cc)); ok {
				st.Members[m.ID], st.NextID = m, max(st.NextID, m.ID+1)
			}
			continue
		}
		if len(e.GetData()) == 0 {
			continue
		}
		cmd, err := job.DecodeCommand(e.GetData())
		if err != nil {
			return nil, fmt.Errorf("log of shard %d at index %d: %w", r.cfg.Shard, e.GetIndex(), err)
		}
		st.Apply(e.GetIndex(), e.GetTerm(), cmd)
	}
	return st, nil
}
