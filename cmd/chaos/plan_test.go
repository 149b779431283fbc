package main

import (
	"reflect"
	"slices"
	"testing"
	"time"
)

func steps(seed uint64, n int) (out []Step) {
	p := NewPlanner(seed, 7, allKinds)
	for range n {
		out = append(out, p.Next())
	}
	return out
}

func TestPlanRepeats(t *testing.T) {
	if !reflect.DeepEqual(steps(7, 60), steps(7, 60)) {
		t.Error("the same seed gives different plans")
	}
	if reflect.DeepEqual(steps(7, 60), steps(8, 60)) {
		t.Error("two seeds give the same plan")
	}
}

func TestPlanUsesAll(t *testing.T) {
	for seed := range uint64(50) {
		plan := steps(seed, 200)
		seen := map[Kind]int{}
		pairs := 0
		for i, s := range plan {
			seen[s.Kind]++
			if i == len(allKinds)-1 && len(seen) != len(allKinds) {
				t.Errorf("seed %d: the first %d steps have only %v", seed, len(allKinds), seen)
			}
			if s.Lasts < time.Second || s.Lasts > 12*time.Second {
				t.Errorf("seed %d step %d: it lasts %v", seed, i, s.Lasts)
			}
			if p := slices.Sorted(slices.Values(s.Prefer)); !slices.Equal(p, []int{0, 1, 2, 3, 4, 5, 6}) {
				t.Errorf("seed %d step %d: prefers %v", seed, i, s.Prefer)
			}
			if s.With != nil {
				pairs++
				if s.With.Kind == s.Kind || s.Kind == LostDisk || !slices.Contains(companions, s.With.Kind) {
					t.Errorf("seed %d step %d: %s with %s", seed, i, s.Kind, s.With.Kind)
				}
			}
		}
		if pairs < 20 {
			t.Errorf("seed %d: only %d of 200 steps have a companion", seed, pairs)
		}
	}
}

// TestPlanLater draws again what could not be made, and only what is allowed.
func TestPlanLater(t *testing.T) {
	allowed := []Kind{KillWorker, Pause}
	p := NewPlanner(1, 7, allowed)
	p.Next()
	last := p.Next().Kind
	if p.Pending() {
		t.Error("two kinds of two have come and one is pending")
	}
	p.Later(last)
	p.Later(last)
	if got := p.Next().Kind; got != last || p.Pending() {
		t.Errorf("%s was put off, and %s came", last, got)
	}
	for range 100 {
		s := p.Next()
		if !slices.Contains(allowed, s.Kind) || s.With != nil && !slices.Contains(allowed, s.With.Kind) {
			t.Errorf("%+v is not allowed", s)
		}
	}
}
