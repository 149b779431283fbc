package shard

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/codec"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/placement"
)

// group is what a leader knows of its group beyond the configuration.
type group struct {
	alive      map[uint64]time.Duration // when a replica was last heard; a gap of this leader's own renews it
	replied    map[uint64]time.Duration // the same, never renewed
	joined     map[uint64]time.Duration // when this leader first saw a learner or committed a replica
	lost       map[uint64]bool          // refused its invitation: its state is gone
	snapshots  map[uint64]time.Duration // when a snapshot that is under way is sent again
	candidates []string
	leaving    []string
	preferred  string
	probing    string
	probedAt   time.Duration
	movedAt    time.Duration
	driftAt    time.Duration
	fenceAt    time.Duration
}

func newGroup(now time.Duration) group {
	return group{
		alive: map[uint64]time.Duration{}, joined: map[uint64]time.Duration{}, lost: map[uint64]bool{},
		snapshots: map[uint64]time.Duration{}, replied: map[uint64]time.Duration{}, driftAt: now,
	}
}

func (r *Replica) directory(ev Directory) {
	r.skewed = ev.Skewed
	if r.lead != nil {
		r.lead.candidates, r.lead.preferred, r.lead.leaving = ev.Candidates, ev.Preferred, ev.Leaving
	}
}

// isLive says whether a replica may be counted on: it is this one, or was heard
// within DeadAfter.
func (r *Replica) isLive(id uint64) bool {
	if id == r.cfg.ID {
		return true
	}
	if r.lead.lost[id] {
		return false
	}
	at, ok := r.lead.alive[id]
	if !ok {
		at = max(r.lead.since, r.lead.joined[id])
	}
	return r.now.Mono-at <= r.p.DeadAfter
}

// tendGroup takes at most one step towards the group that should be.
func (r *Replica) tendGroup() {
	r.inviteSilent()
	r.fence()
	if len(r.conf.GetVotersOutgoing()) > 0 {
		return // raft leaves the joint configuration by itself
	}
	if r.skewed {
		r.handTo("", true)
	} else if r.leaves(r.cfg.ID) {
		r.handOver()
	}
	if r.dropLearner() || r.promote() || r.swap() || r.addLearner() || r.shrink() || r.drift() {
		return
	}
	r.movePreferred()
}

// inviteSilent invites members that have not been heard since they were
// committed.
func (r *Replica) inviteSilent() {
	for _, id := range slices.Concat(r.conf.GetLearners(), r.conf.GetVoters()) {
		if _, heard := r.lead.alive[id]; heard || id == r.cfg.ID || r.lead.lost[id] {
			continue
		}
		if m, ok := r.state.Members[id]; ok {
			r.do(Invite{To: m.Peer, ID: id, Incarnation: m.Incarnation})
		}
	}
}

// dropLearner removes a learner that lost its state, died or did not catch up.
func (r *Replica) dropLearner() bool {
	caught := r.caughtUp()
	for _, id := range r.conf.GetLearners() {
		if _, ok := r.lead.joined[id]; !ok {
			r.lead.joined[id] = r.now.Mono
		}
		late := !caught[id] && r.now.Mono-r.lead.joined[id] > r.p.CatchUp
		if late || r.leaves(id) || !r.isLive(id) {
			return r.change(nil, single(raftpb.ConfChangeRemoveNode, id))
		}
	}
	return false
}

// caughtUp says which replicas have nearly all of the log and are answering.
func (r *Replica) caughtUp() map[uint64]bool {
	out := map[uint64]bool{}
	commit := r.rn.BasicStatus().HardState.GetCommit()
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) {
		out[id] = pr.Match+100 >= commit && pr.State == tracker.StateReplicate && pr.RecentActive
	})
	return out
}

// wanted returns how many voters the group should have.
func (r *Replica) wanted() int {
	n := len(r.lead.candidates)
	switch {
	case r.p.Replication >= 5 && n >= 5:
		return 5
	case r.p.Replication >= 3 && n >= 3:
		return 3
	}
	return 1
}

// promote makes voters of caught-up learners, and in the same joint change
// removes dead voters, when the number of voters stays odd and never falls.
func (r *Replica) promote() bool {
	caught := r.caughtUp()
	var ready, dead []uint64
	for _, id := range r.conf.GetLearners() {
		if caught[id] {
			ready = append(ready, id)
		}
	}
	for _, id := range r.conf.GetVoters() {
		if !r.isLive(id) || id != r.cfg.ID && r.leaves(id) {
			dead = append(dead, id)
		}
	}
	have := len(r.conf.GetVoters())
	target := max(have, r.wanted())
	n := min(len(ready), target-have+len(dead))
	for ; n > 0; n-- {
		gone := min(len(dead), n)
		if now := have + n - gone; now%2 == 1 && now >= have {
			var ccs []*raftpb.ConfChangeSingle
			for _, id := range ready[:n] {
				ccs = append(ccs, single(raftpb.ConfChangeAddNode, id))
			}
			for _, id := range dead[:gone] {
				ccs = append(ccs, single(raftpb.ConfChangeRemoveNode, id))
			}
			return r.change(nil, ccs...)
		}
	}
	return false
}

