package main

import (
	"math"

	"github.com/ciro-network/ciro/examples/render3d/trace"
)

// builder adds shapes to a mesh. Coordinates: x right, y up, z towards the
// camera; the water's level is y = 0.
type builder struct{ mesh *trace.Mesh }

// ball is a sphere that lies on the dais.
type ball struct {
	x, z, radius float64
	material     trace.Material
}

type point struct{ x, y, z float64 }

func (p point) add(q point) point     { return point{p.x + q.x, p.y + q.y, p.z + q.z} }
func (p point) scale(s float64) point { return point{p.x * s, p.y * s, p.z * s} }
func (p point) dot(q point) float64   { return p.x*q.x + p.y*q.y + p.z*q.z }
func (p point) unit() point           { return p.scale(1 / math.Sqrt(p.dot(p))) }
func (p point) cross(q point) point {
	return point{p.y*q.z - p.z*q.y, p.z*q.x - p.x*q.z, p.x*q.y - p.y*q.x}
}

func (b *builder) paint(m trace.Material) uint32 {
	b.mesh.Materials = append(b.mesh.Materials, m)
	return uint32(len(b.mesh.Materials) - 1)
}

// grid adds rows × columns of quadrilaterals through at(i, j), 0 <= i <= rows,
// 0 <= j <= columns. A wrapped direction joins its end to its beginning.
type grid struct {
	rows, columns         int
	wrapRows, wrapColumns bool
	material              uint32
	at                    func(i, j int) point
}

func (b *builder) grid(g grid) {
	high, wide := g.rows+1, g.columns+1
	if g.wrapRows {
		high--
	}
	if g.wrapColumns {
		wide--
	}
	first := len(b.mesh.Vertices)
	for i := range high {
		for j := range wide {
			p := g.at(i, j)
			b.mesh.Vertices = append(b.mesh.Vertices, [3]int32{steps(p.x), steps(p.y), steps(p.z)})
		}
	}
	index := func(i, j int) uint32 { return uint32(first + i%high*wide + j%wide) }
	for i := range g.rows {
		for j := range g.columns {
			p, q, r, s := index(i, j), index(i, j+1), index(i+1, j+1), index(i+1, j)
			b.triangle(trace.Triangle{A: p, B: q, C: r, Material: g.material})
			b.triangle(trace.Triangle{A: p, B: r, C: s, Material: g.material})
		}
	}
}

// triangle adds t unless two of its corners are one place, as at a pole.
func (b *builder) triangle(t trace.Triangle) {
	v := b.mesh.Vertices
	if v[t.A] != v[t.B] && v[t.B] != v[t.C] && v[t.C] != v[t.A] {
		b.mesh.Triangles = append(b.mesh.Triangles, t)
	}
}

func steps(v float64) int32 { return int32(math.Round(v * trace.Steps)) }

// strand adds one of the three strands that wind around a trefoil knot.
func (b *builder) strand(number int, material uint32) {
	const (
		segments, around = 420, 10
		turns            = 13 // of the strands around the knot
		spread, thick    = 0.33, 0.295
		size, height     = 0.60, 2.62
	)
	center := func(t float64) point {
		r := 2 + math.Cos(3*t)
		return point{r * math.Sin(2*t), -r * math.Cos(2*t), math.Sin(3 * t)}
	}
	// frame returns the knot's tangent at t and a direction across it that
	// points away from the circle around which the knot winds, so it closes.
	frame := func(t float64) (tangent, out point) {
		const h = 1e-4
		tangent = center(t + h).add(center(t - h).scale(-1)).unit()
		p := center(t)
		flat := math.Hypot(p.x, p.y)
		out = p.add(point{p.x / flat * 2, p.y / flat * 2, 0}.scale(-1))
		out = out.add(tangent.scale(-out.dot(tangent))).unit()
		return tangent, out
	}
	around3 := 2 * math.Pi / 3 * float64(number)
	line := func(t float64) point {
		tangent, out := frame(t)
		s, c := math.Sincos(turns*t + around3)
		return center(t).add(out.scale(spread * c)).add(tangent.cross(out).scale(spread * s))
	}
	b.grid(grid{segments, around, true, true, material, func(i, j int) point {
		const h = 1e-4
		t := 2 * math.Pi * float64(i) / segments
		tangent := line(t + h).add(line(t - h).scale(-1)).unit()
		_, out := frame(t)
		out = out.add(tangent.scale(-out.dot(tangent))).unit()
		s, c := math.Sincos(2 * math.Pi * float64(j) / around)
		p := line(t).add(out.scale(thick * c)).add(tangent.cross(out).scale(thick * s)).scale(size)
		s, c = math.Sincos(-0.38) // turned a little about the vertical
		return point{p.x*c + p.z*s, p.y + height, p.z*c - p.x*s}
	}})
}

