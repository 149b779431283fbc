// Package trace is a small deterministic path tracer: a triangle mesh in, an
// image out, the same bytes on every machine.
//
// It is the whole of the render3d example but for its file names: the guest
// program calls it inside a sandbox, one tile at a time, and the tests call it
// natively for the whole image. [Read] decodes a scene and builds a
// bounding-volume hierarchy over its triangles; [Scene.Render] traces one
// rectangle of a [Frame]; [Split] says which rectangle belongs to which task of
// an array job; [Assemble] puts tiles together and refuses gaps and overlaps.
//
// # What is simulated
//
// Light comes from a sky that grows from a warm horizon to a deep zenith and from a
// sun of finite size, which is sampled directly at every diffuse surface, so
// that shadows are soft. Paths have up to four segments and end by Russian
// roulette the sooner the less light they can still carry. Surfaces are diffuse, metal (mirror or glossy,
// coloured by Schlick's Fresnel term) or coated (a diffuse body under a clear
// reflecting layer: porcelain, wet stone, water). The first decisions of a path are
// drawn from a rotated low-discrepancy sequence, the others from a generator.
//
// # Why the same bytes everywhere
//
// Splitting an image over strangers' machines and comparing replicas needs
// results that are equal to the last bit. Therefore:
//
//   - every pixel seeds its own generator from its position and the frame, so
//     that no result depends on which tile, or order, it is computed in;
//   - arithmetic is float64, and every product that is added to something is
//     written float64(a*b), which forbids the compiler to fuse the two into one
//     rounding where the machine could (arm64 would, amd64 and wasm would not);
//   - of package math only Sqrt, Abs, Floor and the conversions of bit patterns
//     are used, which are exact everywhere; sine and cosine are a polynomial here.
//
// Nothing here starts a goroutine, reads a file or keeps state between calls.
// A [Scene] may be rendered from several goroutines at once.
package trace
