package trace

import "math"

// vec is a point, a direction or a linear colour.
type vec struct{ x, y, z float64 }

func (a vec) add(b vec) vec { return vec{a.x + b.x, a.y + b.y, a.z + b.z} }
func (a vec) sub(b vec) vec { return vec{a.x - b.x, a.y - b.y, a.z - b.z} }

// scale and mul round each product, so that a sum over them is never fused.
func (a vec) scale(s float64) vec {
	return vec{float64(a.x * s), float64(a.y * s), float64(a.z * s)}
}

func (a vec) mul(b vec) vec {
	return vec{float64(a.x * b.x), float64(a.y * b.y), float64(a.z * b.z)}
}

func (a vec) dot(b vec) float64 {
	return float64(a.x*b.x) + float64(a.y*b.y) + float64(a.z*b.z)
}

func (a vec) cross(b vec) vec {
	return vec{
		float64(a.y*b.z) - float64(a.z*b.y),
		float64(a.z*b.x) - float64(a.x*b.z),
		float64(a.x*b.y) - float64(a.y*b.x),
	}
}

// unit returns a at length one; the zero vector becomes straight up.
func (a vec) unit() vec {
	l := math.Sqrt(a.dot(a))
	if l == 0 {
		return vec{0, 1, 0}
	}
	return a.scale(1 / l)
}

func (a vec) axis(i int) float64 {
	switch i {
	case 0:
		return a.x
	case 1:
		return a.y
	}
	return a.z
}

// largest returns the greatest component.
func (a vec) largest() float64 {
	m := a.x
	if a.y > m {
		m = a.y
	}
	if a.z > m {
		m = a.z
	}
	return m
}

// sincos returns the sine and cosine of u turns, for u in [0, 1). The error is
// under 1e-7, far below what a sample needs, and the same on every machine.
func sincos(u float64) (sin, cos float64) {
	q := math.Floor(float64(u*4) + 0.5)
	a := float64((float64(u*4) - q) * (math.Pi / 2)) // within an eighth of a turn
	b := float64(a * a)
	s := float64(b*(-1.0/5040)) + 1.0/120
	s = float64(b*s) - 1.0/6
	s = float64(a * (float64(b*s) + 1))
	c := float64(b*(1.0/40320)) - 1.0/720
	c = float64(b*c) + 1.0/24
	c = float64(b*c) - 0.5
	c = float64(b*c) + 1
	switch int(q) & 3 {
	case 1:
		return c, -s
	case 2:
		return -s, -c
	case 3:
		return -c, s
	}
	return s, c
}

// basis returns two directions that make a right-angled frame with the unit
// vector n (Duff and others, "Building an orthonormal basis, revisited").
func basis(n vec) (t, b vec) {
	s := 1.0
	if n.z < 0 {
		s = -1
	}
	a := -1 / (s + n.z)
	xy := float64(float64(n.x*n.y) * a)
	t = vec{1 + float64(s*float64(float64(n.x*n.x)*a)), float64(s * xy), float64(-s * n.x)}
	b = vec{xy, s + float64(float64(n.y*n.y)*a), -n.y}
	return t, b
}
