package shard_test

import (
	"bytes"
	"crypto/sha256"
	"runtime"
	"slices"
	"testing"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/codec"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// offer steps a leader's MsgSnap, whose manifest says size and names a chunk so
// many times, and returns what is done.
func offer(t *testing.T, r *shard.Replica, at time.Duration, size uint64, chunk []byte, times int) []shard.Action {
	t.Helper()
	sum := sha256.Sum256(chunk)
	var man codec.Writer
	man.Uint(1)
	man.Uint(size)
	man.Uint(uint64(times))
	for range times {
		man.Fixed(sum[:])
	}
	data, err := proto.Marshal(&raftpb.Message{
		Type: raftpb.MsgSnap.Enum(), From: proto.Uint64(2), To: proto.Uint64(1), Term: proto.Uint64(2),
		Snapshot: &raftpb.Snapshot{Data: man.Data(), Metadata: &raftpb.SnapshotMetadata{
			Index: proto.Uint64(500), Term: proto.Uint64(2), ConfState: &raftpb.ConfState{Voters: []uint64{1, 2, 3}},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return slices.Clone(r.Step(shard.Now{Mono: at, Wall: 1}, shard.Received{From: "b", Data: data}))
}

// wanted returns the number of the chunk that is asked for, -1 for none.
func wanted(acts []shard.Action) int {
	for _, a := range acts {
		if f, ok := a.(shard.Fetch); ok {
			return int(f.N)
		}
	}
	return -1
}

// TestLyingManifest offers snapshots whose manifests say more or less than there
// is: nothing is allocated for what has not arrived, and what does not add up is
// dropped before it takes more than it said.
func TestLyingManifest(t *testing.T) {
	chunk := bytes.Repeat([]byte{7}, shard.MaxChunk)
	for name, size := range map[string]uint64{"over the chunks' bound": 3*shard.MaxChunk + 1, "under one byte a chunk": 2, "over a gigabyte": 1<<30 + 1} {
		if n := wanted(offer(t, restored(t), time.Second, size, chunk, 3)); n != -1 {
			t.Errorf("%s: chunk %d is fetched", name, n)
		}
	}

	r := restored(t)
	if n := wanted(offer(t, r, time.Second, 1<<30, chunk, 1024)); n != 0 {
		t.Fatalf("chunk %d is fetched first", n)
	}
	const arrived = 16
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for i := range uint32(arrived) {
		acts := r.Step(shard.Now{Mono: 2 * time.Second, Wall: 1}, shard.Fetched{Index: 500, N: i, Data: chunk})
		if n := wanted(acts); n != int(i)+1 {
			t.Fatalf("after chunk %d, %d is fetched", i, n)
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 8*shard.MaxChunk {
		t.Errorf("%d chunks that the caller has allocated make the replica allocate %d bytes more", arrived, got)
	}

	for name, c := range map[string]struct {
		size   uint64
		chunks int
		dies   int // with this chunk
	}{"less than it sends": {2*shard.MaxChunk - 1, 3, 1}, "more than it sends": {2 * shard.MaxChunk, 2, -1}, "exactly": {2 * shard.MaxChunk, 2, -1}} {
		r, part := restored(t), chunk
		if name == "more than it sends" {
			part = chunk[:len(chunk)-1]
		}
		offer(t, r, time.Second, c.size, part, c.chunks)
		for i := range c.chunks {
			acts := r.Step(shard.Now{Mono: 2 * time.Second, Wall: 1}, shard.Fetched{Index: 500, N: uint32(i), Data: part})
			stored := slices.ContainsFunc(acts, func(a shard.Action) bool { p, ok := a.(shard.Persist); return ok && len(p.Chunks) > 0 })
			broken := slices.ContainsFunc(acts, func(a shard.Action) bool { _, ok := a.(shard.Broken); return ok })
			switch last := i == c.chunks-1; {
			case i == c.dies || name == "more than it sends" && last:
				if stored || broken || wanted(acts) != -1 {
					t.Errorf("%s: chunk %d is taken (%v) or breaks the replica (%v)", name, i, stored, broken)
				}
			case c.dies >= 0 && i > c.dies:
				if stored {
					t.Errorf("%s: chunk %d is taken after the lie was seen", name, i)
				}
			case name == "exactly" && last:
				if !broken {
					t.Error("a state that is whole and no state is not read") // the manifest was true
				}
			case !stored:
				t.Errorf("%s: chunk %d is not taken", name, i)
			}
		}
	}
}
