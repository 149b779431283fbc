package shard_test

import (
	"crypto/sha256"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/codec"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// restored is replica 1 of three, with the log up to 5 in a snapshot.
func restored(t *testing.T) *shard.Replica {
	t.Helper()
	st := job.NewState(job.Member{ID: 1, Peer: "a", Incarnation: 1})
	st.Members[2], st.Members[3] = job.Member{ID: 2, Peer: "b", Incarnation: 2}, job.Member{ID: 3, Peer: "c", Incarnation: 3}
	st.NextID, st.Index = 4, 5
	state := st.Encode()
	sum := sha256.Sum256(state)
	var man codec.Writer
	man.Uint(1)
	man.Uint(uint64(len(state)))
	man.Uint(1)
	man.Fixed(sum[:])
	snap, err := proto.Marshal(&raftpb.Snapshot{Data: man.Data(), Metadata: &raftpb.SnapshotMetadata{
		Index: proto.Uint64(5), Term: proto.Uint64(2), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	r, err := shard.New(shard.Config{ID: 1, Self: "a", Network: network, Snapshot: snap, Chunks: [][]byte{state}}, shard.Now{Wall: 1})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// hear steps a message from replica 2 and returns what kinds are answered.
func hear(t *testing.T, r *shard.Replica, at time.Duration, m *raftpb.Message) (answers []raftpb.MessageType, outdated *shard.Outdated) {
	t.Helper()
	m.From, m.To = proto.Uint64(2), proto.Uint64(1)
	data, err := proto.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range r.Step(shard.Now{Mono: at, Wall: 1}, shard.Received{From: "b", Data: data}) {
		switch a := a.(type) {
		case shard.Send:
			answer := &raftpb.Message{}
			if err := proto.Unmarshal(a.Data, answer); err != nil {
				t.Fatal(err)
			}
			answers = append(answers, answer.GetType())
		case shard.Outdated:
			outdated = &a
		}
	}
	return answers, outdated
}

func asks() *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgPreVote.Enum(), Term: proto.Uint64(3), Index: proto.Uint64(9), LogTerm: proto.Uint64(2)}
}

func beats(commit uint64) *raftpb.Message {
	return &raftpb.Message{Type: raftpb.MsgHeartbeat.Enum(), Term: proto.Uint64(2), Commit: proto.Uint64(commit)}
}

// TestNoVoteAtOnce grants no vote after a restart before a leader in office had
// the time to speak.
func TestNoVoteAtOnce(t *testing.T) {
	r := restored(t)
	for _, at := range []time.Duration{10 * time.Millisecond, 900 * time.Millisecond} {
		if got, _ := hear(t, r, at, asks()); len(got) > 0 {
			t.Errorf("after %v it answers a candidate with %v", at, got)
		}
	}
	if got, _ := hear(t, r, 1100*time.Millisecond, asks()); len(got) != 1 || got[0] != raftpb.MsgPreVoteResp {
		t.Errorf("after the election timeout it answers a candidate with %v", got)
	}
}

// TestOutdated stops a replica whose leader counts on more than it has, and not
// one whose leader counts on what it has or does not lead any more.
func TestOutdated(t *testing.T) {
	r := restored(t)
	if got, outdated := hear(t, r, 10*time.Millisecond, beats(5)); len(got) != 1 || got[0] != raftpb.MsgHeartbeatResp || outdated != nil {
		t.Errorf("a heartbeat is answered by %v, %v", got, outdated)
	}
	deposed := beats(9)
	deposed.Term = proto.Uint64(1)
	if _, outdated := hear(t, r, 15*time.Millisecond, deposed); outdated != nil {
		t.Errorf("a leader of an earlier term makes it stop: %v", outdated)
	}
	_, outdated := hear(t, r, 20*time.Millisecond, beats(9))
	if outdated == nil || outdated.Last != 5 || outdated.Known != 9 {
		t.Errorf("it does not stop as it should: %v", outdated)
	}
	if got, _ := hear(t, r, 5*time.Second, asks()); len(got) > 0 {
		t.Errorf("after it stopped it answers with %v", got)
	}
}

// TestCutManifest reads the beginnings of a snapshot's manifest, which a peer
// may send.
func TestCutManifest(t *testing.T) {
	var man codec.Writer
	man.Uint(1)
	man.Uint(1)
	man.Uint(1)
	man.Fixed(make([]byte, sha256.Size))
	for n := range man.Data() {
		snap, err := proto.Marshal(&raftpb.Snapshot{Data: man.Data()[:n], Metadata: &raftpb.SnapshotMetadata{Index: proto.Uint64(5), Term: proto.Uint64(2)}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := shard.New(shard.Config{ID: 1, Self: "a", Network: network, Snapshot: snap}, shard.Now{Wall: 1}); err == nil {
			t.Errorf("%d bytes of a manifest are enough", n)
		}
	}
}
