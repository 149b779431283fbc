package node

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// stranger is who the fuzzed bytes come from: a peer that has been admitted.
const stranger = "12D3KooWBBKxWNRQLSJsTLtNrzErBPLCGSMcDsRnL6MUhQApXKBd"

// runningNode starts a node that leads its one shard and stops it after the test.
func runningNode(tb testing.TB) *Node {
	tb.Helper()
	cfg := config.Default("test")
	cfg.DataDir, cfg.Network.Shards, cfg.API.Listen, cfg.Roles = tb.TempDir(), 1, nil, []string{roleCoordinator}
	n, err := NewWith(tb.Context(), cfg, Parts{})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(tb.Context()))
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	for n.leadsReply(ctx, 0) != nil {
		select {
		case err := <-ended:
			tb.Fatal(err)
		default:
		}
	}
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			tb.Error(err)
		}
	})
	return n
}

// door is one place at which bytes of another node enter this one.
type door struct {
	name  string
	enter func(n *Node, from peer.ID, data []byte)
}

// doors lists them all: every handler of a stream or call, every validator and
// subscriber of a topic.
func doors() []door {
	ignore := func([]byte) error { return nil }
	return []door{
		{"raft", func(n *Node, from peer.ID, b []byte) { n.links.onRaft(from, b) }},
		{"work", func(n *Node, from peer.ID, b []byte) { n.links.onWork(from, b) }},
		{"group", func(n *Node, from peer.ID, b []byte) { n.onGroup(from, b) }},
		{"snapshot", func(n *Node, from peer.ID, b []byte) { _ = n.onFetch(n.bgCtx, from, b, ignore) }},
		{"hello", func(n *Node, from peer.ID, b []byte) { _ = n.onHello(n.bgCtx, from, b, ignore) }},
		{"job", func(n *Node, from peer.ID, b []byte) {
			ctx, cancel := context.WithTimeout(n.bgCtx, 20*time.Millisecond) // watching and following go on for ever
			defer cancel()
			_ = n.serve(ctx, from, b, ignore)
		}},
		{"shards", func(n *Node, from peer.ID, b []byte) { n.gossip.judgeReports(from, b) }},
		{"offers", func(n *Node, from peer.ID, b []byte) {
			n.gossip.judgeOffers(0)(from, b)
			n.gossip.heardOffers(from, 0, b)
		}},
		{"workers", func(n *Node, from peer.ID, b []byte) {
			n.gossip.adverts.judge(from, b)
			n.gossip.heardAdvert(from, 0, b)
		}},
		{"snapshot", func(n *Node, from peer.ID, b []byte) { _ = n.onFetch(n.bgCtx, from, b, ignore) }},
		{"genesis", func(_ *Node, _ peer.ID, b []byte) { _, _ = newNetwork(b, "") }},
	}
}

// FuzzDoors gives arbitrary bytes to every door of a running node. Whatever they
// are, the node must go on leading its shard and answer.
func FuzzDoors(f *testing.F) {
	n := runningNode(f)
	from, err := peer.Decode(stranger)
	if err != nil {
		f.Fatal(err)
	}
	all := doors()
	for i, seeds := range seedsOf(n) {
		for _, m := range seeds {
			raw, err := proto.Marshal(m)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(uint8(i), raw)
		}
	}
	f.Fuzz(func(t *testing.T, at uint8, data []byte) {
		d := all[int(at)%len(all)]
		d.enter(n, from, data)
		if r := n.leadsReply(t.Context(), 0); r != nil {
			t.Fatalf("after bytes at the door %s the node answers %s: %s", d.name, r.Code, r.Message)
		}
	})
}

