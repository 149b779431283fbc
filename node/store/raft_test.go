package store

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"
)

func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err)
	}
	return b
}

// entry is an encoded log entry of about 300 bytes.
func entry(index, term uint64) []byte {
	return encode(&raftpb.Entry{Index: &index, Term: &term, Data: []byte(strings.Repeat("x", 290))})
}

// entries are n entries of one term from an index on.
func entries(first, term uint64, n int) [][]byte {
	var out [][]byte
	for i := range n {
		out = append(out, entry(first+uint64(i), term))
	}
	return out
}

func snapshot(index, term uint64) []byte {
	return encode(&raftpb.Snapshot{Data: []byte("state"), Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term}})
}

// logOf describes what is stored of a replica: the snapshot's end and the
// terms of the log behind it.
func logOf(t testing.TB, s *Store, shard uint32) string {
	t.Helper()
	all, err := s.LoadReplicas()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if d.Shard != shard {
			continue
		}
		out := "-"
		if d.Snapshot != nil {
			snap := &raftpb.Snapshot{}
			if err := proto.Unmarshal(d.Snapshot, snap); err != nil {
				t.Fatal(err)
			}
			out = fmt.Sprintf("%d@%d", snap.GetMetadata().GetIndex(), snap.GetMetadata().GetTerm())
		}
		for i, raw := range d.Entries {
			e := &raftpb.Entry{}
			if err := proto.Unmarshal(raw, e); err != nil || e.GetIndex() != d.First+uint64(i) {
				t.Fatalf("entry %d is %v, %v", d.First+uint64(i), e, err)
			}
			out += fmt.Sprintf(" %d@%d", e.GetIndex(), e.GetTerm())
		}
		return out
	}
	return "none"
}

// TestRaftLog is the conformance of the log: each case begins with a replica
// whose log is 1@1 2@1 3@2 4@2, applies one batch, and looks before and after
// opening again.
func TestRaftLog(t *testing.T) {
	for _, tc := range []struct {
		name string
		do   func(b *Batch)
		want string
	}{
		{"nothing", func(*Batch) {}, "- 1@1 2@1 3@2 4@2"},
		{"append", func(b *Batch) { b.PutEntries(1, 5, entries(5, 3, 2)) }, "- 1@1 2@1 3@2 4@2 5@3 6@3"},
		{"replace the end", func(b *Batch) { b.PutEntries(1, 4, entries(4, 3, 1)) }, "- 1@1 2@1 3@2 4@3"},
		{"truncate", func(b *Batch) { b.PutEntries(1, 2, entries(2, 3, 1)) }, "- 1@1 2@3"},
		{"replace all", func(b *Batch) { b.PutEntries(1, 1, entries(1, 3, 1)) }, "- 1@3"},
		{"no entries", func(b *Batch) { b.PutEntries(1, 2, nil) }, "- 1@1 2@1 3@2 4@2"},
		{"twice in a batch", func(b *Batch) {
			b.PutEntries(1, 5, entries(5, 3, 3))
			b.PutEntries(1, 6, entries(6, 4, 1))
		}, "- 1@1 2@1 3@2 4@2 5@3 6@4"},
		{"own snapshot", func(b *Batch) { b.PutSnapshot(1, 3, snapshot(3, 2)) }, "3@2 4@2"},
		{"own snapshot of all", func(b *Batch) { b.PutSnapshot(1, 4, snapshot(4, 2)) }, "4@2"},
		{"own snapshot again", func(b *Batch) {
			b.PutSnapshot(1, 3, snapshot(3, 2))
			b.PutSnapshot(1, 3, snapshot(3, 2))
		}, "3@2 4@2"},
		{"snapshot of another history", func(b *Batch) { b.PutSnapshot(1, 3, snapshot(3, 5)) }, "3@5"},
		{"snapshot of another history, after a snapshot", func(b *Batch) {
			b.PutSnapshot(1, 2, snapshot(2, 1))
			b.PutSnapshot(1, 2, snapshot(2, 7))
		}, "2@7"},
		{"snapshot far ahead", func(b *Batch) { b.PutSnapshot(1, 90, snapshot(90, 5)) }, "90@5"},
		{"snapshot and more", func(b *Batch) {
			b.PutSnapshot(1, 90, snapshot(90, 5))
			b.PutEntries(1, 91, entries(91, 6, 2))
		}, "90@5 91@6 92@6"},
		{"entries, then their snapshot", func(b *Batch) {
			b.PutEntries(1, 5, entries(5, 3, 3))
			b.PutSnapshot(1, 6, snapshot(6, 3))
		}, "6@3 7@3"},
		{"drop", func(b *Batch) { b.DropReplica(1, 1) }, "none"},
		{"drop and begin again", func(b *Batch) {
			b.DropReplica(1, 1)
			b.PutReplica(1, 2, 8)
			b.PutSnapshot(1, 9, snapshot(9, 9))
		}, "9@9"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := open(t, t.TempDir())
			commit(t, s, func(b *Batch) {
				b.PutReplica(1, 1, 7)
				b.PutEntries(1, 1, append(entries(1, 1, 2), entries(3, 2, 2)...))
				b.PutReplica(2, 1, 7)
				b.PutEntries(2, 1, entries(1, 1, 9))
				b.PutReplica(0, 1, 7)
				b.PutEntries(0, 1, entries(1, 1, 9))
			})
			for _, again := range []bool{false, true} { // with and without what is remembered
				if again {
					s = reopen(t, s)
				} else {
					commit(t, s, tc.do)
				}
				if got := logOf(t, s, 1); got != tc.want {
					t.Errorf("opened again %v: got %s, want %s", again, got, tc.want)
				}
			}
			for _, other := range []uint32{0, 2} {
				if got := logOf(t, s, other); strings.Count(got, "@") != 9 {
					t.Errorf("shard %d changed: %s", other, got)
				}
			}
		})
	}
}

