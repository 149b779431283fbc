package wasm_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/executor/executortest"
	"github.com/ciro-network/ciro/node/executor/wasm"
)

// children are the processes that this one has started and that live.
func children(t testing.TB) []int {
	t.Helper()
	return childrenOf(t, os.Getpid())
}

func childrenOf(t testing.TB, parent int) []int {
	t.Helper()
	var pids []int
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range stats {
		b, err := os.ReadFile(s)
		if err != nil {
			continue // it has ended since
		}
		after := string(b[bytes.LastIndexByte(b, ')')+1:])
		if f := strings.Fields(after); f[1] == strconv.Itoa(parent) && f[0] != "Z" {
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(s)))
			if err != nil {
				t.Fatal(err)
			}
			pids = append(pids, pid)
		}
	}
	return pids
}

// eventually waits, with a generous cap, until a condition of the real world holds.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	giveUp := time.NewTimer(20 * time.Second)
	defer giveUp.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-giveUp.C:
			t.Fatalf("never: %s", what)
		}
	}
}

func TestServeKeepsChildrenAndEndsThem(t *testing.T) {
	cfg := wasm.Config{
		Command: command(t), CacheDir: t.TempDir(), Warm: 2, Log: slog.New(slog.DiscardHandler),
	}
	e, err := wasm.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if n := children(t); len(n) != 0 {
		t.Fatalf("New started %v", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Serve(ctx) }()
	eventually(t, "two children", func() bool { return len(children(t)) == 2 })
	for _, pid := range children(t) {
		// Killed in its sleep: the next attempt has to do without.
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		if o, _ := executortest.Do(t, e, executortest.Task(t, noop.file(t))); !o.OK() {
			t.Errorf("after the warm child was killed: %s", o)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if n := children(t); len(n) != 0 {
		t.Errorf("Serve left %v", n)
	}
	if o, _ := executortest.Do(t, e, executortest.Task(t, noop.file(t))); !o.OK() {
		t.Errorf("without Serve: %s", o)
	}
}

// TestSandboxOfAProcess looks at a child from outside while its guest loops.
func TestSandboxOfAProcess(t *testing.T) {
	e := newExecutor(t, 0)
	inherited, err := os.Open("/dev/zero")
	if err != nil {
		t.Fatal(err)
	}
	defer inherited.Close()
	// Without close-on-exec, as if a shell had left it open.
	fd, err := syscall.Dup(int(inherited.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	task := executortest.Task(t, probe(t), "stuck")
	task.Limits.Timeout = 20 * time.Second
	looked := false
	task.Sinks.Progress = func(float64, string) {
		looked = true
		defer cancel()
		pids := children(t)
		if len(pids) != 1 {
			t.Errorf("children %v", pids)
			return
		}
		inspectSandbox(t, pids[0])
	}
	o, err := e.Run(ctx, task)
	if err != nil || o.Cause != executor.Cancelled || !looked {
		t.Errorf("%s, %v, looked %v", o, err, looked)
	}
	if n := children(t); len(n) != 0 {
		t.Errorf("left %v", n)
	}
}

func inspectSandbox(t *testing.T, pid int) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	limits, err := os.ReadFile(filepath.Join(proc, "limits"))
	if err != nil {
		t.Error(err)
		return
	}
	for limit, want := range map[string]string{ // any order: independent
		"Max core file size": "0", "Max open files": "512", "Max file size": "1048576", "Max cpu time": "42",
	} {
		if got := limitOf(string(limits), limit); got != want {
			t.Errorf("%s is %s, want %s", limit, got, want)
		}
	}
	space, err := strconv.ParseUint(limitOf(string(limits), "Max address space"), 10, 64)
	if err != nil || space > 8<<30 {
		t.Errorf("address space: %d, %v", space, err)
	}
	if group, err := syscall.Getpgid(pid); err != nil || group != pid {
		t.Errorf("process group %d of %d, %v", group, pid, err)
	}
	tasks, err := filepath.Glob(filepath.Join(proc, "task", "*", "stat"))
	if err != nil || len(tasks) == 0 {
		t.Errorf("threads: %v", err)
	}
	for _, s := range tasks {
		b, err := os.ReadFile(s)
		if err != nil {
			continue
		}
		if f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:])); f[16] != "10" {
			t.Errorf("a thread has niceness %s", f[16])
		}
	}
	fds, err := os.ReadDir(filepath.Join(proc, "fd"))
	if err != nil {
		t.Error(err)
	}
	for _, d := range fds {
		if to, err := os.Readlink(filepath.Join(proc, "fd", d.Name())); err == nil && strings.HasPrefix(to, "/dev/zero") {
			t.Errorf("descriptor %s is inherited: %s", d.Name(), to)
		}
	}
}

// limitOf is the soft limit in the text of /proc/<pid>/limits.
func limitOf(text, name string) string {
	for line := range strings.Lines(text) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Fields(rest)[0]
		}
	}
	return ""
}

