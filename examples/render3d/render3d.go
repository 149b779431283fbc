// Package render3d is the example that renders a picture on the mesh: an array
// job of twelve tasks, each of which traces one tile of one frame, and a gather
// task that assembles the tiles to a PNG file.
//
// The package itself is empty. Its folder holds what the job needs:
//
//	job.yaml            the job as a client submits it
//	render3d.wasm.gz    the module, built from guest/ by ../build.sh
//	scene.bin.gz        the scene, made by scenegen/
//	trace/              the path tracer, a library with no I/O
//
// and its tests hold what the example promises: that the assembled picture is, byte for
// byte, the one that a single process renders, however many tasks there are,
// inside the sandbox and natively, and that the committed module is what its source gives.
package render3d

//go:generate go run ./scenegen scene.bin.gz
//go:generate sh ../build.sh render3d render3d.wasm
//go:generate rm render3d.wasm
