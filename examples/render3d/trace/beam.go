package trace

import "math"

// beam is what all first rays of one pixel can meet: they differ so little that
// one walk through the tree finds the leaves for all of them.
type beam struct {
	leaves [96]int32   // nodes, roughly from near to far
	enter  [96]float64 // lower bounds of the distances at which rays enter them
	n      int
	full   bool // there were more leaves, so rays must walk by themselves
}

// aim collects the leaves that any ray from o may enter whose unit direction
// differs from d by no more than spread.
func (t *tracer) aim(o, d vec, spread float64) {
	t.beam.n, t.beam.full = 0, false
	inv := vec{inverse(d.x), inverse(d.y), inverse(d.z)}
	abs := vec{math.Abs(inv.x), math.Abs(inv.y), math.Abs(inv.z)}
	back := [4]bool{inv.x < 0, inv.y < 0, inv.z < 0}
	t.stack[0] = 0
	for sp := 1; sp > 0; {
		sp--
		at := t.stack[sp&63]
		n := &t.nodes[at]
		// At distance s a ray is within spread*s of the middle one, so none meets the
		// box that does not pass by this wider one. Far is at least the greatest s.
		to := n.center.sub(o)
		far := math.Abs(to.x) + math.Abs(to.y) + math.Abs(to.z) + n.half.x + n.half.y + n.half.z
		r := float64(spread * far)
		mid, half := to.mul(inv), n.half.add(vec{r, r, r}).mul(abs)
		in := mid.sub(half).largest()
		out := -half.add(mid).scale(-1).largest()
		if in > out || out < 0 {
			continue
		}
		if n.count > 0 {
			if t.beam.n == len(t.beam.leaves) {
				t.beam.full = true
				return
			}
			t.beam.leaves[t.beam.n], t.beam.enter[t.beam.n] = at, in
			t.beam.n++
			continue
		}
		near, last := at+1, n.first
		if back[n.axis&3] {
			near, last = last, near
		}
		t.stack[sp&63], t.stack[(sp+1)&63] = last, near
		sp += 2
	}
}

// first finds the first face along a ray of the beam, as closest would.
func (t *tracer) first(o, d vec) bool {
	if t.beam.full {
		return t.closest(o, d)
	}
	t.dist, t.hit = math.Inf(1), -1
	for i, at := range t.beam.leaves[:t.beam.n] {
		if t.beam.enter[i] <= t.dist {
			t.leaf(&t.nodes[at], o, d)
		}
	}
	return t.hit >= 0
}
