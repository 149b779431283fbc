// Package executortest is the conformance suite of node/executor: [Run] holds
// an implementation to the guest contract and to the causes of the interface.
// It works by one guest, the probe, whose arguments select what it does;
// [BuildProbe] compiles it for the platform that the implementation runs.
package executortest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/executor"
)

// killCap is how late after its deadline an attempt may end, at most: a
// second as promised and what a busy machine adds.
const killCap = 5 * time.Second

// BuildProbe compiles the probe for a platform into dir and returns its path.
// It takes seconds: call it once per test binary.
func BuildProbe(dir, goos, goarch string) (string, error) {
	out := filepath.Join(dir, "probe-"+goos+"-"+goarch)
	cmd := exec.Command("go", "build", "-trimpath", "-o", out,
		"github.com/ciro-network/ciro/node/executor/executortest/testdata/probe")
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the probe: %w: %s", err, text)
	}
	return out, nil
}

// Task is a task for the probe with folders of its own, 30 s and 128 MiB.
func Task(t testing.TB, probe string, args ...string) executor.Task {
	t.Helper()
	dir := t.TempDir()
	task := executor.Task{
		Job: "job1", Type: "custom", Index: 2, Count: 5, Attempt: 3,
		Module: probe, ModuleHash: probe, Args: args,
		In: filepath.Join(dir, "in"), Out: filepath.Join(dir, "out"),
		Limits: executor.Limits{Memory: 128 << 20, OutBytes: 1 << 20, OutFiles: 20, Timeout: 30 * time.Second},
	}
	for _, d := range []string{task.In, task.Out} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return task
}

// Do runs the task and returns its outcome with what it wrote to stdout.
func Do(t testing.TB, e executor.Executor, task executor.Task) (executor.Outcome, string) {
	t.Helper()
	var out, stderr bytes.Buffer
	if task.Sinks.Stdout == nil {
		task.Sinks.Stdout = &out
	}
	if task.Sinks.Stderr == nil {
		task.Sinks.Stderr = &stderr
	}
	o, err := e.Run(context.Background(), task)
	if err != nil {
		t.Fatalf("run: %v", err)
	}
	if stderr.Len() > 0 {
		t.Logf("stderr: %.300s", stderr.String())
	}
	return o, out.String()
}

// Run holds e to the contract, with a probe built for its platform.
func Run(t *testing.T, e executor.Executor, probe string) {
	for name, test := range map[string]func(*testing.T, executor.Executor, string){ // any order: they share nothing
		"Environment": testEnvironment, "Exits": testExits, "Deadline": testDeadline, "Cancel": testCancel,
		"Input": testInput, "Output": testOutput, "Quota": testQuota, "Escape": testEscape,
		"Memory": testMemory, "Progress": testProgress, "Deterministic": testDeterministic,
		"Random": testRandom, "Refused": testRefused, "Streams": testStreams, "NoFolders": testNoFolders,
	} {
		t.Run(name, func(t *testing.T) { test(t, e, probe) })
	}
}

func want(t *testing.T, o executor.Outcome, cause executor.Cause) {
	t.Helper()
	if o.Cause != cause {
		t.Fatalf("cause %q, want %q; detail: %s", o.Cause, cause, o.Detail)
	}
}

func testEnvironment(t *testing.T, e executor.Executor, probe string) {
	task := Task(t, probe, "env", "one", "two words")
	task.Env = []string{"HELLO=world = 1", "CIRO_JOB_ID=forged"}
	o, out := Do(t, e, task)
	want(t, o, executor.Done)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	for _, l := range []string{
		"HELLO=world = 1", "CIRO_CONTRACT=1", "CIRO_JOB_ID=job1", "CIRO_JOB_TYPE=custom", "CIRO_TASK_INDEX=2",
		"CIRO_TASK_COUNT=5", "CIRO_ATTEMPT=3", `args ["one" "two words"]`,
	} {
		if !slices.Contains(lines, l) {
			t.Errorf("%q is missing in %q", l, lines)
		}
	}
	if strings.Contains(out, "forged") || strings.Contains(out, "PATH=") || strings.Contains(out, "HOME=") {
		t.Errorf("environment holds what it should not: %q", lines)
	}
	if o.CPU <= 0 || o.Wall <= 0 || o.PeakMemory == 0 || o.Started.IsZero() {
		t.Errorf("outcome is not filled in: %+v", o)
	}
}

func testExits(t *testing.T, e executor.Executor, probe string) {
	o, _ := Do(t, e, Task(t, probe, "exit", "0"))
	want(t, o, executor.Done)
	o, _ = Do(t, e, Task(t, probe, "exit", "75"))
	want(t, o, executor.Exit)
	if o.Exit != 75 || !o.Retry {
		t.Errorf("exit 75: %+v", o)
	}
	o, _ = Do(t, e, Task(t, probe, "exit", "7"))
	want(t, o, executor.Exit)
	if o.Exit != 7 || o.Retry {
		t.Errorf("exit 7: %+v", o)
	}
	o, _ = Do(t, e, Task(t, probe, "panic"))
	if o.OK() {
		t.Error("a panic counts as done")
	}
}

