package trace

// Surface says how a material treats light.
type Surface uint8

// The surfaces that a scene file may name.
const (
	// Diffuse scatters light evenly: chalk, sand, rock.
	Diffuse Surface = iota
	// Metal reflects all light, tinted by Color and blurred by Roughness.
	Metal
	// Coated has a diffuse body of Color under a clear layer that reflects more
	// the flatter the view: porcelain, wet stone, water.
	Coated
	surfaces
)

// Material describes a surface.
type Material struct {
	Surface   Surface
	Smooth    bool       // interpolate normals between neighbouring triangles
	Color     [3]float32 // linear, each 0 to 1
	Roughness float32    // 0 is a perfect mirror, 1 the widest blur
}

// Triangle names three vertices of its mesh and a material.
type Triangle struct{ A, B, C, Material uint32 }

// View is a pinhole camera that keeps its horizon level.
type View struct {
	Eye, Target [3]float32
	Slope       float32 // half the image's height at distance one
}

// Light is a sky with a sun.
type Light struct {
	Zenith, Horizon, Glow [3]float32 // radiance overhead, at the horizon, near the sun
	Sun                   [3]float32 // direction towards the sun, of any length
	SunColor              [3]float32 // irradiance of a surface that faces the sun, over pi
	SunSize               float32    // radius of the sun's disc at distance one
}

// Mesh is a scene as its file holds it: what to draw, without the structures
// needed to draw it fast. Units are arbitrary; y points up.
type Mesh struct {
	View      View
	Light     Light
	Materials []Material
	Vertices  [][3]int32 // in steps of 1/[Steps]
	Triangles []Triangle
}

// Steps is the resolution of a vertex: coordinates are multiples of 1/Steps.
const Steps = 1 << 16

// Limits on what a scene file may ask for.
const (
	maxMaterials = 1 << 10
	maxVertices  = 1 << 20
	maxTriangles = 1 << 20
)