// sphere adds a ball on the upper step of the dais.
func (b *builder) sphere(s ball, material uint32) {
	const rows, columns = 16, 28
	b.grid(grid{rows, columns, false, true, material, func(i, j int) point {
		sp, cp := math.Sincos(math.Pi * float64(i) / rows)
		st, ct := math.Sincos(2 * math.Pi * float64(j) / columns)
		return point{s.x + s.radius*sp*ct, daisTop + s.radius*(1+cp), s.z + s.radius*sp*st}
	}})
}

// daisTop is the height of the dais's upper surface.
const daisTop = 0.42

// dais adds three round steps with a dark inlay in the upper one.
func (b *builder) dais(light, dark uint32) {
	const columns = 96
	lathe := func(material uint32, profile ...[2]float64) {
		b.grid(grid{len(profile) - 1, columns, false, true, material, func(i, j int) point {
			s, c := math.Sincos(2 * math.Pi * float64(j) / columns)
			return point{profile[i][0] * c, profile[i][1], profile[i][0] * s}
		}})
	}
	const e = 0.02 // bevel
	lathe(light, [2]float64{1.55, daisTop}, [2]float64{2.75, daisTop})
	lathe(dark, [2]float64{2.75, daisTop}, [2]float64{2.95, daisTop})
	lathe(light, [2]float64{2.95, daisTop}, [2]float64{3.3 - e, daisTop}, [2]float64{3.3, daisTop - e},
		[2]float64{3.3, 0.28}, [2]float64{3.75 - e, 0.28}, [2]float64{3.75, 0.28 - e},
		[2]float64{3.75, 0.14}, [2]float64{4.25 - e, 0.14}, [2]float64{4.25, 0.14 - e}, [2]float64{4.25, -0.6})
	lathe(dark, [2]float64{0, daisTop}, [2]float64{1.35, daisTop})
	lathe(light, [2]float64{1.35, daisTop}, [2]float64{1.55, daisTop})
}

// water adds the sea: a fan of rings around the dais, finer where it is near, with long
// low waves that die out where they would be smaller than a pixel.
func (b *builder) water(material uint32) {
	const rows, columns = 52, 84
	b.grid(grid{rows, columns, false, true, material, func(i, j int) point {
		r := 4 * math.Pow(1000/4.0, math.Pow(float64(i)/rows, 1.35))
		s, c := math.Sincos(2 * math.Pi * (float64(j) + 0.5*float64(i%2)) / columns)
		x, z := r*c, r*s
		h := math.Sin(1.9*x+0.6*z) + 0.8*math.Sin(1.1*z-1.7*x+1) + 0.7*math.Sin(2.6*z+0.5*x+2)
		return point{x, 0.011 * h * math.Exp(-r/22), z}
	}})
}

// mountains adds a ragged half ring of hills far behind the dais.
func (b *builder) mountains(material uint32) {
	const rows, columns = 14, 130
	b.grid(grid{rows, columns, false, false, material, func(i, j int) point {
		angle := math.Pi * (1.12 + 0.76*float64(j)/columns)
		r := 95 + 60*float64(i)/rows
		x, z := r*math.Cos(angle), r*math.Sin(angle)
		rise := math.Sin(math.Pi * float64(i) / rows)
		side := math.Abs(float64(j)/columns-0.47) * 2
		h := (3 + 13*ridges(x*0.028, z*0.028)) * (0.25 + 0.95*side*side)
		return point{x, h*rise - 0.4, z}
	}})
}

// ridges returns fractal noise with sharp crests, about 0 to 1.
func ridges(x, z float64) float64 {
	sum, weight := 0.0, 0.55
	for range 5 {
		sum += weight * (1 - math.Abs(2*noise(x, z)-1))
		x, z, weight = 2.03*x+17.3, 2.03*z+5.1, weight*0.47
	}
	return sum
}

// noise interpolates random values at whole numbers, 0 to 1.
func noise(x, z float64) float64 {
	fx, fz := math.Floor(x), math.Floor(z)
	u, v := x-fx, z-fz
	u, v = u*u*(3-2*u), v*v*(3-2*v)
	at := func(i, j int64) float64 {
		h := uint64(i)*0x9e3779b97f4a7c15 ^ uint64(j)*0xc2b2ae3d27d4eb4f
		h = (h ^ h>>29) * 0xbf58476d1ce4e5b9
		return float64((h^h>>32)>>11&(1<<53-1)) / (1 << 53)
	}
	i, j := int64(fx), int64(fz)
	near := at(i, j)*(1-u) + at(i+1, j)*u
	far := at(i, j+1)*(1-u) + at(i+1, j+1)*u
	return near*(1-v) + far*v
}