func testDeadline(t *testing.T, e executor.Executor, probe string) {
	for _, deed := range []string{"loop", "sleep"} {
		task := Task(t, probe, deed)
		task.Deterministic = true
		task.Limits.Timeout = 1500 * time.Millisecond
		o, _ := Do(t, e, task)
		want(t, o, executor.Timeout)
		if o.Wall < task.Limits.Timeout || o.Wall > task.Limits.Timeout+killCap {
			t.Errorf("%s: ended after %v", deed, o.Wall)
		}
		t.Logf("%s: %v after the deadline", deed, o.Wall-task.Limits.Timeout)
	}
}

func testCancel(t *testing.T, e executor.Executor, probe string) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	task := Task(t, probe, "stuck")
	task.Sinks.Progress = func(float64, string) { cancel() } // it has begun
	o, err := e.Run(ctx, task)
	if err != nil {
		t.Fatal(err)
	}
	want(t, o, executor.Cancelled)
	if o.Wall > killCap {
		t.Errorf("ended after %v", o.Wall)
	}
	if o, err = e.Run(ctx, task); err != nil {
		t.Fatal(err)
	}
	want(t, o, executor.Cancelled) // before it began
}

func testInput(t *testing.T, e executor.Executor, probe string) {
	task := Task(t, probe, "cat", "/in/a.txt", "/in/sub/b.txt")
	write(t, filepath.Join(task.In, "a.txt"), "first ")
	write(t, filepath.Join(task.In, "sub", "b.txt"), "second")
	o, out := Do(t, e, task)
	want(t, o, executor.Done)
	if out != "first second" {
		t.Errorf("read %q", out)
	}
	task.Args = []string{"walk", "/in"}
	if o, out = Do(t, e, task); out != "/in d---------\n/in/a.txt ----------\n/in/sub d---------\n/in/sub/b.txt ----------\n" {
		t.Errorf("walk: %v: %q", o, out)
	}
	task.Args = []string{"intoIn"}
	if o, out = Do(t, e, task); !o.OK() || out != "" {
		t.Errorf("/in can be changed: %v: %s", o, out)
	}
	if b, err := os.ReadFile(filepath.Join(task.In, "a.txt")); err != nil || string(b) != "first " {
		t.Errorf("input is now %q, %v", b, err)
	}
}

func testOutput(t *testing.T, e executor.Executor, probe string) {
	task := Task(t, probe, "write", "/out/deep/down/file", "1000")
	o, _ := Do(t, e, task)
	want(t, o, executor.Done)
	b, err := os.ReadFile(filepath.Join(task.Out, "deep", "down", "file"))
	if err != nil || string(b) != strings.Repeat("y", 1000) {
		t.Errorf("output: %d bytes, %v", len(b), err)
	}
	o, out := Do(t, e, Task(t, probe, "scratch"))
	want(t, o, executor.Done)
	if out != "hello 5 1\n" {
		t.Errorf("/tmp: %q", out)
	}
}

func testQuota(t *testing.T, e executor.Executor, probe string) {
	for _, c := range []struct {
		args  []string
		cause executor.Cause
	}{
		{[]string{"write", "/out/f", "1048576"}, executor.Done},
		{[]string{"write", "/out/f", "1048577"}, executor.OutBytes},
		{[]string{"write", "/tmp/f", "1048577"}, executor.OutBytes},
		{[]string{"swallow"}, executor.OutBytes},
		{[]string{"unlinked"}, executor.OutBytes},
		{[]string{"many", "/out", "20"}, executor.Done},
		{[]string{"many", "/out", "21"}, executor.OutFiles},
		{[]string{"many", "/tmp", "21"}, executor.OutFiles},
		{[]string{"churn", "2000"}, executor.Done}, // what is removed is given back
	} {
		task := Task(t, probe, c.args...)
		o, _ := Do(t, e, task)
		if o.Cause != c.cause {
			t.Errorf("%v: cause %q, want %q (%s)", c.args, o.Cause, c.cause, o.Detail)
		}
		if fi, err := os.Stat(filepath.Join(task.Out, "endless")); err == nil && fi.Size() > 1<<20 {
			t.Errorf("%v: left %d bytes", c.args, fi.Size())
		}
	}
}

func testEscape(t *testing.T, e executor.Executor, probe string) {
	task := Task(t, probe, "escape")
	dir := filepath.Dir(task.In)
	write(t, filepath.Join(dir, "secret"), "secret")
	write(t, filepath.Join(task.In, "regular"), "fine")
	write(t, filepath.Join(task.Out, "regular"), "fine")
	for link, to := range map[string]string{ // any order: independent links
		filepath.Join(task.In, "link"): filepath.Join(dir, "secret"), filepath.Join(task.In, "dirlink"): dir,
		filepath.Join(task.In, "inner"): "regular", filepath.Join(task.Out, "planted"): "../secret",
		filepath.Join(task.Out, "planteddir"): "..",
	} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(task.In, "fifo"), 0o644); err != nil {
		t.Fatal(err)
	}
	o, out := Do(t, e, task)
	want(t, o, executor.Done)
	if out != "worked: stat /in/fifo\n" { // it exists, it cannot be opened
		t.Errorf("the sandbox leaks:\n%s", out)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "secret")); err != nil || string(b) != "secret" {
		t.Errorf("the secret is now %q, %v", b, err)
	}
}