// seedsOf are well-formed messages for each door, in the order of doors.
func seedsOf(n *Node) [][]proto.Message {
	id := make([]byte, 32)
	key := work.Key{Task: 1, Attempt: 1, Fence: 7}
	var messages []proto.Message
	for _, m := range []work.Message{
		work.Attach{Boot: 1, Capability: work.Capability{Total: job.Resources{CPU: 1000, Memory: 1 << 30}, Executors: []string{"wasm"}}, FreeSlots: 2, Held: []work.Key{key}},
		work.Heartbeat{Boot: 1, Held: []work.Key{key}}, work.Booked{Key: key}, work.Refused{Key: key, Why: "no"}, work.Started{Key: key},
		work.Progress{Key: key, Permille: 500}, work.Report{Key: key, Result: &job.Result{Output: "bafy"}}, work.Report{Key: key, Cause: job.CauseTrap},
		work.Book{Key: key}, work.Assign{Key: key}, work.Ack{Key: key}, work.Stop{Key: key}, work.Release{Key: key},
	} {
		messages = append(messages, &meshpb.Work{Message: work.Encode(m)})
	}
	var groups []proto.Message
	for kind := range meshpb.Group_Kind_name {
		groups = append(groups, &meshpb.Group{Kind: meshpb.Group_Kind(kind), Id: 1, Incarnation: 1})
	}
	requests := []proto.Message{
		&meshpb.JobRequest{What: &meshpb.JobRequest_Submit{Submit: &meshpb.Submit{Offer: []byte{1}, Holders: []string{stranger}}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Cancel{Cancel: &meshpb.Cancel{Job: id}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Describe{Describe: &meshpb.Describe{Job: id, Stale: true}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_List{List: &meshpb.List{State: "running", Limit: 1 << 31}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Watch{Watch: &meshpb.Watch{Job: id, Index: 1}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Logs{Logs: &meshpb.Logs{Job: id, Offset: -1, Follow: true}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Hold{Hold: &meshpb.Hold{Job: id, Cids: []string{"bafy"}, Holders: []string{stranger}, Until: 1 << 62}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Workers{Workers: &meshpb.Workers{}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Recover{Recover: &meshpb.Recover{Shard: 1 << 31, Lost: []string{stranger}}}},
		&meshpb.JobRequest{What: &meshpb.JobRequest_Find{Find: &meshpb.Find{Prefix: "0"}}},
	}
	report := &meshpb.ShardReport{Term: 9, Leader: stranger, Voters: []string{stranger}}
	return [][]proto.Message{
		{&meshpb.RaftBatch{Messages: []*meshpb.RaftMessage{{Data: []byte{8, 3, 16, 1, 24, 2}}, {Shard: 1 << 31}}}, forgedLeader()},
		messages,
		groups,
		{&meshpb.Fetch{Index: 1, N: 1 << 30}},
		{&meshpb.Hello{Network: n.net.id[:], Roles: []string{"worker"}, Shards: []*meshpb.ShardReport{report}, Allowed: []byte{16, 9, 26, 1, 97, 34, 1, 0}}, n.helloTo(peer.ID(stranger), "hello")},
		requests,
		{&meshpb.ShardReports{Reports: []*meshpb.ShardReport{report}}},
		{&meshpb.Offers{Offers: [][]byte{{1}, make([]byte, 64)}}},
		{&meshpb.Advert{Attach: work.Encode(work.Attach{Boot: 1}), Sequence: 1, Expires: time.Now().UnixMilli(), Name: "w"}},
		{&meshpb.Fetch{Index: 1}, &meshpb.Fetch{Shard: 1 << 31, Index: 1 << 63, N: 1 << 31}},
		{n.net.gen},
	}
}

// TestDoorsAreListed compares the doors with what the host was told to serve.
func TestDoorsAreListed(t *testing.T) {
	n := runningNode(t)
	known := map[string]bool{}
	for _, d := range doors() {
		known[d.name] = true
	}
	for _, lib := range []string{"kad", "meshsub", "blobs"} { // libraries' own, fuzzed there
		known[lib] = true
	}
	for _, p := range n.host.Libp2p().Mux().Protocols() {
		rest, ours := strings.CutPrefix(string(p), n.net.prefix()+"/")
		if name, _, _ := strings.Cut(rest, "/"); ours && !known[name] {
			t.Errorf("the protocol %s is no door of FuzzDoors; add it", p)
		}
	}
	if len(seedsOf(n)) != len(doors()) {
		t.Errorf("%d doors have seeds, there are %d", len(seedsOf(n)), len(doors()))
	}
}

// forgedLeader are messages of one that claims to lead and to have committed what
// nobody has.
func forgedLeader() proto.Message {
	b := &meshpb.RaftBatch{}
	for _, kind := range []raftpb.MessageType{raftpb.MsgHeartbeat, raftpb.MsgApp, raftpb.MsgSnap, raftpb.MsgTimeoutNow, raftpb.MsgVote} {
		m := &raftpb.Message{
			Type: kind.Enum(), To: proto.Uint64(1), From: proto.Uint64(99), Term: proto.Uint64(1 << 40), Commit: proto.Uint64(1 << 40),
			Index: proto.Uint64(2), LogTerm: proto.Uint64(1), Snapshot: &raftpb.Snapshot{Metadata: &raftpb.SnapshotMetadata{Index: proto.Uint64(1 << 40)}},
		}
		raw, err := proto.Marshal(m)
		if err != nil {
			panic(err)
		}
		b.Messages = append(b.Messages, &meshpb.RaftMessage{Data: raw})
	}
	return b
}

// FuzzReplies reads arbitrary bytes as what another node answers to a request.
func FuzzReplies(f *testing.F) {
	n := runningNode(f)
	a := &adapter{n: n}
	for _, r := range []*meshpb.JobReply{
		{Acceptance: &meshpb.Acceptance{Job: make([]byte, 32), Coordinator: n.self, Signature: make([]byte, 64)}},
		{Events: []*meshpb.Event{{Event: []byte{7}}, {Progress: work.Encode(work.Progress{Permille: 5})}, {Reset_: true}}},
		{Json: []byte(`{"id":"ab","tasks":[{"index":0,"state":"done"}]}`)},
		{Json: []byte(`[{"Shard":1,"Peer":"x","Capability":{"Labels":[{"Key":"a"}]}}]`)},
		{Json: []byte(`{"peer":"a","replica":1,"term":2,"last":9,"voters":["a","b","c"]}`)},
		{Chunk: &meshpb.Chunk{Offset: -1, Data: []byte("x"), End: true}},
	} {
		raw, err := proto.Marshal(r)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &meshpb.JobReply{}
		if proto.Unmarshal(data, r) != nil {
			return
		}
		if acc := r.Acceptance; acc != nil {
			if _, err := a.viewAcceptance(acc); err == nil && acc.Coordinator != n.self {
				t.Fatalf("an acceptance that nobody signed was believed: %v", acc)
			}
		}
		cursor := at{}
		for _, e := range r.Events {
			before := cursor
			if _, ok := decodeEvent(e, 0, &cursor); ok && cursor.index < before.index {
				t.Fatal("the cursor went back")
			}
		}
		var j api.Job
		if json.Unmarshal(r.Json, &j) == nil {
			taskOf(&j, 0)
		}
		var replica api.Replica
		if json.Unmarshal(r.Json, &replica) == nil {
			if out, err := judge(1, []api.Replica{replica}, []string{replica.Peer}); err == nil {
				t.Fatalf("a replica that is named as lost was chosen: %+v", out)
			}
		}
		var workers []leaderWorker
		if json.Unmarshal(r.Json, &workers) == nil {
			byID := map[string]*api.Worker{}
			for i := range workers {
				mergeWorker(byID, &workers[i])
			}
		}
		var ledgers []api.ShardChain
		var page api.LedgerEntries
		_, _ = json.Unmarshal(r.Json, &ledgers), json.Unmarshal(r.Json, &page) // must not panic
		if n.chain.take(0, r) == nil {
			t.Fatal("a ledger entry that nobody wants was taken")
		}
	})
}

// FuzzProof feeds the check of proof files that come from anywhere.
func FuzzProof(f *testing.F) {
	good, err := os.ReadFile("../cmd/ciro/testdata/proof.json")
	if err != nil {
		f.Fatal(err)
	}
	if _, err := VerifyProof(good, ProofRules{}); err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := VerifyProof(data, ProofRules{Network: "7309592043c59e075fb4b1194d23596e526de9a97d1510bf2ca6272c8fd2a22b"}); err == nil && !bytes.Equal(data, good) {
			t.Errorf("another file proves something about the network: %q", data)
		}
	})
}
