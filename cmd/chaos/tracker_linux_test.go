package main

import (
	"slices"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

func TestTracker(t *testing.T) {
	tr, at := newTracker(), time.Unix(1000, 0)
	event := func(after time.Duration, kind, cursor string, attempt int, worker string) {
		tr.event(api.Event{Job: "j", Kind: kind, Cursor: cursor, Attempt: attempt, Worker: worker}, at.Add(after))
	}
	event(0, api.EventAssigned, "3:1:0", 1, "w1")
	event(0, api.EventAssigned, "3:1:0", 1, "w1") // another observer
	if s := tr.standing(); s["w1"] != 1 {
		t.Fatalf("%v stand", s)
	}
	if n := tr.killed("w1", []int{3, 4}, at, true); n != 1 {
		t.Errorf("%d tasks were hit", n)
	}
	event(100*time.Millisecond, api.EventAccepted, "3:2:0", 0, "") // the old coordinator's
	if l := tr.leaderless(); !slices.Equal(l, []int{3, 4}) {
		t.Errorf("leaderless %v", l)
	}
	event(2*time.Second, api.EventAssigned, "3:3:0", 2, "w2")
	tr.accepted(api.Acceptance{Shard: 4}, at.Add(-time.Second)) // asked before the kill
	if l := tr.leaderless(); !slices.Equal(l, []int{4}) {
		t.Errorf("leaderless %v", l)
	}
	tr.accepted(api.Acceptance{Shard: 4}, at.Add(time.Second))
	clean, _, open := times(tr, &tr.failover)
	if len(clean) != 2 || clean[0] != 2*time.Second || open != 0 {
		t.Errorf("failover %v, %d open", clean, open)
	}
	// Its coordinator died too, so this is no clean sample.
	if clean, other, open := times(tr, &tr.moves); len(clean) != 0 || len(other) != 1 || other[0] != 2*time.Second || open != 0 {
		t.Errorf("moves %v and %v, %d open", clean, other, open)
	}
	event(3*time.Second, api.EventRequeued, "3:1:0", 1, "w1") // a slow observer
	if s := tr.standing(); s["w2"] != 1 {
		t.Errorf("%v stand", s)
	}
	event(3*time.Second, api.EventDone, "3:4:0", 2, "w2")
	if s := tr.standing(); len(s) != 0 {
		t.Errorf("%v stand", s)
	}
}

// TestNapModule looks at the sizes that a decoder would look at.
func TestNapModule(t *testing.T) {
	m := napModule(3 * time.Second)
	for i := 8; i < len(m); {
		i += 2 + int(m[i+1])
		if i > len(m) {
			t.Fatalf("a section ends at %d of %d bytes", i, len(m))
		}
	}
}