func TestChildKilledFromOutside(t *testing.T) {
	e := newExecutor(t, 0)
	task := executortest.Task(t, probe(t), "stuck")
	task.Sinks.Progress = func(float64, string) {
		for _, pid := range children(t) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Error(err)
			}
		}
	}
	o, _ := executortest.Do(t, e, task)
	if o.Cause != executor.Sandbox || !strings.Contains(o.Detail, "signal 9") {
		t.Errorf("%q: %s", o.Cause, o.Detail)
	}
}

func TestBrokenSandboxPrograms(t *testing.T) {
	ctx := context.Background()
	for _, c := range []struct{ script, want string }{
		{"exit 3", "exit status 3"},
		{"echo out of order >&2; exit 1", "out of order"},
		{"head -c 5 >/dev/null; printf '\\377\\377\\377\\377\\377\\377'", "malformed frame"},
	} {
		e := serve(t, wasm.Config{
			Command: []string{"/bin/sh", "-c", c.script}, CacheDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		})
		_, err := e.Run(ctx, executortest.Task(t, noop.file(t)))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.script, err)
		}
	}
	// One that says nothing is killed at the deadline.
	e := serve(t, wasm.Config{
		Command: []string{"/bin/sh", "-c", "exec sleep 1000"}, CacheDir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
	})
	task := executortest.Task(t, noop.file(t))
	task.Limits.Timeout = 200 * time.Millisecond
	if o, _ := executortest.Do(t, e, task); o.Cause != executor.Timeout {
		t.Errorf("a silent sandbox: %s", o)
	}
	if n := children(t); len(n) != 0 {
		t.Errorf("left %v", n)
	}
}

// TestDaemonIsKilled kills a parent: its child, in a loop, goes with it.
func TestDaemonIsKilled(t *testing.T) {
	self := command(t)[0]
	parent := exec.Command(self, "__daemon", probe(t), filepath.Join(scratchDir, "cache"))
	said, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(said, make([]byte, len("begun\n"))); err != nil {
		t.Fatal(err)
	}
	orphans := childrenOf(t, parent.Process.Pid)
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed, as intended
	if len(orphans) != 1 {
		t.Fatalf("the daemon had children %v", orphans)
	}
	eventually(t, "the orphan ends", func() bool {
		b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(orphans[0]), "stat"))
		return err != nil || strings.HasPrefix(string(b[bytes.LastIndexByte(b, ')')+1:]), " Z")
	})
}

// TestBlockedSink has a reader that takes nothing until the writer is dead.
func TestBlockedSink(t *testing.T) {
	e := newExecutor(t, 0)
	task := executortest.Task(t, probe(t), "flood", "100000")
	task.Limits.Timeout = 500 * time.Millisecond
	task.Sinks.Stdout = sinkFunc(func() {
		eventually(t, "the guest is killed at its deadline", func() bool { return len(children(t)) == 0 })
	})
	if o, _ := executortest.Do(t, e, task); o.Cause != executor.Timeout {
		t.Errorf("%s", o)
	}
}

