package trace_test

import (
	"bytes"
	"errors"
	"image"
	"os/exec"
	"regexp"
	"slices"
	"testing"

	"github.com/ciro-network/ciro/examples/render3d/trace"
)

// hall is a small scene: a bumpy floor, a leaning mirror and a coated slab.
func hall() *trace.Mesh {
	m := &trace.Mesh{
		View: trace.View{Eye: [3]float32{0.3, 1.5, 4}, Target: [3]float32{0, 0.4, 0}, Slope: 0.4},
		Light: trace.Light{Zenith: [3]float32{0.2, 0.3, 0.6}, Horizon: [3]float32{0.9, 0.7, 0.5}, Glow: [3]float32{1, 0.6, 0.3},
			Sun: [3]float32{-0.5, 0.6, 0.4}, SunColor: [3]float32{2, 1.6, 1.1}, SunSize: 0.05},
		Materials: []trace.Material{
			{Surface: trace.Diffuse, Smooth: true, Color: [3]float32{0.6, 0.5, 0.4}},
			{Surface: trace.Metal, Color: [3]float32{0.9, 0.8, 0.6}, Roughness: 0.1},
			{Surface: trace.Coated, Color: [3]float32{0.1, 0.3, 0.2}},
		},
	}
	const side, unit = 12, trace.Steps / 3
	for i := range int32(side * side) {
		m.Vertices = append(m.Vertices, [3]int32{(i%side - side/2) * unit, i * 7919 % 9000, (i/side - side/2) * unit})
	}
	for i := range uint32(side * (side - 1)) {
		if i%side < side-1 {
			m.Triangles = append(m.Triangles, trace.Triangle{A: i, B: i + 1, C: i + side}, trace.Triangle{A: i + 1, B: i + side + 1, C: i + side})
		}
	}
	n := uint32(len(m.Vertices))
	m.Vertices = append(m.Vertices, [3]int32{-3 * unit, 0, -2 * unit}, [3]int32{3 * unit, 0, -2 * unit}, [3]int32{0, 6 * unit, -4 * unit},
		[3]int32{2 * unit, unit, 0}, [3]int32{4 * unit, unit, 0}, [3]int32{4 * unit, 2 * unit, -3 * unit})
	m.Triangles = append(m.Triangles, trace.Triangle{A: n, B: n + 1, C: n + 2, Material: 1}, trace.Triangle{A: n + 3, B: n + 4, C: n + 5, Material: 2})
	return m
}