func TestRaftRefusals(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, func(b *Batch) {
		b.PutReplica(1, 4, 7)
		b.PutEntries(1, 1, entries(1, 1, 3))
		b.DropReplica(2, 6)
	})
	for name, do := range map[string]func(b *Batch){
		"index 0":           func(b *Batch) { b.PutEntries(1, 0, entries(0, 1, 1)) },
		"a gap":             func(b *Batch) { b.PutEntries(1, 5, entries(5, 1, 1)) },
		"the last index":    func(b *Batch) { b.PutEntries(1, 1<<64-1, entries(1, 1, 1)) },
		"no snapshot":       func(b *Batch) { b.PutSnapshot(1, 2, []byte("nonsense")) },
		"another snapshot":  func(b *Batch) { b.PutSnapshot(1, 2, snapshot(3, 1)) },
		"a second replica":  func(b *Batch) { b.PutReplica(1, 5, 8) },
		"a new incarnation": func(b *Batch) { b.PutReplica(1, 4, 8) },
		"replica 0":         func(b *Batch) { b.PutReplica(3, 0, 8) },
		"an ended id":       func(b *Batch) { b.PutReplica(2, 6, 8) },
		"an ended id, in the same batch": func(b *Batch) {
			b.DropReplica(1, 4)
			b.PutReplica(1, 4, 7)
		},
	} {
		if err := try(s, do); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if got := logOf(t, s, 1); got != "- 1@1 2@1 3@1" {
		t.Errorf("a refused batch changed the log: %s", got)
	}
	commit(t, s, func(b *Batch) { b.PutReplica(1, 4, 7) }) // the same again is fine
	commit(t, s, func(b *Batch) { b.PutEntries(1, 4, entries(4, 1, 1)) })
}

func TestReplicaLife(t *testing.T) {
	s := open(t, t.TempDir())
	invite := func(wantInc, wantTomb uint64) {
		t.Helper()
		if inc, tomb, err := s.Invite(5); err != nil || inc != wantInc || tomb != wantTomb {
			t.Errorf("invite %d, tombstone %d, %v; want %d, %d", inc, tomb, err, wantInc, wantTomb)
		}
	}
	invite(0, 0)
	commit(t, s, func(b *Batch) { b.PutInvite(5, 100) })
	commit(t, s, func(b *Batch) { b.PutInvite(5, 101) })
	s = reopen(t, s)
	invite(101, 0)
	if all, err := s.LoadReplicas(); err != nil || len(all) != 0 {
		t.Errorf("an invitation is a replica: %v, %v", all, err)
	}
	commit(t, s, func(b *Batch) { b.PutReplica(5, 3, 101); b.PutHardState(5, []byte("hs")) })
	invite(0, 0)
	s = reopen(t, s)
	all, err := s.LoadReplicas()
	if want := []ReplicaData{{Shard: 5, Replica: 3, Incarnation: 101, HardState: []byte("hs")}}; err != nil || !reflect.DeepEqual(all, want) {
		t.Errorf("%+v, %v", all, err)
	}
	commit(t, s, func(b *Batch) { b.PutInvite(5, 102); b.DropReplica(5, 3) })
	invite(0, 3)
	commit(t, s, func(b *Batch) { b.DropReplica(5, 2) })
	s = reopen(t, s)
	invite(0, 3) // a tombstone never sinks
}

