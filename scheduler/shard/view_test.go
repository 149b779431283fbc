package shard_test

import (
	"maps"
	"testing"
	"testing/cryptotest"

	"github.com/ciro-network/ciro/scheduler/shard"
)

// TestBehind: the leader, and nobody else, can tell how far each voter is.
func TestBehind(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	b := newBus(t, shard.Params{})
	play := func(lines ...[]string) {
		for _, c := range lines {
			b.command(c)
		}
	}
	want := func(when string, w map[string]uint64) {
		t.Helper()
		if got := b.boxes["a"].rep.Behind(); !maps.Equal(got, w) {
			t.Errorf("%s: %v, want %v", when, got, w)
		}
	}
	play([]string{"found", "a"}, []string{"candidates", "a", "b", "c"}, []string{"nodes", "b", "c"}, []string{"run", "6s"})
	want("in peace", map[string]uint64{"a": 0, "b": 0, "c": 0})
	index := b.boxes["a"].rep.State().Index
	play([]string{"isolate", "b"}, []string{"submit", "one"}, []string{"run", "200ms"})
	lacks := b.boxes["a"].rep.State().Index - index
	if lacks == 0 {
		t.Fatal("nothing was committed while b was away")
	}
	want("without b", map[string]uint64{"a": 0, "b": lacks, "c": 0})
	play([]string{"heal"}, []string{"run", "2s"})
	want("after", map[string]uint64{"a": 0, "b": 0, "c": 0})
	for _, n := range []string{"b", "c"} {
		if got := b.boxes[n].rep.Behind(); got != nil {
			t.Errorf("%s, which does not lead, says %v", n, got)
		}
	}
}
