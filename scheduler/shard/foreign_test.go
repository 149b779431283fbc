package shard_test

import (
	"testing"
	"testing/cryptotest"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// TestMessagesOfNoReplica gives a leader every kind of message that Raft has
// from the node of a member: those that only a replica's owner may give are
// dropped, and none ends in a panic or in the log.
func TestMessagesOfNoReplica(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	b := newBus(t, shard.Params{})
	for _, c := range [][]string{{"found", "a"}, {"candidates", "a", "b", "c"}, {"nodes", "b", "c"}, {"run", "6s"}} {
		b.command(c)
	}
	lead := b.leader()
	evil := &job.Command{Op: job.OpAccept, Job: job.ID{0xe1}, Offer: []byte{1}}
	index, term := lead.rep.State().Index, uint64(2)
	for kind := range raftpb.MessageType_name {
		switch k := raftpb.MessageType(kind); k {
		case raftpb.MsgApp, raftpb.MsgAppResp, raftpb.MsgVote, raftpb.MsgVoteResp, raftpb.MsgPreVote, raftpb.MsgPreVoteResp,
			raftpb.MsgHeartbeat, raftpb.MsgHeartbeatResp, raftpb.MsgSnap, raftpb.MsgTimeoutNow:
		default:
			for _, termed := range []*uint64{nil, &term} {
				m := &raftpb.Message{
					Type: &k, From: proto.Uint64(2), To: proto.Uint64(1), Term: termed, Entries: []*raftpb.Entry{{Data: evil.Encode()}},
				}
				data, err := proto.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				b.step(lead, shard.Received{From: "b", Data: data})
			}
		}
	}
	b.run(time.Second)
	if got := lead.rep.State().Index; got != index || !lead.rep.Health().Mine {
		t.Errorf("the log went from %d to %d, the leader leads: %v", index, got, lead.rep.Health().Mine)
	}
}

// TestInvitationRefusedByAnother shows that a node cannot have another's replica
// replaced.
func TestInvitationRefusedByAnother(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	b := newBus(t, shard.Params{})
	for _, c := range [][]string{{"found", "a"}, {"candidates", "a", "b", "c"}, {"nodes", "b", "c"}, {"run", "6s"}} {
		b.command(c)
	}
	b.step(b.leader(), shard.InviteRefused{Peer: "c", ID: 2})
	if h := b.leader().rep.Health(); h.Live != 3 {
		t.Errorf("after c's word on b's replica %d of 3 voters are counted on", h.Live)
	}
	b.step(b.leader(), shard.InviteRefused{Peer: "b", ID: 2})
	if h := b.leader().rep.Health(); h.Live != 2 {
		t.Errorf("after b's own word %d of 3 voters are counted on", h.Live)
	}
}
