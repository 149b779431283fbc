// Package exampletest is what the tests of the examples share: [Unpack] reads
// the committed files, a [Sandbox] runs a compiled guest without a mesh but as
// the mesh would, and [CheckModule] compares a committed module with its source.
package exampletest

import (
	"bytes"
	"compress/gzip"
	"context"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
)

// Unpack returns the contents of a committed gzip file.
func Unpack(t testing.TB, name string) []byte {
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

// Sandbox runs a compiled guest as the mesh would: /in, /out, arguments and
// CIRO's environment, and nothing else.
type Sandbox struct {
	runtime wazero.Runtime
	module  wazero.CompiledModule
	args    []string
}

// NewSandbox compiles a module. The arguments go to every run, after the name.
func NewSandbox(t testing.TB, module []byte, args ...string) *Sandbox {
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
	return &Sandbox{r, m, append([]string{"task"}, args...)}
}

// Ended is how a run ended.
type Ended struct {
	Code                     uint32
	Stdout, Stderr, Progress string
}

// Run executes one attempt with the folders and variables given, these as
// name, value, name, value.
func (s *Sandbox) Run(t testing.TB, in, out string, env ...string) Ended {
	t.Helper()
	dev := t.TempDir()
	report := filepath.Join(dev, "progress")
	if err := os.WriteFile(report, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	var stdout, stderr bytes.Buffer
	c := wazero.NewModuleConfig().WithName("").WithArgs(s.args...).WithStdout(&stdout).WithStderr(&stderr).
		WithFSConfig(wazero.NewFSConfig().WithReadOnlyDirMount(in, "/in").WithDirMount(out, "/out").WithDirMount(dev, "/dev"))
	for i := 0; i+1 < len(env); i += 2 {
		c = c.WithEnv(env[i], env[i+1])
	}
	var e Ended
	m, err := s.runtime.InstantiateModule(context.Background(), s.module, c)
	if m != nil {
		defer m.Close(context.Background())
	}
	if exit, ok := err.(*sys.ExitError); ok {
		e.Code = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(report)
	if err != nil {
		t.Fatal(err)
	}
	e.Stdout, e.Stderr, e.Progress = stdout.String(), stderr.String(), string(b)
	return e
}

// Job runs count tasks and the gather on the inputs and returns the gather's
// /out and what it wrote to standard output.
func (s *Sandbox) Job(t testing.TB, inputs map[string][]byte, count int) (out, stdout string) {
	t.Helper()
	in := t.TempDir()
	for name, text := range inputs { // any order: independent files
		if err := os.WriteFile(filepath.Join(in, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for i := range count {
		out := filepath.Join(in, "tasks", strconv.Itoa(i))
		if err := os.MkdirAll(out, 0o700); err != nil {
			t.Fatal(err)
		}
		e := s.Run(t, in, out, "CIRO_TASK_INDEX", strconv.Itoa(i), "CIRO_TASK_COUNT", strconv.Itoa(count))
		if e.Code != 0 {
			t.Fatalf("task %d of %d exits with %d: %s", i, count, e.Code, e.Stderr)
		}
	}
	out = t.TempDir()
	e := s.Run(t, in, out, "CIRO_GATHER", "1", "CIRO_TASK_INDEX", strconv.Itoa(count), "CIRO_TASK_COUNT", strconv.Itoa(count))
	if e.Code != 0 {
		t.Fatalf("gather of %d tasks exits with %d: %s", count, e.Code, e.Stderr)
	}
	return out, e.Stdout
}

// CheckModule builds the module of an example, whose folder is the test's own,
// and compares it with the committed EXAMPLE.wasm.gz. With the Go release of the
// committed one the bytes must be equal; with another, same decides, which
// compares what the two compute.
func CheckModule(t *testing.T, example string, same func(built, committed []byte) bool) {
	t.Helper()
	out := filepath.Join(t.TempDir(), example+".wasm")
	if b, err := exec.Command("sh", "../build.sh", example, out).CombinedOutput(); err != nil {
		t.Fatalf("build.sh: %v\n%s", err, b)
	}
	built, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	committed := Unpack(t, example+".wasm.gz")
	if bytes.Equal(built, committed) {
		return
	}
	if bytes.Contains(committed, []byte(runtime.Version()+"\x00")) || bytes.Contains(committed, []byte(runtime.Version()+"\n")) {
		t.Fatalf("the committed module is not what its source gives: run go generate ./examples/%s", example)
	}
	if !same(built, committed) {
		t.Errorf("the committed module computes something else than its source: run go generate ./examples/%s", example)
	}
}
