package shard_test

import (
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// member is replica 1 of three, on node a, with everything up to index 5 in a
// snapshot.
func member(tb testing.TB) *shard.Replica {
	tb.Helper()
	st := job.NewState(job.Member{ID: 1, Peer: "a", Incarnation: 1})
	st.Members[2], st.Members[3] = job.Member{ID: 2, Peer: "b", Incarnation: 2}, job.Member{ID: 3, Peer: "c", Incarnation: 3}
	st.NextID, st.Index = 4, 5
	image := shard.ImageOf(st, 2, &raftpb.ConfState{Voters: []uint64{1, 2, 3}})
	r, err := shard.New(shard.Config{ID: 1, Self: "a", Network: network, Snapshot: image.Snapshot, Chunks: [][]byte{image.Chunks[0].Data}}, shard.Now{Wall: 1})
	if err != nil {
		tb.Fatal(err)
	}
	return r
}

// stopped returns why a replica has stopped, "" if it has not.
func stopped(actions []shard.Action) string {
	for _, a := range actions {
		if b, ok := a.(shard.Broken); ok {
			return b.Why
		}
	}
	return ""
}

func message(tb testing.TB, m *raftpb.Message) []byte {
	tb.Helper()
	m.To = proto.Uint64(1)
	raw, err := proto.Marshal(m)
	if err != nil {
		tb.Fatal(err)
	}
	return raw
}

// TestStrangerCannotStopAReplica gives a replica what a node claims that is no
// member: that it leads, in a far term, and has committed what nobody has.
func TestStrangerCannotStopAReplica(t *testing.T) {
	r := member(t)
	m := &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), From: proto.Uint64(99), Term: proto.Uint64(1 << 40), Commit: proto.Uint64(1 << 40)}
	if why := stopped(r.Step(shard.Now{Mono: time.Second, Wall: 1}, shard.Received{From: "x", Data: message(t, m)})); why != "" {
		t.Fatalf("it stopped: %s", why)
	}
	m.From = proto.Uint64(2) // a member's id, not its node
	if why := stopped(r.Step(shard.Now{Mono: time.Second, Wall: 1}, shard.Received{From: "x", Data: message(t, m)})); why != "" {
		t.Fatalf("it stopped: %s", why)
	}
	if r.Health().Applied != 5 {
		t.Errorf("it is at %d", r.Health().Applied)
	}
}

// TestContradictionStopsOneReplica has a member commit what is no command: the
// replica stops by name, without a trace of the step, and does nothing any more.
func TestContradictionStopsOneReplica(t *testing.T) {
	r := member(t)
	now := shard.Now{Mono: time.Second, Wall: 1}
	commit := func(index uint64, data []byte) []shard.Action {
		before := index - 1
		return r.Step(now, shard.Received{From: "b", Data: message(t, &raftpb.Message{
			Type: raftpb.MsgApp.Enum(), From: proto.Uint64(2), Term: proto.Uint64(2), LogTerm: proto.Uint64(2), Index: &before, Commit: &index,
			Entries: []*raftpb.Entry{{Type: raftpb.EntryNormal.Enum(), Term: proto.Uint64(2), Index: &index, Data: data}},
		})})
	}
	if out := commit(6, nil); stopped(out) != "" || r.Health().Applied != 6 {
		t.Fatalf("after a good entry it is at %d: %v", r.Health().Applied, out)
	}
	if out := commit(7, []byte("no command")); stopped(out) == "" || len(out) != 1 {
		t.Fatalf("it took what is no command: %v", out)
	}
	if out := r.Step(now, shard.Tick{}); len(out) > 0 {
		t.Errorf("it goes on: %v", out)
	}
}

// FuzzReceived gives arbitrary bytes to a replica as a message of a member, and
// of a stranger. It may stop, by name; only a member may bring it to that.
func FuzzReceived(f *testing.F) {
	for _, kind := range []raftpb.MessageType{raftpb.MsgHeartbeat, raftpb.MsgApp, raftpb.MsgSnap, raftpb.MsgTimeoutNow, raftpb.MsgVote, raftpb.MsgAppResp, raftpb.MsgReadIndexResp} {
		for _, from := range []uint64{2, 99} {
			f.Add(message(f, &raftpb.Message{
				Type: kind.Enum(), From: &from, Term: proto.Uint64(9), Commit: proto.Uint64(7), Index: proto.Uint64(5), LogTerm: proto.Uint64(2),
				Entries:  []*raftpb.Entry{{Type: raftpb.EntryConfChangeV2.Enum(), Term: proto.Uint64(9), Index: proto.Uint64(6), Data: []byte{1}}},
				Snapshot: &raftpb.Snapshot{Data: []byte{1}, Metadata: &raftpb.SnapshotMetadata{Index: proto.Uint64(50), Term: proto.Uint64(9)}},
			}))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, from := range []string{"x", "b"} {
			r := member(t)
			for i := range 3 {
				r.Step(shard.Now{Mono: time.Duration(i+1) * time.Second, Wall: 1}, shard.Received{From: from, Data: data})
			}
			r.Step(shard.Now{Mono: 20 * time.Second, Wall: 1}, shard.Tick{})
		}
	})
}
