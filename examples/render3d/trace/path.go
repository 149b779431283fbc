package trace

import "math"

const (
	bounces = 5    // segments of a path at most, the first one included
	keen    = 1.5  // a path ends early with a chance as soon as its weight is below 1/keen
	keenest = 8.0  // the same for what the eye sees directly, where noise shows most
	epsilon = 1e-6 // how far a new ray starts off its surface
	outlier = 10.0 // most that light over two or more bounces may add
	glass   = 0.04 // reflectance of a clear coat, seen head-on
)

// surface is the place that a ray has hit.
type surface struct {
	at, flat, normal vec // both normals look against the ray
	paint            *paint
}

// path returns the light that arrives at the camera from direction d, which is
// within the beam of the last aim.
func (t *tracer) path(d vec) vec {
	o := t.camera.eye
	var sum vec
	weight := vec{1, 1, 1}
	mirrored := true // the eye still sees the sun, if only by mirrors
	for depth := range bounces {
		found := false
		if depth == 0 {
			found = t.first(o, d)
		} else {
			found = t.closest(o, d)
		}
		if !found {
			return sum.add(bound(t.sky.radiance(d, mirrored).mul(weight), depth))
		}
		s := t.surface(o, d)
		o = s.at
		bounced := t.reflects(&s, d, &weight)
		if bounced {
			d = t.glance(&s, d, &weight)
		} else {
			weight = weight.mul(s.paint.color)
			sum = sum.add(bound(t.sunlight(&s).mul(weight), depth))
			d = t.scatter(&s)
			mirrored = false
		}
		if d.dot(s.flat) <= 0 {
			return sum // the smoothed normal led into the surface
		}
		p := float64(keen * weight.largest())
		if depth == 0 {
			p = float64(keenest * weight.largest())
		}
		if p < 1 {
			if t.random() >= p {
				return sum
			}
			weight = weight.scale(1 / p)
		}
	}
	return sum
}

// bound keeps indirect light below outlier.
func bound(c vec, depth int) vec {
	if m := c.largest(); depth > 0 && m > outlier {
		return c.scale(outlier / m)
	}
	return c
}

// surface describes the hit of the last closest.
func (t *tracer) surface(o, d vec) surface {
	f, fin := &t.faces[t.hit], &t.finishes[t.hit]
	s := surface{flat: f.ab.cross(f.ac).unit(), paint: &t.paints[fin.material]}
	if s.flat.dot(d) > 0 {
		s.flat = s.flat.scale(-1)
	}
	s.normal = s.flat
	if s.paint.smooth {
		n := fin.na.scale(1 - t.u - t.v).add(fin.nb.scale(t.u)).add(fin.nc.scale(t.v)).unit()
		if n.dot(s.flat) < 0 {
			n = n.scale(-1)
		}
		if n.dot(d) < 0 {
			s.normal = n
		}
	}
	s.at = o.add(d.scale(t.dist)).add(s.flat.scale(epsilon))
	return s
}

// reflects decides whether the path goes on from the outermost layer. The
// clear coat is chosen in proportion to the light it is expected to return, and
// the weight is corrected for that.
func (t *tracer) reflects(s *surface, d vec, weight *vec) bool {
	switch s.paint.surface {
	case Metal:
		return true
	case Coated:
		f := glass + float64((1-glass)*schlick(s.normal, d))
		p := f / (f + float64((1-f)*s.paint.color.largest()))
		if t.draw() < p {
			*weight = weight.scale(f / p)
			return true
		}
		*weight = weight.scale((1 - f) / (1 - p))
	}
	return false
}

// schlick returns how much of the way to a full reflection the angle is.
func schlick(n, d vec) float64 {
	k := 1 + n.dot(d)
	if k < 0 {
		return 0
	}
	k2 := float64(k * k)
	return float64(float64(k2*k2) * k)
}

// glance returns the mirrored direction, blurred by the roughness, and tints
// the weight of a path that a metal reflects.
func (t *tracer) glance(s *surface, d vec, weight *vec) vec {
	if s.paint.surface == Metal {
		c := s.paint.color
		k := schlick(s.normal, d)
		*weight = weight.mul(vec{c.x + float64((1-c.x)*k), c.y + float64((1-c.y)*k), c.z + float64((1-c.z)*k)})
	}
	r := d.sub(s.normal.scale(float64(2 * d.dot(s.normal))))
	if s.paint.rough > 0 {
		r = r.add(t.ball().scale(s.paint.rough)).unit()
	}
	if h := r.dot(s.flat); h <= 0 {
		r = r.sub(s.flat.scale(float64(2 * h))).unit()
	}
	return r
}

// ball returns an evenly distributed unit vector.
func (t *tracer) ball() vec {
	sin, cos := sincos(t.draw())
	z := float64(2*t.draw()) - 1
	r := math.Sqrt(1 - float64(z*z))
	return vec{float64(r * cos), float64(r * sin), z}
}

// sunlight returns the light of the sun that s scatters, before its colour.
func (t *tracer) sunlight(s *surface) vec {
	u, v := t.draw(), t.draw()
	if s.normal.dot(t.sky.sun) < -t.sky.sunSize {
		return vec{}
	}
	to := t.sky.toSun(u, v)
	cos := to.dot(s.normal)
	if cos <= 0 || to.dot(s.flat) <= 0 || t.shadowed(s.at, to) {
		return vec{}
	}
	return t.sky.sunColor.scale(cos)
}

// scatter returns a direction over s, the likelier the nearer its normal.
func (t *tracer) scatter(s *surface) vec {
	sin, cos := sincos(t.draw())
	v := t.draw()
	r, up := math.Sqrt(v), math.Sqrt(1-v)
	x, y := basis(s.normal)
	return x.scale(float64(r * cos)).add(y.scale(float64(r * sin))).add(s.normal.scale(up)).unit()
}
