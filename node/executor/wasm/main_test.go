package wasm_test

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/executor/executortest"
	"github.com/ciro-network/ciro/node/executor/wasm"
)

// TestMain is also the sandbox, and a daemon to be killed: the tests start
// their own binary with arguments.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 && os.Args[1] == "__daemon" {
		os.Exit(daemon(os.Args[2], os.Args[3]))
	}
	if len(os.Args) == 2 && os.Args[1] == "__sandbox" {
		os.Exit(wasm.Child())
	}
	dir, err := os.MkdirTemp("", "wasm-test-")
	if err != nil {
		panic(err)
	}
	scratchDir = dir
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		os.Exit(code)
	}))
}

// daemon runs a module that never ends and says so on stdout when it has begun.
func daemon(module, cacheDir string) int {
	self, err := os.Executable()
	if err != nil {
		return 1
	}
	e, err := wasm.New(wasm.Config{
		Command: []string{self, "__sandbox"}, CacheDir: cacheDir, Log: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		return 1
	}
	task := executor.Task{Module: module, Args: []string{"stuck"}}
	task.Sinks.Progress = func(float64, string) { os.Stdout.WriteString("begun\n") }
	if _, err := e.Run(context.Background(), task); err != nil {
		return 1
	}
	return 0
}

// scratchDir lives as long as the test binary.
var scratchDir string

var buildProbe = sync.OnceValues(func() (string, error) {
	return executortest.BuildProbe(scratchDir, "wasip1", "wasm")
})

// probe is the conformance suite's guest, compiled once.
func probe(t testing.TB) string {
	t.Helper()
	path, err := buildProbe()
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// command starts a child of this test binary.
func command(t testing.TB) []string {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return []string{self, "__sandbox"}
}

// newExecutor makes an executor on the cache that all tests share, with
// children kept warm until the test ends.
func newExecutor(t testing.TB, warm int) *wasm.Executor {
	t.Helper()
	return serve(t, wasm.Config{
		Command: command(t), CacheDir: filepath.Join(scratchDir, "cache"), Warm: warm,
		MaxMemory: 1 << 30, Log: slog.New(slog.DiscardHandler),
	})
}

func serve(t testing.TB, cfg wasm.Config) *wasm.Executor {
	t.Helper()
	e, err := wasm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return e
}

func TestConformance(t *testing.T) {
	executortest.Run(t, newExecutor(t, 1), probe(t))
}
