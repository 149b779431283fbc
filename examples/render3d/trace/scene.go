package trace

// face is what the intersection test reads: a corner and two edges.
type face struct{ a, ab, ac vec }

// finish is what shading reads once a face has been hit.
type finish struct {
	na, nb, nc vec // unit normals at the corners
	material   uint32
}

// paint is a material ready for shading.
type paint struct {
	color   vec
	rough   float64
	surface Surface
	smooth  bool
}

// Scene is a mesh ready to be rendered. It is immutable.
type Scene struct {
	nodes    []node
	faces    []face
	finishes []finish
	paints   []paint
	sky      sky
	camera   camera
}

// Read decodes a scene file and prepares it. Errors wrap [ErrScene].
func Read(b []byte) (*Scene, error) {
	m, err := Decode(b)
	if err != nil {
		return nil, err
	}
	return Prepare(m), nil
}

// Prepare builds what rendering needs for m, which must be as [Decode] would
// return it.
func Prepare(m *Mesh) *Scene {
	points := make([]vec, len(m.Vertices))
	for i, v := range m.Vertices {
		points[i] = vec{float64(v[0]) / Steps, float64(v[1]) / Steps, float64(v[2]) / Steps}
	}
	s := &Scene{sky: newSky(m.Light), camera: newCamera(m.View)}
	for _, p := range m.Materials {
		s.paints = append(s.paints, paint{color: wide(p.Color), rough: float64(p.Roughness), surface: p.Surface, smooth: p.Smooth})
	}
	boxes := make([]box, len(m.Triangles))
	for i, t := range m.Triangles {
		boxes[i] = newBox(points[t.A], points[t.B], points[t.C])
	}
	tree := newTree(boxes)
	normals := vertexNormals(m, points)
	s.nodes = tree.nodes
	s.faces = make([]face, len(m.Triangles))
	s.finishes = make([]finish, len(m.Triangles))
	for i, from := range tree.order {
		t := m.Triangles[from]
		a := points[t.A]
		f := face{a: a, ab: points[t.B].sub(a), ac: points[t.C].sub(a)}
		s.faces[i] = f
		s.finishes[i] = finish{normals[t.A], normals[t.B], normals[t.C], t.Material}
	}
	return s
}

// Triangles returns how many triangles the scene has.
func (s *Scene) Triangles() int { return len(s.faces) }

// vertexNormals returns for every vertex the mean direction of the smooth
// faces around it, weighted by their areas.
func vertexNormals(m *Mesh, points []vec) []vec {
	normals := make([]vec, len(points))
	for _, t := range m.Triangles {
		if !m.Materials[t.Material].Smooth {
			continue
		}
		a := points[t.A]
		n := points[t.B].sub(a).cross(points[t.C].sub(a))
		for _, v := range [3]uint32{t.A, t.B, t.C} {
			normals[v] = normals[v].add(n)
		}
	}
	for i, n := range normals {
		normals[i] = n.unit()
	}
	return normals
}

func wide(c [3]float32) vec { return vec{float64(c[0]), float64(c[1]), float64(c[2])} }
