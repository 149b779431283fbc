package main

import (
	"compress/gzip"
	"io"
	"os"
	"testing"

	"github.com/ciro-network/ciro/examples/render3d/trace"
)

// TestCommittedScene makes the scene again. Architectures differ in the last
// bits of sines, so vertices may differ by one step.
func TestCommittedScene(t *testing.T) {
	f, err := os.Open("../scene.bin.gz")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	got, err := trace.Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	want := compose()
	if len(got.Triangles) < 10_000 || len(got.Triangles) != len(want.Triangles) || len(got.Vertices) != len(want.Vertices) ||
		got.View != want.View || got.Light != want.Light || len(got.Materials) != len(want.Materials) {
		t.Fatalf("%d triangles and %d vertices, the program makes %d and %d: run go generate ./examples/render3d",
			len(got.Triangles), len(got.Vertices), len(want.Triangles), len(want.Vertices))
	}
	for i := range want.Materials {
		if got.Materials[i] != want.Materials[i] {
			t.Fatalf("material %d is %+v, the program makes %+v", i, got.Materials[i], want.Materials[i])
		}
	}
	for i, v := range want.Vertices {
		for axis := range 3 {
			if d := got.Vertices[i][axis] - v[axis]; d < -1 || d > 1 {
				t.Fatalf("vertex %d is %v, the program makes %v", i, got.Vertices[i], v)
			}
		}
	}
	for i := range want.Triangles {
		if got.Triangles[i] != want.Triangles[i] {
			t.Fatalf("triangle %d is %+v, the program makes %+v", i, got.Triangles[i], want.Triangles[i])
		}
	}
}
