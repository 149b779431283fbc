package placement

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func names(n int) (out []string) {
	for i := range n {
		out = append(out, fmt.Sprint("node", i))
	}
	return out
}

// TestRankIsPermanent pins the function: nodes of all releases must agree.
func TestRankIsPermanent(t *testing.T) {
	got := fmt.Sprint(Rank(ShardKey([32]byte{1, 2, 3}, 5), names(6)), Attach("net", "worker", 100))
	const want = "[node3 node2 node0 node4 node5 node1] [7 13 18 33 60 61 70 97]"
	if got != want {
		t.Errorf("got %s", got)
	}
}

func TestRank(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		nodes := rapid.SliceOfN(rapid.StringMatching("[a-e]{1,3}"), 0, 12).Draw(t, "nodes")
		key := rapid.String().Draw(t, "key")
		was := slices.Clone(nodes)
		ranked := Rank(key, nodes)
		if !slices.Equal(was, nodes) {
			t.Fatal("the argument was changed")
		}
		sorted := slices.Compact(slices.Sorted(slices.Values(nodes)))
		if !slices.Equal(sorted, slices.Sorted(slices.Values(ranked))) {
			t.Fatalf("%v ranked as %v", nodes, ranked)
		}
		slices.Reverse(nodes)
		if !slices.Equal(ranked, Rank(key, nodes)) {
			t.Fatal("the order of the argument matters")
		}
		if len(ranked) > 0 { // losing a node moves nobody else
			gone := rapid.SampledFrom(ranked).Draw(t, "gone")
			rest := Rank(key, slices.DeleteFunc(slices.Clone(nodes), func(n string) bool { return n == gone }))
			if !slices.Equal(rest, slices.DeleteFunc(ranked, func(n string) bool { return n == gone })) {
				t.Fatalf("without %s: %v", gone, rest)
			}
		}
	})
}

func TestRankSpreads(t *testing.T) {
	first := map[string]int{}
	for shard := range uint32(1000) {
		first[Rank(ShardKey([32]byte{}, shard), names(10))[0]]++
	}
	for _, n := range names(10) {
		if first[n] < 60 || first[n] > 140 {
			t.Errorf("%s is first for %d of 1000 shards", n, first[n])
		}
	}
}

func keys(shard uint32) string { return ShardKey([32]byte{7}, shard) }

func TestPreferred(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		shards, n := rapid.IntRange(0, 40).Draw(t, "shards"), rapid.IntRange(1, 9).Draw(t, "nodes")
		voters, all := map[uint32][]string{}, map[string]bool{}
		for s := range shards {
			vs := Rank(keys(uint32(s)), names(n))
			voters[uint32(s)] = vs[:min(len(vs), rapid.SampledFrom([]int{0, 1, 3, 5}).Draw(t, "voters"))]
			for _, v := range voters[uint32(s)] {
				all[v] = true
			}
		}
		got := Preferred(voters, keys)
		leads := map[string]int{}
		for s, vs := range voters {
			if len(vs) == 0 {
				if _, ok := got[s]; ok {
					t.Fatal("a shard without voters has a leader")
				}
				continue
			}
			if !slices.Contains(vs, got[s]) {
				t.Fatalf("shard %d is to be led by %q, who is no voter", s, got[s])
			}
			leads[got[s]]++
		}
		full := true
		for _, vs := range voters {
			full = full && len(vs) == n
		}
		if bound := (shards+max(1, len(all))-1)/max(1, len(all)) + 1; full {
			for v, k := range leads {
				if k > bound {
					t.Fatalf("%s leads %d shards, the bound is %d", v, k, bound)
				}
			}
		}
		for range 3 {
			again := Preferred(voters, keys)
			for s := range got {
				if again[s] != got[s] {
					t.Fatal("not deterministic")
				}
			}
		}
	})
}

// TestPreferredBeyondTheBound: shards whose voters are all at the bound are
// still led by the least loaded of them.
func TestPreferredBeyondTheBound(t *testing.T) {
	voters := map[uint32][]string{}
	for s := range uint32(12) {
		voters[s] = []string{"a", "b"}
	}
	for s := range uint32(4) {
		voters[100+s] = []string{fmt.Sprint("lone", s)}
	}
	leads := map[string]int{}
	for _, v := range Preferred(voters, keys) {
		leads[v]++
	}
	if leads["a"] != 6 || leads["b"] != 6 || leads["lone0"] != 1 {
		t.Errorf("%v", leads)
	}
}

func TestAttach(t *testing.T) {
	for _, shards := range []uint32{0, 1, 16} {
		if got := Attach("n", "w", shards); len(got) != int(shards) || !slices.IsSorted(got) {
			t.Errorf("of %d: %v", shards, got)
		}
	}
	load := map[uint32]int{}
	for i := range 500 {
		got := Attach("n", fmt.Sprint("worker", i), 100)
		if len(slices.Compact(slices.Clone(got))) != AttachSome || !slices.IsSorted(got) || got[7] > 99 {
			t.Fatalf("%v", got)
		}
		for _, s := range got {
			load[s]++
		}
	}
	for s := range uint32(100) {
		if load[s] < 15 || load[s] > 75 {
			t.Errorf("shard %d has %d of 500 workers", s, load[s])
		}
	}
}

func BenchmarkPreferred(b *testing.B) {
	voters := map[uint32][]string{}
	for s := range uint32(256) {
		voters[s] = Rank(keys(s), names(50))[:3]
	}
	for b.Loop() {
		Preferred(voters, keys)
	}
}

// TestPreferredKeepsTheBound: plain rendezvous hashing would not.
func TestPreferredKeepsTheBound(t *testing.T) {
	exceeded := false
	for n := 1; n <= 9; n++ {
		voters, plain := map[uint32][]string{}, map[string]int{}
		for s := range uint32(32) {
			voters[s] = names(n)
			plain[Rank(keys(s), names(n))[0]]++
		}
		bound, leads := (32+n-1)/n+1, map[string]int{}
		for _, v := range Preferred(voters, keys) {
			leads[v]++
		}
		for _, v := range names(n) {
			exceeded = exceeded || plain[v] > bound
			if leads[v] > bound {
				t.Errorf("%d nodes: %s leads %d shards, the bound is %d", n, v, leads[v], bound)
			}
		}
	}
	if !exceeded {
		t.Error("the bound was never needed")
	}
}

func TestRefreshEvery(t *testing.T) {
	for shards, want := range map[uint32]time.Duration{1: 5 * time.Second, 16: 8 * time.Second, 100: 50 * time.Second, 1024: 512 * time.Second} {
		if got := RefreshEvery(shards); got != want {
			t.Errorf("%d shards: %v, want %v", shards, got, want)
		}
	}
}
