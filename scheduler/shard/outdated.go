package shard

import (
	"time"

	"go.etcd.io/raft/v3/raftpb"
)

// Outdated says that a leader counts on log entries that this replica has
// acknowledged and no longer has: its disk is an older copy. The replica does
// nothing any more; a vote of it could undo what was committed. The owner must
// never start it again from that disk.
type Outdated struct {
	Last  uint64 // last index here
	Known uint64 // index up to which the leader has its acknowledgement
}

func (Outdated) action() {}

// caution is why a replica holds back in elections.
type caution struct {
	skewed    bool          // its clock is wrong: it does not campaign; see bids
	warnUntil time.Duration // it grants no votes before, unless a leader has spoken; see early
}

// bids and elects are the messages that a replica with a wrong clock does not
// send and does not take: nobody votes for it. It goes on counting the time
// without a leader like all others, or it would hold the next one for deposed and
// refuse its vote. A group's only voter leads whatever its clock says: it asks
// nobody.
var (
	bids   = map[raftpb.MessageType]bool{raftpb.MsgPreVote: true, raftpb.MsgVote: true}
	elects = map[raftpb.MessageType]bool{raftpb.MsgPreVoteResp: true, raftpb.MsgVoteResp: true, raftpb.MsgTimeoutNow: true}
)

// forgot notices a heartbeat that counts on entries which are not here. Its
// commit index is never beyond what this replica has acknowledged to that very
// leader, so nothing else explains it.
func (r *Replica) forgot(m *raftpb.Message) bool {
	if m.GetType() != raftpb.MsgHeartbeat || m.GetTerm() < r.rn.BasicStatus().GetTerm() {
		return false
	}
	r.warnUntil = 0 // a leader has spoken
	last, err := r.store.LastIndex()
	if err != nil || m.GetCommit() <= last {
		return false
	}
	r.stepDown()
	r.gone = true
	r.do(Outdated{Last: last, Known: m.GetCommit()})
	return true
}

// early says whether a vote is asked for so soon after a restart that a leader
// has not had the time to tell this replica what it has forgotten. An election
// among nodes that all restart begins no sooner.
func (r *Replica) early(m *raftpb.Message) bool {
	asks := m.GetType() == raftpb.MsgVote || m.GetType() == raftpb.MsgPreVote
	return asks && r.now.Mono < r.warnUntil
}

// electionTimeout is the least time without a leader before an election.
func (p *Params) electionTimeout() time.Duration { return time.Duration(p.ElectionTicks) * p.TickEvery }
