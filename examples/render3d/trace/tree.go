package trace

import "math"

// leafSize is the number of faces below which a node is not split further.
const leafSize = 4

// bins is into how many slices a node is cut to look for its best split.
const bins = 12

// depthLimit bounds the tree's height and so the stack that a ray needs: from
// half of it on, nodes are halved by number, which ends within 20 levels.
const depthLimit = 60

// box is an axis-aligned box: lower corner, then upper corner.
type box [6]float64

func emptyBox() box {
	inf := math.Inf(1)
	return box{inf, inf, inf, -inf, -inf, -inf}
}

func newBox(points ...vec) box {
	b := emptyBox()
	for _, p := range points {
		b.join(&box{p.x, p.y, p.z, p.x, p.y, p.z})
	}
	return b
}

func (b *box) join(o *box) {
	for i := range 3 {
		if o[i] < b[i] {
			b[i] = o[i]
		}
		if o[i+3] > b[i+3] {
			b[i+3] = o[i+3]
		}
	}
}

// area returns half the box's surface.
func (b *box) area() float64 {
	x, y, z := b[3]-b[0], b[4]-b[1], b[5]-b[2]
	if x < 0 {
		return 0
	}
	return float64(x*y) + float64(y*z) + float64(z*x)
}

// node is one box of the hierarchy. A leaf has count > 0 and holds the faces
// from first on; an inner node's children are the next node and the one at first.
// The box is kept as its center and half its extent, which costs a ray the
// fewest branches.
type node struct {
	center, half vec
	first        int32
	count        int16
	axis         int16
}

// bound gives n the box b, a little wider so that rounding excludes nothing.
func (n *node) bound(b *box) {
	const margin = 1e-9
	n.center = vec{b[0] + b[3], b[1] + b[4], b[2] + b[5]}.scale(0.5)
	n.half = vec{b[3] - b[0], b[4] - b[1], b[5] - b[2]}.scale(0.5).add(vec{margin, margin, margin})
}

// tree is a bounding-volume hierarchy in depth-first order, split by the
// surface-area heuristic over slices of the longest axis.
type tree struct {
	nodes   []node
	order   []int32 // faces in the order the leaves name them
	boxes   []box
	centers []vec
}

// newTree builds the hierarchy over boxes, of which there is at least one.
func newTree(boxes []box) *tree {
	t := &tree{boxes: boxes, order: make([]int32, len(boxes)), centers: make([]vec, len(boxes))}
	t.nodes = make([]node, 0, 2*len(boxes))
	for i := range boxes {
		b := &boxes[i]
		t.order[i] = int32(i)
		t.centers[i] = vec{b[0] + b[3], b[1] + b[4], b[2] + b[5]}
	}
	t.build(0, len(boxes), 0)
	return t
}

// build appends the node over order[lo:hi] and its descendants.
func (t *tree) build(lo, hi, depth int) {
	at := len(t.nodes)
	t.nodes = append(t.nodes, node{first: int32(lo), count: int16(hi - lo)})
	whole, centers := emptyBox(), emptyBox()
	for _, i := range t.order[lo:hi] {
		whole.join(&t.boxes[i])
		c := t.centers[i]
		centers.join(&box{c.x, c.y, c.z, c.x, c.y, c.z})
	}
	t.nodes[at].bound(&whole)
	if hi-lo <= leafSize {
		return
	}
	axis, mid := t.split(lo, hi, &centers)
	if depth >= depthLimit/2 || mid == lo || mid == hi {
		// No plane divides it, or planes divide it too unevenly.
		mid = (lo + hi) / 2
	}
	t.build(lo, mid, depth+1)
	t.nodes[at].first, t.nodes[at].count, t.nodes[at].axis = int32(len(t.nodes)), 0, int16(axis)
	t.build(mid, hi, depth+1)
}

// split partitions order[lo:hi] at the cheapest plane across its longest axis
// and returns that axis and where the second half begins.
func (t *tree) split(lo, hi int, centers *box) (axis, mid int) {
	for a := range 3 {
		if centers[a+3]-centers[a] > centers[axis+3]-centers[axis] {
			axis = a
		}
	}
	low, extent := centers[axis], centers[axis+3]-centers[axis]
	if extent <= 0 {
		return axis, lo
	}
	scale := bins / extent
	plane := t.cheapest(t.order[lo:hi], axis, low, scale)
	mid = lo
	for i := lo; i < hi; i++ {
		if binOf(t.centers[t.order[i]].axis(axis), low, scale) <= plane {
			t.order[i], t.order[mid] = t.order[mid], t.order[i]
			mid++
		}
	}
	return axis, mid
}

// cheapest returns the last bin before the plane of the lowest cost.
func (t *tree) cheapest(faces []int32, axis int, low, scale float64) (plane int) {
	var boxes [bins]box
	var counts [bins]int
	for i := range boxes {
		boxes[i] = emptyBox()
	}
	for _, f := range faces {
		b := binOf(t.centers[f].axis(axis), low, scale)
		boxes[b].join(&t.boxes[f])
		counts[b]++
	}
	var above [bins]float64
	right, n := emptyBox(), 0
	for i := bins - 1; i > 0; i-- {
		right.join(&boxes[i])
		n += counts[i]
		above[i] = float64(right.area() * float64(n))
	}
	cost := math.Inf(1)
	left, n := emptyBox(), 0
	for i := range bins - 1 {
		left.join(&boxes[i])
		n += counts[i]
		if c := float64(left.area()*float64(n)) + above[i+1]; n > 0 && n < len(faces) && c < cost {
			cost, plane = c, i
		}
	}
	return plane
}

func binOf(v, low, scale float64) int {
	b := int(float64((v - low) * scale))
	if b >= bins {
		return bins - 1
	}
	return b
}
