package render3d

import (
	"bytes"
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"

	"github.com/ciro-network/ciro/examples/render3d/trace"
)

// unpack returns the contents of a committed gzip file.
func unpack(t testing.TB, name string) []byte {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	if z.Name != "" || !z.ModTime.IsZero() {
		t.Errorf("%s names a file or a time, so packing again would change it", name)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// picture renders a whole frame natively, in this process, to a PNG file.
func picture(t testing.TB, f trace.Frame) []byte {
	t.Helper()
	s, err := trace.Read(unpack(t, "scene.bin.gz"))
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

// sandbox runs a compiled guest as the mesh would: /in, /out, arguments and
// CIRO's environment, and nothing else.
type sandbox struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	args    []string
}

func newSandbox(t testing.TB, module []byte, f trace.Frame) *sandbox {
	t.Helper()
	ctx := context.Background()
	r := wazero.NewRuntime(ctx)
	t.Cleanup(func() {
		if err := r.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	wasi_snapshot_preview1.MustInstantiate(ctx, r)
	m, err := r.CompileModule(ctx, module)
	if err != nil {
		t.Fatal(err)
	}
	return &sandbox{r, m, []string{"render3d", "-width", strconv.Itoa(f.Width),
		"-height", strconv.Itoa(f.Height), "-spp", strconv.Itoa(f.Samples)}}
}

// run executes one attempt and returns its exit code, standard error and progress.
func (s *sandbox) run(t testing.TB, in, out string, env ...string) (code uint32, stderr, progress string) {
	t.Helper()
	dev := t.TempDir()
	report := filepath.Join(dev, "progress")
	if err := os.WriteFile(report, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var log bytes.Buffer
	c := wazero.NewModuleConfig().WithName("").WithArgs(s.args...).WithStderr(&log).
		WithFSConfig(wazero.NewFSConfig().WithReadOnlyDirMount(in, "/in").WithDirMount(out, "/out").WithDirMount(dev, "/dev"))
	for i := 0; i+1 < len(env); i += 2 {
		c = c.WithEnv(env[i], env[i+1])
	}
	m, err := s.runtime.InstantiateModule(context.Background(), s.module, c)
	if m != nil {
		defer m.Close(context.Background())
	}
	if exit, ok := err.(*sys.ExitError); ok {
		code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	return code, log.String(), string(b)
}

// job runs count tasks and the gather, and returns the picture.
func (s *sandbox) job(t testing.TB, count int) []byte {
	t.Helper()
	in := t.TempDir()
	if err := os.WriteFile(filepath.Join(in, "scene"), unpack(t, "scene.bin.gz"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i := range count {
		out := filepath.Join(in, "tasks", strconv.Itoa(i))
		if err := os.MkdirAll(out, 0o700); err != nil {
			t.Fatal(err)
		}
		code, log, _ := s.run(t, in, out, "CIRO_TASK_INDEX", strconv.Itoa(i), "CIRO_TASK_COUNT", strconv.Itoa(count))
		if code != 0 {
			t.Fatalf("task %d of %d exits with %d: %s", i, count, code, log)
		}
	}
	out := t.TempDir()
	if code, log, _ := s.run(t, in, out, "CIRO_GATHER", "1", "CIRO_TASK_COUNT", strconv.Itoa(count)); code != 0 {
		t.Fatalf("gather of %d tasks exits with %d: %s", count, code, log)
	}
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
	s := newSandbox(t, unpack(t, "render3d.wasm.gz"), f)
	for _, count := range []int{1, 7, 12} {
		t.Run(fmt.Sprint(count), func(t *testing.T) {
			if !bytes.Equal(s.job(t, count), want) {
				t.Errorf("%d tasks give another picture than a single process", count)
			}
		})
	}
}

// TestCommittedModule builds the module again. With the Go release of the
// committed one the bytes must be equal; with another release, what it renders.
func TestCommittedModule(t *testing.T) {
	out := filepath.Join(t.TempDir(), "render3d.wasm")
	if b, err := exec.Command("sh", "build.sh", out).CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, b)
	}
	built, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	committed := unpack(t, "render3d.wasm.gz")
	if bytes.Equal(built, committed) {
		return
	}
	if bytes.Contains(committed, []byte(runtime.Version()+"\x00")) || bytes.Contains(committed, []byte(runtime.Version()+"\n")) {
		t.Fatal("the committed module is not what its source gives: run go generate ./examples/render3d")
	}
	f := trace.Frame{Width: 48, Height: 27, Samples: 1}
	if !bytes.Equal(newSandbox(t, built, f).job(t, 2), newSandbox(t, committed, f).job(t, 2)) {
		t.Error("the committed module renders another picture than its source: run go generate ./examples/render3d")
	}
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
	s := newSandbox(b, unpack(b, "render3d.wasm.gz"), full)
	before := cpuSeconds(b)
	for b.Loop() {
		if !bytes.Equal(s.job(b, 12), want) {
			b.Fatal("the job gives another picture than a single process")
		}
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
}

// BenchmarkSandboxSmall runs a sixteenth of that work, for tuning.
func BenchmarkSandboxSmall(b *testing.B) {
	s := newSandbox(b, unpack(b, "render3d.wasm.gz"), trace.Frame{Width: 320, Height: 180, Samples: 4})
	before := cpuSeconds(b)
	for b.Loop() {
		s.job(b, 1)
	}
	b.ReportMetric((cpuSeconds(b)-before)/float64(b.N), "cpu-s/op")
}

// BenchmarkCompile compiles the module, which a node does once and keeps.
func BenchmarkCompile(b *testing.B) {
	module := unpack(b, "render3d.wasm.gz")
	for b.Loop() {
		newSandbox(b, module, full)
	}
}
