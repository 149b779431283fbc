package wasm

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/executor"
)

// Warm is how many children are ready, for the tests outside.
func Warm(e *Executor) int { return len(e.warm) }

// loop is a module that loops: type ()→(), memory, _start: loop br 0 end.
const loop = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00" +
	"\x07\x0a\x01\x06_start\x00\x00\x0a\x09\x01\x07\x00\x03\x40\x0c\x00\x0b\x0b"

// startSelf starts a child of this test binary with a module to run.
func startSelf(t *testing.T, text string) (*process, request) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p, err := startProcess(context.Background(), []string{self, "__sandbox"}, hello{MaxMemory: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	module := filepath.Join(t.TempDir(), "m.wasm")
	if err := os.WriteFile(module, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return p, request{Module: module, Limits: executor.Limits{Memory: 1 << 20}}
}

// TestProcessorTime has a child without deadline meet its other limit.
func TestProcessorTime(t *testing.T) {
	p, req := startSelf(t, loop) // a timeout of nothing leaves two seconds
	s, ok := p.serve(context.Background(), req, executor.Sinks{})
	if !ok || s.Cause != executor.Timeout || !strings.Contains(s.Detail, "RLIMIT_CPU") {
		t.Errorf("%v %q after %v of processor time: %s", ok, s.Cause, s.CPU, s.Detail)
	}
}

// TestOrphan takes a child's parent away, as far as it can tell.
func TestOrphan(t *testing.T) {
	p, req := startSelf(t, loop)
	req.Limits.Timeout = time.Minute
	if err := writeJSON(p.stdin, kindRequest, req); err != nil {
		t.Fatal(err)
	}
	if kind, _, err := p.frames.next(); err != nil || kind != kindAccepted {
		t.Fatal(kind, err)
	}
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if state := p.wait(); state.ExitCode() != 1 {
		t.Errorf("ended with %v", state)
	}
}

func TestUnasked(t *testing.T) {
	p, _ := startSelf(t, loop)
	if err := p.stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if state := p.wait(); !state.Success() {
		t.Errorf("a child that was never asked ended with %v: %s", state, p.words)
	}
}

func TestFrames(t *testing.T) {
	var b bytes.Buffer
	for _, text := range []string{"", "x", strings.Repeat("y", maxFrame)} {
		if err := writeFrame(&b, kindStdout, []byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	r := newFrameReader(&b, maxFrame)
	for _, n := range []int{0, 1, maxFrame} {
		kind, payload, err := r.next()
		if err != nil || kind != kindStdout || len(payload) != n {
			t.Fatalf("kind %d, %d bytes, %v", kind, len(payload), err)
		}
	}
	for _, bad := range []string{
		"\x05\x00\x01\x00\x01", "\x00\x00\x00\x00\x00", "\xff\x00\x00\x00\x00", "\x05\xff\xff\xff\xff", "\x05\x00\x00\x00\x05abc",
	} {
		if _, _, err := newFrameReader(strings.NewReader(bad), maxFrame).next(); !errors.Is(err, errFrame) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestLyingChild sends what a child that the guest has taken over might.
func TestLyingChild(t *testing.T) {
	frame := func(kind byte, text string) string {
		var b bytes.Buffer
		if err := writeFrame(&b, kind, []byte(text)); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	accepted := frame(kindAccepted, "")
	for _, text := range []string{
		frame(kindStdout, "too early"), accepted + frame(kindHello, "{}"), accepted + frame(kindResult, "no JSON"),
		accepted + frame(kindProgress, "["), accepted,
	} {
		var out bytes.Buffer
		r := &receiver{out: sink{w: &out}}
		if err := r.receive(newFrameReader(strings.NewReader(text), maxFrame)); err == nil {
			t.Errorf("%q is believed", text)
		}
	}
	// A flood beyond what the child should have cut.
	n := 0
	s := sink{w: writerFunc(func(b []byte) { n += len(b) }), name: "stdout"}
	for range executor.MaxStream/maxFrame + 10 {
		s.write(make([]byte, maxFrame))
	}
	s.close()
	if n < executor.MaxStream || n > executor.MaxStream+100 {
		t.Errorf("passed on %d bytes", n)
	}
}

type writerFunc func(b []byte)

// Write implements io.Writer.
func (f writerFunc) Write(b []byte) (int, error) {
	f(b)
	return len(b), nil
}

func TestProgressLines(t *testing.T) {
	for line, want := range map[string]progress{ // any order: independent
		"0": {0, ""}, "1 done": {1, "done"}, " 0.25  two  words ": {0.25, "two  words"}, "0.5 \xff": {0.5, "�"},
	} {
		if got, ok := parseProgress(line); !ok || got != want {
			t.Errorf("%q: %v, %v", line, got, ok)
		}
	}
	for _, line := range []string{"", "x", "-1", "1.01", "NaN", "Inf", "50% half"} {
		if p, ok := parseProgress(line); ok {
			t.Errorf("%q is taken for %v", line, p)
		}
	}
	var got []progress
	f := &progressFile{send: func(p progress) { got = append(got, p) }}
	f.Write([]byte("0.1 " + strings.Repeat("long", 10_000)))
	f.Write([]byte("\n0.2 a\n0.3 b"))
	f.Close()
	f.flush()
	if len(got) < 2 || len(got[0].Message) > maxProgressLine || got[len(got)-1] != (progress{0.3, "b"}) {
		t.Errorf("%.200v", got)
	}
}

func TestWords(t *testing.T) {
	var w words
	for range 100 {
		if n, err := w.Write(bytes.Repeat([]byte("abc"), 1000)); n != 3000 || err != nil {
			t.Fatal(n, err)
		}
	}
	if s := w.String(); len(s) != maxWords || !strings.HasPrefix(s, "abc") {
		t.Errorf("kept %d bytes", len(s))
	}
}

func TestQuotaCounts(t *testing.T) {
	var over executor.Cause
	stopped := errors.New("stopped")
	q := &quota{maxBytes: 100, maxFiles: 2, nodes: map[uint64]*inode{}, over: func(c executor.Cause, _ string) {
		over = c
		panic(stopped)
	}}
	try := func(f func()) (c executor.Cause) {
		over = executor.Done
		defer func() {
			if p := recover(); p != nil && p != stopped {
				panic(p)
			}
			c = over
		}()
		f()
		return
	}
	n := q.opened(7, 0)
	q.resize(n, 60)
	q.resize(n, 40)
	q.unlinked(7)
	if q.bytes != 40 || q.files != 1 {
		t.Errorf("an open file without name counts as %d bytes, %d files", q.bytes, q.files)
	}
	if c := try(func() { q.resize(n, 101) }); c != executor.OutBytes {
		t.Errorf("101 of 100 bytes: %q", c)
	}
	q.closed(7, n)
	if q.bytes != 0 || q.files != 0 {
		t.Errorf("left: %d bytes, %d files", q.bytes, q.files)
	}
	q.makeDir()
	q.makeDir()
	if c := try(func() { q.opened(8, 0) }); c != executor.OutFiles {
		t.Errorf("third of two: %q", c)
	}
	q.removeDir()
	q.removeDir()
	q.removeDir()
	if q.files != 0 {
		t.Errorf("files %d", q.files)
	}
}