// addLearner probes the next candidate in rendezvous order when a place is open:
// members wanted are as many as voters wanted, two where there are only two
// coordinators, and one more for every dead voter.
func (r *Replica) addLearner() bool {
	members, dead := 0, 0
	taken := map[string]bool{}
	for _, id := range slices.Concat(r.conf.GetVoters(), r.conf.GetLearners()) {
		members++
		if r.isLive(id) && !r.leaves(id) {
			taken[r.peerOf(id)] = true
		} else {
			dead++ // its node may have lost the state and come back: a candidate like others
		}
	}
	want := max(r.wanted(), min(2, len(r.lead.candidates)), len(r.conf.GetVoters())) + dead
	if members >= want || r.lead.probing != "" && r.now.Mono-r.lead.probedAt < 2*time.Second {
		return false
	}
	return r.probe(slices.DeleteFunc(slices.Clone(r.lead.candidates), func(c string) bool { return taken[c] }))
}

// probe asks the best of some nodes whether it would hold a replica, or the
// next best if the best did not answer the last time.
func (r *Replica) probe(free []string) bool {
	refused := r.lead.probing
	r.lead.probing = ""
	ranked := placement.Rank(placement.ShardKey(r.cfg.Network, r.cfg.Shard), free)
	if len(ranked) > 1 && ranked[0] == refused {
		ranked = ranked[1:] // it did not answer: try the next one this time
	}
	if len(ranked) == 0 {
		return false
	}
	r.lead.probing, r.lead.probedAt = ranked[0], r.now.Mono
	r.do(Probe{To: ranked[0]})
	return true
}

// probed commits a candidate that answered as a learner under the next id. One
// that refused stays in probing until the next is asked.
func (r *Replica) probed(ev Probed) {
	if r.lead == nil || !r.lead.ready || r.lead.probing != ev.Peer {
		return
	}
	member := false
	for _, id := range slices.Concat(r.conf.GetVoters(), r.conf.GetLearners()) {
		if r.peerOf(id) != ev.Peer {
			continue
		}
		if r.isLive(id) {
			r.lead.probing = ""
			return
		}
		member = true
	}
	switch {
	case ev.Refused && !member && r.state.NextID > 0:
		// It holds a replica that was removed and has not heard of it.
		r.do(Dismiss{To: ev.Peer, ID: r.state.NextID - 1})
		return
	case ev.Refused:
		return
	}
	r.lead.probing = ""
	m := job.Member{ID: r.state.NextID, Peer: ev.Peer, Incarnation: ev.Incarnation}
	r.change(&m, single(raftpb.ConfChangeAddLearnerNode, m.ID))
}

func single(t raftpb.ConfChangeType, id uint64) *raftpb.ConfChangeSingle {
	return &raftpb.ConfChangeSingle{Type: &t, NodeId: &id}
}

// change proposes one change of the configuration; more than one voter changes
// by joint consensus, which raft leaves by itself.
func (r *Replica) change(add *job.Member, ccs ...*raftpb.ConfChangeSingle) bool {
	cc := &raftpb.ConfChangeV2{Changes: ccs}
	if add != nil {
		var w codec.Writer
		w.Uint(add.ID)
		w.String(add.Peer)
		w.Uint(add.Incarnation)
		cc.Context = w.Data()
	}
	return r.rn.ProposeConfChange(cc) == nil
}

// memberOf reads the new member out of a change; false when it has none.
func memberOf(cc *raftpb.ConfChangeV2, err error) (job.Member, bool) {
	if err != nil || len(cc.GetContext()) == 0 {
		return job.Member{}, false
	}
	rd := codec.NewReader(cc.GetContext())
	m := job.Member{ID: rd.Uint(), Peer: rd.String(job.MaxName), Incarnation: rd.Uint()}
	return m, rd.Close() == nil
}

// applyConf applies a committed change. Members that no part of the
// configuration names any more are forgotten; their ids never return.
func (r *Replica) applyConf(e interface{ GetData() []byte }) {
	cc := &raftpb.ConfChangeV2{}
	if err := proto.Unmarshal(e.GetData(), cc); err != nil {
		contradict("committed configuration change: %v", err)
	}
	r.conf = r.rn.ApplyConfChange(cc)
	if m, ok := memberOf(cc, nil); ok {
		r.state.Members[m.ID] = m
		r.state.NextID = max(r.state.NextID, m.ID+1)
		if r.lead != nil {
			r.lead.joined[m.ID] = r.now.Mono
			r.do(Invite{To: m.Peer, ID: m.ID, Incarnation: m.Incarnation})
		}
	}
	in := slices.Concat(r.conf.GetVoters(), r.conf.GetLearners(), r.conf.GetVotersOutgoing(), r.conf.GetLearnersNext())
	for _, m := range r.state.SortedMembers() {
		if slices.Contains(in, m.ID) {
			continue
		}
		delete(r.state.Members, m.ID)
		if r.lead != nil && m.ID != r.cfg.ID {
			r.do(Dismiss{To: m.Peer, ID: m.ID})
		}
		if m.ID == r.cfg.ID {
			r.stepDown() // whoever waits is told
			r.gone = true
			r.do(Removed{})
		}
	}
}
