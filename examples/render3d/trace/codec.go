package trace

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
)

// magic begins every scene file; its last byte is the version.
const magic = "CIROMSH\x01"

// ErrScene is wrapped by every refusal of a scene file.
var ErrScene = errors.New("not a usable scene")

// Encode returns m as a scene file: the magic, the view and light and materials as little-endian
// values, then vertices and triangles as differences in variable-length integers, which compress well.
func (m *Mesh) Encode() []byte {
	b := []byte(magic)
	for _, part := range []any{m.View, m.Light, uint32(len(m.Materials)), m.Materials,
		uint32(len(m.Vertices)), uint32(len(m.Triangles))} {
		// The parts are of fixed size, so Append cannot fail.
		b, _ = binary.Append(b, binary.LittleEndian, part)
	}
	var last [3]int32
	for axis := range 3 {
		for _, v := range m.Vertices {
			b = binary.AppendVarint(b, int64(v[axis])-int64(last[axis]))
			last[axis] = v[axis]
		}
	}
	var prev Triangle
	for _, t := range m.Triangles {
		b = binary.AppendVarint(b, int64(t.A)-int64(prev.A))
		b = binary.AppendVarint(b, int64(t.B)-int64(t.A))
		b = binary.AppendVarint(b, int64(t.C)-int64(t.A))
		b = binary.AppendVarint(b, int64(t.Material)-int64(prev.Material))
		prev = t
	}
	return b
}

// Decode reads a scene file. The bytes may come from anyone: sizes are bounded
// and checked before anything is made room for. Errors wrap [ErrScene].
func Decode(b []byte) (*Mesh, error) {
	if len(b) < len(magic) || string(b[:len(magic)]) != magic {
		return nil, fmt.Errorf("%w: it does not begin with the mark of a scene file", ErrScene)
	}
	r := reader{rest: b[len(magic):]}
	m := &Mesh{}
	r.fixed(&m.View)
	r.fixed(&m.Light)
	m.Materials = make([]Material, r.count("materials", maxMaterials))
	r.fixed(m.Materials)
	vertices, triangles := r.count("vertices", maxVertices), r.count("triangles", maxTriangles)
	if r.err == nil && len(r.rest) < 3*vertices+4*triangles {
		r.err = fmt.Errorf("%w: it ends before its %d vertices and %d triangles do", ErrScene, vertices, triangles)
	}
	if r.err != nil {
		return nil, r.err
	}
	m.Vertices = make([][3]int32, vertices)
	m.Triangles = make([]Triangle, triangles)
	r.geometry(m)
	if r.err == nil && len(r.rest) > 0 {
		r.err = fmt.Errorf("%w: %d bytes follow its end", ErrScene, len(r.rest))
	}
	if r.err != nil {
		return nil, r.err
	}
	return m, m.check()
}

// reader takes values off the front of rest until the first error.
type reader struct {
	rest []byte
	err  error
}

func (r *reader) fixed(v any) {
	if r.err != nil {
		return
	}
	n, err := binary.Decode(r.rest, binary.LittleEndian, v)
	if err != nil {
		r.err = fmt.Errorf("%w: header: %w", ErrScene, err)
		return
	}
	r.rest = r.rest[n:]
}

func (r *reader) count(what string, limit uint32) int {
	var n uint32
	r.fixed(&n)
	if r.err == nil && (n == 0 || n > limit) {
		r.err = fmt.Errorf("%w: %d %s, want 1 to %d", ErrScene, n, what, limit)
	}
	if r.err != nil {
		return 0
	}
	return int(n)
}

// step adds the next difference to from; the sum must be within [low, high].
func (r *reader) step(from, low, high int64) int64 {
	if r.err != nil {
		return low
	}
	d, n := binary.Varint(r.rest)
	if n <= 0 {
		r.err = fmt.Errorf("%w: it is cut short", ErrScene)
		return low
	}
	r.rest = r.rest[n:]
	if d > math.MaxUint32 || d < -math.MaxUint32 || from+d < low || from+d > high {
		r.err = fmt.Errorf("%w: a vertex or an index is out of range", ErrScene)
		return low
	}
	return from + d
}

func (r *reader) geometry(m *Mesh) {
	for axis := range 3 {
		var last int64
		for i := range m.Vertices {
			last = r.step(last, math.MinInt32, math.MaxInt32)
			m.Vertices[i][axis] = int32(last)
		}
	}
	vertices, materials := int64(len(m.Vertices)-1), int64(len(m.Materials)-1)
	var a, material int64
	for i := range m.Triangles {
		a = r.step(a, 0, vertices)
		b := r.step(a, 0, vertices)
		c := r.step(a, 0, vertices)
		material = r.step(material, 0, materials)
		m.Triangles[i] = Triangle{uint32(a), uint32(b), uint32(c), uint32(material)}
	}
}

// check refuses values that decode but cannot be drawn.
func (m *Mesh) check() error {
	v, l := m.View, m.Light
	all := []float32{v.Slope, l.SunSize}
	for _, c := range [][3]float32{v.Eye, v.Target, l.Zenith, l.Horizon, l.Glow, l.Sun, l.SunColor} {
		all = append(all, c[:]...)
	}
	for i, mat := range m.Materials {
		if mat.Surface >= surfaces {
			return fmt.Errorf("%w: material %d has the unknown surface %d", ErrScene, i, mat.Surface)
		}
		for _, c := range append(mat.Color[:], mat.Roughness) {
			if !(c >= 0 && c <= 1) {
				return fmt.Errorf("%w: material %d has a value of %v, want 0 to 1", ErrScene, i, c)
			}
		}
	}
	for _, f := range all {
		if !(f > -1e6 && f < 1e6) {
			return fmt.Errorf("%w: a view or light value of %v", ErrScene, f)
		}
	}
	if !(v.Slope > 0) || v.Eye == v.Target || l.Sun == [3]float32{} || !(l.SunSize >= 0) {
		return fmt.Errorf("%w: the camera or the sun points nowhere", ErrScene)
	}
	return nil
}