func TestGaps(t *testing.T) {
	for name, hurt := range map[string]func(b *Batch){
		"r/1/log/3": func(b *Batch) { b.Delete(logKey(1, 3)) },
		"r/1/log/1": func(b *Batch) { b.Delete(logKey(1, 1)) },
		"r/1/what":  func(b *Batch) { b.Set(shardKey(1, "what"), nil) },
		"r/1/id":    func(b *Batch) { b.Set(shardKey(1, "id"), []byte("short")) },
	} {
		s := open(t, t.TempDir())
		commit(t, s, func(b *Batch) { b.PutReplica(1, 1, 1); b.PutEntries(1, 1, entries(1, 1, 5)) })
		commit(t, s, hurt)
		var damage *DamageError
		if _, err := s.LoadReplicas(); !errors.As(err, &damage) || damage.Key != name {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFailedBatchForgets: what a dropped batch noted of a log's end does not
// mislead the next.
func TestFailedBatchForgets(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, func(b *Batch) { b.PutReplica(1, 1, 1); b.PutEntries(1, 1, entries(1, 1, 9)) })
	b := s.NewBatch()
	b.PutEntries(1, 2, entries(2, 2, 1))
	b.Close()
	commit(t, s, func(b *Batch) { b.PutEntries(1, 4, entries(4, 3, 1)) })
	if got := logOf(t, s, 1); got != "- 1@1 2@1 3@1 4@3" {
		t.Errorf("got %s", got)
	}
}

// TestRaftModel compares random batches with a model in memory.
func TestRaftModel(t *testing.T) {
	s, id := open(t, t.TempDir()), uint64(0)
	rapid.Check(t, func(rt *rapid.T) {
		id++ // a fresh replica of the same shard for every check
		commit(t, s, func(b *Batch) {
			b.DropReplica(1, id-1)
			b.PutReplica(1, id, 1)
		})
		var snapIndex, snapTerm uint64
		var log []uint64 // terms behind the snapshot
		for term := uint64(1); term <= 8; term++ {
			b := s.NewBatch()
			for range rapid.IntRange(1, 3).Draw(rt, "writes") {
				switch rapid.IntRange(0, 3).Draw(rt, "what") {
				case 0: // snapshot of the own log
					n := rapid.IntRange(0, len(log)).Draw(rt, "upTo")
					if n == 0 {
						continue
					}
					snapIndex, snapTerm, log = snapIndex+uint64(n), log[n-1], log[n:]
					b.PutSnapshot(1, snapIndex, snapshot(snapIndex, snapTerm))
				case 1: // snapshot from a leader of another history
					snapIndex, snapTerm, log = snapIndex+uint64(rapid.IntRange(1, 9).Draw(rt, "ahead")), 100+term, nil
					b.PutSnapshot(1, snapIndex, snapshot(snapIndex, snapTerm))
				default:
					keep := rapid.IntRange(0, len(log)).Draw(rt, "keep")
					n := rapid.IntRange(1, 5).Draw(rt, "entries")
					b.PutEntries(1, snapIndex+uint64(keep)+1, entries(snapIndex+uint64(keep)+1, term, n))
					log = append([]uint64(nil), log[:keep]...)
					for range n {
						log = append(log, term)
					}
				}
			}
			if err := b.Commit(false); err != nil {
				rt.Fatal(err)
			}
			if rapid.IntRange(0, 39).Draw(rt, "reopen") == 7 {
				s = reopen(t, s)
			}
			want := "-"
			if snapIndex > 0 {
				want = fmt.Sprintf("%d@%d", snapIndex, snapTerm)
			}
			for i, term := range log {
				want += fmt.Sprintf(" %d@%d", snapIndex+uint64(i)+1, term)
			}
			if got := logOf(t, s, 1); got != want {
				rt.Fatalf("got  %s\nwant %s", got, want)
			}
		}
	})
}

func BenchmarkCommitSync(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("entries=%d", n), func(b *testing.B) {
			s := open(b, b.TempDir())
			commit(b, s, func(w *Batch) { w.PutReplica(1, 1, 1) })
			es := entries(1, 1, n) // their own indexes do not matter here
			next := uint64(1)
			b.SetBytes(int64(n * len(es[0])))
			for b.Loop() {
				w := s.NewBatch()
				w.PutHardState(1, []byte("hard state"))
				w.PutEntries(1, next, es)
				if err := w.Commit(true); err != nil {
					b.Fatal(err)
				}
				next += uint64(n)
			}
		})
	}
}

// TestChunks keeps the chunks of the stored snapshot and of the one in the
// making, and no others.
func TestChunks(t *testing.T) {
	s := open(t, t.TempDir())
	for _, index := range []uint64{3, 7, 9, 12} {
		b := s.NewBatch()
		if index == 3 {
			b.PutReplica(1, 1, 1)
		}
		b.PutChunk(1, index, 0, []byte{byte(index), 0})
		b.PutChunk(1, index, 1, []byte{byte(index), 1})
		if index == 3 || index == 9 {
			b.PutSnapshot(1, index, snapshot(index, 1))
		}
		if err := b.Commit(true); err != nil {
			t.Fatal(err)
		}
	}
	for index, want := range map[uint64]bool{3: false, 7: false, 9: true, 12: true} {
		if c, err := s.Chunk(1, index, 1); err != nil || (c != nil) != want {
			t.Errorf("chunk of index %d: %v, %v", index, c, err)
		}
	}
	all, err := s.LoadReplicas()
	if err != nil || len(all) != 1 || len(all[0].Chunks) != 2 || all[0].Chunks[1][0] != 9 {
		t.Fatalf("loaded %+v, %v", all, err)
	}
	b := s.NewBatch()
	b.DropReplica(1, 1)
	if err := b.Commit(true); err != nil {
		t.Fatal(err)
	}
	if c, err := s.Chunk(1, 9, 0); c != nil || err != nil {
		t.Errorf("a removed replica left a chunk: %v, %v", c, err)
	}
}