func png(t *testing.T, tiles ...*trace.Tile) []byte {
	t.Helper()
	img, err := trace.Assemble(tiles)
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := trace.WritePNG(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestTilesEqualWhole renders a frame whole and cut, each tile through its file
// form and in another order, with a scene of its own.
func TestTilesEqualWhole(t *testing.T) {
	f := trace.Frame{Width: 61, Height: 37, Samples: 5}
	whole, err := trace.Prepare(hall()).Render(f, f.Bounds(), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := png(t, whole)
	for _, count := range []int{1, 2, 7, 12, 64, 127} {
		var tiles []*trace.Tile
		for i := range count {
			s, err := trace.Read(hall().Encode())
			if err != nil {
				t.Fatal(err)
			}
			area, err := trace.Split(f, i, count)
			if err != nil {
				t.Fatal(err)
			}
			tile, err := s.Render(f, area, nil)
			if err != nil {
				t.Fatal(err)
			}
			b, err := tile.MarshalBinary()
			if err != nil {
				t.Fatal(err)
			}
			tile = &trace.Tile{}
			if err := tile.UnmarshalBinary(b); err != nil {
				t.Fatal(err)
			}
			tiles = append(tiles, tile)
		}
		slices.Reverse(tiles)
		if !bytes.Equal(png(t, tiles...), want) {
			t.Errorf("%d tiles give another picture than the whole", count)
		}
	}
}

// TestPictureIsLit guards against a picture that is equal everywhere because it is empty.
func TestPictureIsLit(t *testing.T) {
	f := trace.Frame{Width: 40, Height: 30, Samples: 4}
	var shares []float64
	tile, err := trace.Prepare(hall()).Render(f, f.Bounds(), func(s float64) { shares = append(shares, s) })
	if err != nil {
		t.Fatal(err)
	}
	seen := map[byte]bool{}
	for _, v := range tile.Pix {
		seen[v] = true
	}
	if len(seen) < 100 {
		t.Errorf("only %d different values", len(seen))
	}
	if len(shares) != f.Height || !slices.IsSorted(shares) || shares[len(shares)-1] != 1 {
		t.Errorf("progress %v", shares)
	}
}

func TestSplitCoversTheFrameOnce(t *testing.T) {
	for _, f := range []trace.Frame{{640, 360, 1}, {7, 3, 1}, {1, 1, 1}} {
		for count := 1; count <= 40; count++ {
			seen := make([]int, f.Width*f.Height)
			for i := range count {
				r, err := trace.Split(f, i, count)
				if err != nil {
					t.Fatal(err)
				}
				for y := r.Min.Y; y < r.Max.Y; y++ {
					for x := r.Min.X; x < r.Max.X; x++ {
						seen[y*f.Width+x]++
					}
				}
			}
			if i := slices.IndexFunc(seen, func(n int) bool { return n != 1 }); i >= 0 {
				t.Fatalf("%v in %d parts: pixel %d is in %d of them", f, count, i, seen[i])
			}
		}
	}
	r, err := trace.Split(trace.Frame{Width: 640, Height: 360, Samples: 1}, 5, 12)
	if want := image.Rect(160, 120, 320, 240); err != nil || r != want {
		t.Errorf("part 5 of 12 is %v (%v), want %v", r, err, want)
	}
	for _, bad := range [][2]int{{0, 0}, {-1, 3}, {3, 3}} {
		if _, err := trace.Split(trace.Frame{Width: 9, Height: 9, Samples: 1}, bad[0], bad[1]); err == nil {
			t.Errorf("Split accepts task %d of %d", bad[0], bad[1])
		}
	}
}

func TestAssembleRefusesGapsAndOverlaps(t *testing.T) {
	tile := func(r image.Rectangle, w int) *trace.Tile {
		return &trace.Tile{Area: r, Width: w, Height: 2, Pix: make([]byte, 3*r.Dx()*r.Dy())}
	}
	left, right := tile(image.Rect(0, 0, 2, 2), 4), tile(image.Rect(2, 0, 4, 2), 4)
	if _, err := trace.Assemble([]*trace.Tile{right, left}); err != nil {
		t.Error(err)
	}
	for name, tiles := range map[string][]*trace.Tile{ // any order: the cases are independent
		"none": nil, "gap": {left}, "overlap": {left, right, left}, "other frame": {left, tile(image.Rect(2, 0, 4, 2), 5)},
	} {
		if _, err := trace.Assemble(tiles); !errors.Is(err, trace.ErrTile) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDecodeRefusesDamage cuts and changes a scene file everywhere: each result
// is refused, or is a scene that can be rendered.
func TestDecodeRefusesDamage(t *testing.T) {
	good := hall().Encode()
	for n := range good {
		if _, err := trace.Decode(good[:n]); !errors.Is(err, trace.ErrScene) {
			t.Fatalf("the first %d bytes: %v", n, err)
		}
	}
	if _, err := trace.Decode(append(slices.Clone(good), 0)); !errors.Is(err, trace.ErrScene) {
		t.Error("bytes after the end are accepted")
	}
	f := trace.Frame{Width: 6, Height: 4, Samples: 1}
	accepted := 0
	for i := 0; i < len(good); i++ {
		bad := slices.Clone(good)
		bad[i] ^= 0xff
		s, err := trace.Read(bad)
		if err != nil {
			if !errors.Is(err, trace.ErrScene) {
				t.Fatalf("byte %d: %v", i, err)
			}
			continue
		}
		accepted++
		if _, err := s.Render(f, f.Bounds(), nil); err != nil {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if accepted == 0 || accepted == len(good) {
		t.Errorf("%d of %d changed files are accepted", accepted, len(good))
	}
}

func TestUnmarshalRefusesDamage(t *testing.T) {
	good, _ := (&trace.Tile{Area: image.Rect(1, 1, 3, 2), Width: 4, Height: 4, Pix: make([]byte, 6)}).MarshalBinary()
	var tile trace.Tile
	if err := tile.UnmarshalBinary(good); err != nil || tile.Area != image.Rect(1, 1, 3, 2) {
		t.Fatalf("%v, %v", tile, err)
	}
	for n := range good {
		if err := tile.UnmarshalBinary(good[:n]); !errors.Is(err, trace.ErrTile) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
	for i := range 24 {
		if i == 16 || i == 20 {
			continue // a larger frame is as good
		}
		bad := slices.Clone(good)
		bad[i] ^= 0x80
		if err := tile.UnmarshalBinary(bad); !errors.Is(err, trace.ErrTile) {
			t.Errorf("header byte %d changed: %v", i, err)
		}
	}
}

func TestRenderRefusesBadFrames(t *testing.T) {
	s := trace.Prepare(hall())
	for _, f := range []trace.Frame{{0, 9, 1}, {9, 0, 1}, {9, 9, 0}, {1 << 20, 9, 1}} {
		if _, err := s.Render(f, image.Rect(0, 0, 1, 1), nil); err == nil {
			t.Errorf("%v is accepted", f)
		}
	}
	if _, err := s.Render(trace.Frame{Width: 9, Height: 9, Samples: 1}, image.Rect(0, 0, 10, 9), nil); err == nil {
		t.Error("a tile outside of the frame is accepted")
	}
}

// TestNothingIsFused compiles the package for arm64 and looks for instructions
// that multiply and add with one rounding, which would change the picture there.
func TestNothingIsFused(t *testing.T) {
	cmd := exec.Command("go", "build", "-gcflags=-S", ".")
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0", "GOFLAGS=")
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("compile for arm64: %v\n%s", err, b)
	}
	if !bytes.Contains(b, []byte("FMULD")) {
		t.Fatal("the listing shows no multiplication, so it is not a listing")
	}
	if m := regexp.MustCompile(`\([^)]+\.go:\d+\)\s+FN?M(ADD|SUB)[DS]\b.*`).Find(b); m != nil {
		t.Errorf("fused: %s", m)
	}
}
