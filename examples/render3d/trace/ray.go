package trace

import "math"

// tracer holds what one call of Render changes while it walks rays through a
// scene. Its fields are reused so that tracing allocates nothing.
type tracer struct {
	*Scene
	sampler

	// The nearest hit of the last closest or shadowed: distance, face, and
	// barycentric weights of the face's second and third corner.
	dist, u, v float64
	hit        int32

	stack [depthLimit + 4]int32
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
func (t *tracer) walk(o, d vec, any bool) {
	t.dist, t.hit = math.Inf(1), -1
	ix, iy, iz := 1/d.x, 1/d.y, 1/d.z
	var near [3]int // offset of the face of a box by which the ray enters
	if ix < 0 {
		near[0] = 3
	}
	if iy < 0 {
		near[1] = 3
	}
	if iz < 0 {
		near[2] = 3
	}
	nx, ny, nz := near[0], near[1]+1, near[2]+2
	fx, fy, fz := 3-near[0], 4-near[1], 5-near[2]
	nodes, sp := t.nodes, 0
	for at := int32(0); ; {
		n := &nodes[at]
		// Not-a-number, from a ray within a face of the box, fails every comparison
		// and so never excludes the box.
		in, out := float64((n.box[nx]-o.x)*ix), float64((n.box[fx]-o.x)*ix)
		if v := float64((n.box[ny] - o.y) * iy); v > in {
			in = v
		}
		if v := float64((n.box[fy] - o.y) * iy); v < out {
			out = v
		}
		if v := float64((n.box[nz] - o.z) * iz); v > in {
			in = v
		}
		if v := float64((n.box[fz] - o.z) * iz); v < out {
			out = v
		}
		if !(in > out || out < 0 || in > t.dist) {
			if n.count == 0 {
				if near[n.axis] == 0 {
					t.stack[sp], at = n.first, at+1
				} else {
					t.stack[sp], at = at+1, n.first
				}
				sp++
				continue
			}
			t.leaf(n, o, d)
			if any && t.hit >= 0 {
				return
			}
		}
		if sp == 0 {
			return
		}
		sp--
		at = t.stack[sp]
	}
}

// leaf tests the ray against the faces of n (Möller and Trumbore).
func (t *tracer) leaf(n *node, o, d vec) {
	for i := n.first; i < n.first+int32(n.count); i++ {
		f := &t.faces[i]
		px := float64(d.y*f.ac.z) - float64(d.z*f.ac.y)
		py := float64(d.z*f.ac.x) - float64(d.x*f.ac.z)
		pz := float64(d.x*f.ac.y) - float64(d.y*f.ac.x)
		det := float64(f.ab.x*px) + float64(f.ab.y*py) + float64(f.ab.z*pz)
		if det == 0 {
			continue
		}
		inv := 1 / det
		sx, sy, sz := o.x-f.a.x, o.y-f.a.y, o.z-f.a.z
		u := float64((float64(sx*px) + float64(sy*py) + float64(sz*pz)) * inv)
		if u < 0 || u > 1 {
			continue
		}
		qx := float64(sy*f.ab.z) - float64(sz*f.ab.y)
		qy := float64(sz*f.ab.x) - float64(sx*f.ab.z)
		qz := float64(sx*f.ab.y) - float64(sy*f.ab.x)
		v := float64((float64(d.x*qx) + float64(d.y*qy) + float64(d.z*qz)) * inv)
		if v < 0 || u+v > 1 {
			continue
		}
		dist := float64((float64(f.ac.x*qx) + float64(f.ac.y*qy) + float64(f.ac.z*qz)) * inv)
		if dist > 0 && dist < t.dist {
			t.dist, t.u, t.v, t.hit = dist, u, v, i
		}
	}
}
