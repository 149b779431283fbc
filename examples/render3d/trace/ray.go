package trace

import "math"

// tracer holds what one call of Render changes while it walks rays through a
// scene. Its fields are reused so that tracing allocates nothing.
type tracer struct {
	*Scene
	sampler
	beam beam

	// The nearest hit of the last closest or shadowed: distance, face, and
	// barycentric weights of the face's second and third corner.
	dist, u, v float64
	hit        int32

	// Boxes still to be visited; the tree is lower than that.
	stack [64]int32
}

// closest finds the first face along the ray and reports whether there is one.
func (t *tracer) closest(o, d vec) bool {
	t.walk(o, d, false)
	return t.hit >= 0
}

// shadowed reports whether anything lies on the ray.
func (t *tracer) shadowed(o, d vec) bool {
	t.walk(o, d, true)
	return t.hit >= 0
}

// walk visits the boxes that the ray enters, the nearer child first. With any
// set it ends at the first face found, be it the nearest or not.
//
// Its loop is most of all work, and its form was measured: a chain of
// comparisons that ends at the first that fails is a third faster in the sandbox than taking
// minima and maxima, since Go's wasm code pays for every branch taken.
func (t *tracer) walk(o, d vec, any bool) {
	t.dist, t.hit = math.Inf(1), -1
	ix, iy, iz := inverse(d.x), inverse(d.y), inverse(d.z)
	ax, ay, az := math.Abs(ix), math.Abs(iy), math.Abs(iz)
	back := [4]bool{ix < 0, iy < 0, iz < 0}
	nodes, limit, sp := t.nodes, math.Inf(1), 0
	for at := int32(0); ; {
		n := &nodes[at]
		// Along each axis the ray is inside the box from mid-half to mid+half.
		mid, half := float64((n.center.x-o.x)*ix), float64(n.half.x*ax)
		in, out := mid-half, mid+half
		mid, half = float64((n.center.y-o.y)*iy), float64(n.half.y*ay)
		inY, outY := mid-half, mid+half
		mid, half = float64((n.center.z-o.z)*iz), float64(n.half.z*az)
		inZ, outZ := mid-half, mid+half
		if inY <= out && in <= outY && inZ <= out && in <= outZ && inZ <= outY && inY <= outZ &&
			out >= 0 && outY >= 0 && outZ >= 0 && in <= limit && inY <= limit && inZ <= limit {
			if n.count == 0 {
				if back[n.axis&3] {
					t.stack[sp&63], at = at+1, n.first
				} else {
					t.stack[sp&63], at = n.first, at+1
				}
				sp++
				continue
			}
			t.leaf(n, o, d)
			limit = t.dist
			if any && t.hit >= 0 {
				return
			}
		}
		if sp == 0 {
			return
		}
		sp--
		at = t.stack[sp&63]
	}
}

// bit returns 1 for true.
func bit(b bool) int32 {
	if b {
		return 1
	}
	return 0
}

// inverse returns 1/v, bounded so that its products stay numbers.
func inverse(v float64) float64 {
	if math.Abs(v) < 1e-30 {
		return 1e30
	}
	return 1 / v
}

// leaf tests the ray against the faces of n (Möller and Trumbore). A face seen
// edge-on gives infinities, which fail the one comparison at the end.
func (t *tracer) leaf(n *node, o, d vec) {
	faces := t.faces[n.first : n.first+int32(n.count)]
	for i := range faces {
		f := &faces[i]
		px := float64(d.y*f.ac.z) - float64(d.z*f.ac.y)
		py := float64(d.z*f.ac.x) - float64(d.x*f.ac.z)
		pz := float64(d.x*f.ac.y) - float64(d.y*f.ac.x)
		inv := 1 / (float64(f.ab.x*px) + float64(f.ab.y*py) + float64(f.ab.z*pz))
		sx, sy, sz := o.x-f.a.x, o.y-f.a.y, o.z-f.a.z
		u := float64((float64(sx*px) + float64(sy*py) + float64(sz*pz)) * inv)
		qx := float64(sy*f.ab.z) - float64(sz*f.ab.y)
		qy := float64(sz*f.ab.x) - float64(sx*f.ab.z)
		qz := float64(sx*f.ab.y) - float64(sy*f.ab.x)
		v := float64((float64(d.x*qx) + float64(d.y*qy) + float64(d.z*qz)) * inv)
		dist := float64((float64(f.ac.x*qx) + float64(f.ac.y*qy) + float64(f.ac.z*qz)) * inv)
		if bit(u >= 0)&bit(v >= 0)&bit(u+v <= 1)&bit(dist > 0)&bit(dist < t.dist) != 0 {
			t.dist, t.u, t.v, t.hit = dist, u, v, n.first+int32(i)
		}
	}
}