type sinkFunc func()

// Write implements io.Writer.
func (f sinkFunc) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

// TestLoadedAhead changes a module's file after its first runs: a warm child
// has the old bytes loaded, and does not serve another hash with them.
func TestLoadedAhead(t *testing.T) {
	e := newExecutor(t, 1)
	task := executortest.Task(t, exits(3).file(t))
	task.ModuleHash = "three"
	for range 3 { // until the children made before the first run are used up
		eventually(t, "a warm child", func() bool { return wasm.Warm(e) == 1 })
		if o, _ := executortest.Do(t, e, task); o.Exit != 3 {
			t.Fatal(o)
		}
	}
	eventually(t, "a warm child", func() bool { return wasm.Warm(e) == 1 })
	// The same name with other bytes: only a child that has loaded the old
	// ones can still exit with 3.
	if err := os.WriteFile(task.Module, exits(4).bytes(), 0o644); err != nil {
		t.Fatal(err)
	}
	if o, _ := executortest.Do(t, e, task); o.Exit != 3 {
		t.Errorf("the module loaded ahead was not used: %s", o)
	}
	eventually(t, "a warm child", func() bool { return wasm.Warm(e) == 1 })
	task.ModuleHash = "four"
	if o, _ := executortest.Do(t, e, task); o.Exit != 4 {
		t.Errorf("the module loaded ahead was taken for another: %s", o)
	}
}

func TestManyAtOnce(t *testing.T) {
	e := newExecutor(t, 2)
	module := noop.file(t)
	var wg sync.WaitGroup
	for n := range 16 {
		task := executortest.Task(t, module)
		task.ModuleHash = fmt.Sprint("noop", n%2)
		wg.Go(func() {
			if o, err := e.Run(context.Background(), task); err != nil || !o.OK() {
				t.Errorf("%s, %v", o, err)
			}
		})
	}
	wg.Wait()
}

func TestConfiguration(t *testing.T) {
	good := wasm.Config{Command: command(t), CacheDir: t.TempDir(), Log: slog.New(slog.DiscardHandler), MaxMemory: 1 << 20}
	e, err := wasm.New(good)
	if err != nil {
		t.Fatal(err)
	}
	task := executortest.Task(t, noop.file(t)) // wants 128 MiB
	if _, err := e.Run(context.Background(), task); err == nil || !strings.Contains(err.Error(), "this worker allows") {
		t.Errorf("too much memory: %v", err)
	}
	fi, err := os.Stat(filepath.Join(good.CacheDir, "compiled"))
	if err != nil || fi.Mode().Perm() != 0o700 {
		t.Errorf("cache folder: %v, %v", fi.Mode(), err)
	}
	for name, change := range map[string]func(*wasm.Config){ // any order: independent
		"no command": func(c *wasm.Config) { c.Command = nil },
		"no program": func(c *wasm.Config) { c.Command = []string{"/nowhere/at/all"} },
		"no cache":   func(c *wasm.Config) { c.CacheDir = "" },
		"no log":     func(c *wasm.Config) { c.Log = nil },
		"warm":       func(c *wasm.Config) { c.Warm = -1 },
		"cache file": func(c *wasm.Config) { c.CacheDir = task.Module },
	} {
		cfg := good
		change(&cfg)
		if _, err := wasm.New(cfg); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestScratchIsRemoved looks for what an attempt left of its /tmp.
func TestScratchIsRemoved(t *testing.T) {
	cfg := wasm.Config{Command: command(t), CacheDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	e := serve(t, cfg)
	executortest.Do(t, e, executortest.Task(t, probe(t), "scratch"))
	list, err := os.ReadDir(filepath.Join(cfg.CacheDir, "scratch"))
	if err != nil || len(list) != 0 {
		t.Errorf("left %v, %v", list, err)
	}
}
