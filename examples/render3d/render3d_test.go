package render3d

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/ciro-network/ciro/examples/exampletest"
	"github.com/ciro-network/ciro/examples/render3d/trace"
)

// picture renders a whole frame natively, in this process, to a PNG file.
func picture(t testing.TB, f trace.Frame) []byte {
	t.Helper()
	s, err := trace.Read(exampletest.Unpack(t, "scene.bin.gz"))
	if err != nil {
		t.Fatal(err)
	}
	tile, err := s.Render(f, f.Bounds(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return assembled(t, tile)
}

func assembled(t testing.TB, tiles ...*trace.Tile) []byte {
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

// newSandbox compiles a module to render the frame.
func newSandbox(t testing.TB, module []byte, f trace.Frame) *exampletest.Sandbox {
	t.Helper()
	return exampletest.NewSandbox(t, module, "-width", strconv.Itoa(f.Width), "-height", strconv.Itoa(f.Height), "-spp", strconv.Itoa(f.Samples))
}

// job runs count tasks and the gather, and returns the picture.
func job(t testing.TB, s *exampletest.Sandbox, count int) []byte {
	t.Helper()
	out, _ := s.Job(t, map[string][]byte{"scene": exampletest.Unpack(t, "scene.bin.gz")}, count)
	b, err := os.ReadFile(filepath.Join(out, "render.png"))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSandboxEqualsSingleProcess runs the committed module for several task
// counts and compares with what this process renders by itself.
func TestSandboxEqualsSingleProcess(t *testing.T) {
	f := trace.Frame{Width: 96, Height: 54, Samples: 2}
	want := picture(t, f)
	s := newSandbox(t, exampletest.Unpack(t, "render3d.wasm.gz"), f)
	for _, count := range []int{1, 7, 12} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			if !bytes.Equal(job(t, s, count), want) {
				t.Errorf("%d tasks give another picture than a single process", count)
			}
		})
	}
}

func TestCommittedModule(t *testing.T) {
	f := trace.Frame{Width: 48, Height: 27, Samples: 1}
	exampletest.CheckModule(t, "render3d", func(built, committed []byte) bool {
		return bytes.Equal(job(t, newSandbox(t, built, f), 2), job(t, newSandbox(t, committed, f), 2))
	})
}

// cpuSeconds returns the processor time that this process has used.
func cpuSeconds(b *testing.B) float64 {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// full is the frame of job.yaml.
var full = trace.Frame{Width: 640, Height: 360, Samples: 16}

// BenchmarkNative renders the frame of job.yaml in this process. With
// RENDER3D_PNG set it keeps the picture under that name.
func BenchmarkNative(b *testing.B) {
	before := cpuSeconds(b)
	var png []byte
	for b.Loop() {
		png = picture(b, full)
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
	if name := os.Getenv("RENDER3D_PNG"); name != "" {
		if err := os.WriteFile(name, png, 0o644); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkSandbox runs the whole job, twelve tasks and the gather, one after
// another in wazero. Compiling the module is not part of it.
func BenchmarkSandbox(b *testing.B) {
	want := picture(b, full)
	s := newSandbox(b, exampletest.Unpack(b, "render3d.wasm.gz"), full)
	before := cpuSeconds(b)
	for b.Loop() {
		if !bytes.Equal(job(b, s, 12), want) {
			b.Fatal("the job gives another picture than a single process")
		}
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
}

// BenchmarkSandboxSmall runs a sixteenth of that work, for tuning.
func BenchmarkSandboxSmall(b *testing.B) {
	s := newSandbox(b, exampletest.Unpack(b, "render3d.wasm.gz"), trace.Frame{Width: 320, Height: 180, Samples: 4})
	before := cpuSeconds(b)
	for b.Loop() {
		job(b, s, 1)
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
}

// BenchmarkCompile compiles the module, which a node does once and keeps.
func BenchmarkCompile(b *testing.B) {
	module := exampletest.Unpack(b, "render3d.wasm.gz")
	for b.Loop() {
		newSandbox(b, module, full)
	}
}