func testMemory(t *testing.T, e executor.Executor, probe string) {
	o, _ := Do(t, e, Task(t, probe, "grow"))
	want(t, o, executor.Memory)
}

func testProgress(t *testing.T, e executor.Executor, probe string) {
	task := Task(t, probe, "progress")
	var got []string
	task.Sinks.Progress = func(f float64, m string) { got = append(got, fmt.Sprintf("%g %s", f, m)) }
	o, _ := Do(t, e, task)
	want(t, o, executor.Done)
	if len(got) < 2 || got[0] != "0 begun" || got[len(got)-1] != "1 all of it" {
		t.Errorf("progress %q", got)
	}
}

func testDeterministic(t *testing.T, e executor.Executor, probe string) {
	run := func(seed uint64) string {
		task := Task(t, probe, "senses")
		task.Deterministic, task.Seed, task.Clock = true, seed, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
		o, out := Do(t, e, task)
		want(t, o, executor.Done)
		return out
	}
	a, b, c := run(1), run(1), run(2)
	if a != b {
		t.Errorf("replicas differ:\n%s%s", a, b)
	}
	if a == c {
		t.Errorf("the seed changes nothing: %s", a)
	}
	if !strings.Contains(a, "2026-01-02T03:04:05") {
		t.Errorf("the clock does not start where it should: %s", a)
	}
}

func testRandom(t *testing.T, e executor.Executor, probe string) {
	_, a := Do(t, e, Task(t, probe, "senses"))
	_, b := Do(t, e, Task(t, probe, "senses"))
	if a == b || a == "" {
		t.Errorf("two runs that are not deterministic agree: %s", a)
	}
	if !strings.Contains(a, time.Now().UTC().Format("2006-01")) {
		t.Errorf("the clock is not the real one: %s", a)
	}
}

func testRefused(t *testing.T, e executor.Executor, probe string) {
	ctx := context.Background()
	if err := e.Check(ctx, probe); err != nil {
		t.Errorf("check refuses the probe: %v", err)
	}
	junk := filepath.Join(t.TempDir(), "junk")
	write(t, junk, "this is not a module")
	if err := e.Check(ctx, junk); err == nil {
		t.Error("check lets junk pass")
	}
	o, _ := Do(t, e, Task(t, junk))
	want(t, o, executor.Module)
	if _, err := e.Run(ctx, executor.Task{}); !errors.Is(err, executor.ErrTask) {
		t.Errorf("a task without module: %v", err)
	}
	task := Task(t, probe, "exit", "0")
	task.Env = []string{"novalue"}
	if _, err := e.Run(ctx, task); !errors.Is(err, executor.ErrTask) {
		t.Errorf("a bad environment: %v", err)
	}
	if _, err := e.Run(ctx, Task(t, filepath.Join(t.TempDir(), "missing"))); err == nil || errors.Is(err, executor.ErrTask) {
		t.Errorf("a module that is not here: %v", err)
	}
}

func testStreams(t *testing.T, e executor.Executor, probe string) {
	n := &counter{}
	task := Task(t, probe, "flood", fmt.Sprint(executor.MaxStream/1024+5000))
	task.Sinks.Stdout = n
	o, _ := Do(t, e, task)
	want(t, o, executor.Done)
	if n.bytes < executor.MaxStream || n.bytes > executor.MaxStream+200 || !strings.Contains(string(n.last), "truncated") {
		t.Errorf("%d bytes, the last are %q", n.bytes, n.last)
	}
	o, out := Do(t, e, Task(t, probe, "stdin"))
	want(t, o, executor.Done)
	if out != "0 <nil>\n" {
		t.Errorf("stdin: %q", out)
	}
	task = Task(t, probe, "flood", "100")
	task.Sinks.Stdout = broken{}
	o, _ = Do(t, e, task)
	want(t, o, executor.Done)
}

func testNoFolders(t *testing.T, e executor.Executor, probe string) {
	task := Task(t, probe, "walk", "/in")
	task.In, task.Out = "", ""
	o, out := Do(t, e, task)
	want(t, o, executor.Done)
	if out != "/in d---------\n" {
		t.Errorf("an absent /in shows %q", out)
	}
	task.Args = []string{"write", "/out/f", "1"}
	o, _ = Do(t, e, task)
	want(t, o, executor.Exit)
}

// counter counts bytes and keeps the last write.
type counter struct {
	bytes int
	last  []byte
}

// Write implements io.Writer.
func (c *counter) Write(b []byte) (int, error) {
	c.bytes += len(b)
	c.last = append(c.last[:0], b[max(0, len(b)-100):]...)
	return len(b), nil
}

// broken is a sink that nobody empties.
type broken struct{}

// Write implements io.Writer.
func (broken) Write([]byte) (int, error) { return 0, errors.New("broken sink") }

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}
