package wasm_test

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/executor/executortest"
	"github.com/ciro-network/ciro/node/executor/wasm"
)

// killCap is how late after its deadline an attempt may end on a busy machine.
const killCap = 5 * time.Second

var (
	noop    = asm{}
	endless = asm{code: []byte{opLoop, blockEmpty, opBr, 0, opEnd}}
	trap    = asm{code: []byte{opUnreachable}}
	// bomb grows its memory by a page until that fails, then traps.
	bomb = asm{min: 1, code: ops([]byte{opLoop, blockEmpty}, i32(1), []byte{opMemoryGrow, 0}, i32(-1),
		[]byte{0x47 /* i32.ne */, opBrIf, 0, opEnd, opUnreachable})}
	// probing asks for too much once and does well without.
	probing = asm{min: 1, code: ops(i32(65000), []byte{opMemoryGrow, 0, opDrop})}
)

func exits(code int) asm {
	return asm{
		imports: []hostFunc{{wasi, "proc_exit", 1, false}}, min: 1,
		code: ops(i32(code), []byte{opCall, 0}),
	}
}

// sleeper polls a relative clock for an hour, for ever.
func sleeper() asm {
	sub := make([]byte, 48) // userdata, tag 0 (clock), id 0, timeout at 24
	hour := uint64(time.Hour)
	for i := range 8 {
		sub[24+i] = byte(hour >> (8 * i))
	}
	return asm{
		imports: []hostFunc{{wasi, "poll_oneoff", 4, true}}, min: 1, data: sub,
		code: ops([]byte{opLoop, blockEmpty}, i32(0), i32(1024), i32(1), i32(2048),
			[]byte{opCall, 0, opDrop, opBr, 0, opEnd}),
	}
}

func TestSmallModules(t *testing.T) {
	e := newExecutor(t, 1)
	for _, c := range []struct {
		name   string
		module asm
		cause  executor.Cause
		exit   uint32
		detail string
	}{
		{"noop", noop, executor.Done, 0, ""},
		{"exit 0", exits(0), executor.Done, 0, ""},
		{"exit 3", exits(3), executor.Exit, 3, "exit code 3"},
		{"exit 75", exits(75), executor.Exit, 75, ""},
		{"trap", trap, executor.Trap, 0, "unreachable"},
		{"bomb", bomb, executor.Memory, 0, "wanted more than its"},
		{"probing", probing, executor.Done, 0, ""},
		{"too large from the start", asm{min: 40_000}, executor.Memory, 0, "starts with"},
		{"reserves all, uses little", asm{min: 1, max: 65536}, executor.Done, 0, ""},
		{"no _start", asm{export: "main"}, executor.Module, 0, "exports no function _start"},
		{"unknown import", asm{imports: []hostFunc{{"env", "socket", 0, false}}}, executor.Module, 0, "env.socket"},
		{"unknown WASI function", asm{imports: []hostFunc{{wasi, "sock_steal", 0, false}}}, executor.Module, 0, "sock_steal"},
		{"out of bounds", asm{min: 1, code: ops(i32(1<<30), []byte{opI32Load, 0, 0, opDrop})}, executor.Trap, 0, "out of bounds"},
		{"endless recursion", asm{code: []byte{opCall, 0}}, executor.Trap, 0, "stack overflow"},
	} {
		o, _ := executortest.Do(t, e, executortest.Task(t, c.module.file(t)))
		if o.Cause != c.cause || o.Exit != c.exit || !strings.Contains(o.Detail, c.detail) {
			t.Errorf("%s: %q, exit %d, %s", c.name, o.Cause, o.Exit, o.Detail)
		}
	}
}

func TestEndlessModulesAreKilled(t *testing.T) {
	e := newExecutor(t, 1)
	for name, m := range map[string]asm{"loop": endless, "sleep": sleeper()} { // any order: independent
		for _, deterministic := range []bool{false, true} {
			task := executortest.Task(t, m.file(t))
			task.Deterministic, task.Limits.Timeout = deterministic, 300*time.Millisecond
			o, _ := executortest.Do(t, e, task)
			if o.Cause != executor.Timeout || o.Wall < task.Limits.Timeout || o.Wall > task.Limits.Timeout+killCap {
				t.Errorf("%s: %q after %v: %s", name, o.Cause, o.Wall, o.Detail)
			}
			if o.PeakMemory == 0 {
				t.Errorf("%s: peak of memory not known", name)
			}
			t.Logf("%s: %v after the deadline", name, o.Wall-task.Limits.Timeout)
		}
	}
}

func TestFilesThatAreNoModules(t *testing.T) {
	e := newExecutor(t, 0)
	good := noop.bytes()
	for name, c := range map[string]struct { // any order: independent
		text []byte
		want string
	}{
		"empty":     {nil, "not a WebAssembly module"},
		"text":      {[]byte("#!/bin/sh\nexit 0\n"), "not a WebAssembly module"},
		"component": {[]byte("\x00asm\x0d\x00\x01\x00"), "component"},
		"cut short": {good[:len(good)-5], "cannot be compiled"},
		"garbage":   {append([]byte("\x00asm\x01\x00\x00\x00"), strings.Repeat("\xff", 100)...), "cannot be compiled"},
		"invalid":   {asm{code: []byte{opDrop}}.bytes(), "cannot be compiled"},
		"no _start": {asm{export: "x"}.bytes(), "_start"},
	} {
		path := moduleFile(t, c.text)
		o, _ := executortest.Do(t, e, executortest.Task(t, path))
		if o.Cause != executor.Module || !strings.Contains(o.Detail, c.want) {
			t.Errorf("%s: %q %s", name, o.Cause, o.Detail)
		}
		if err := e.Check(context.Background(), path); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: check says %v", name, err)
		}
	}
	if err := e.Check(context.Background(), noop.file(t)); err != nil {
		t.Errorf("check of a good module: %v", err)
	}
	if err := e.Check(context.Background(), filepath.Join(t.TempDir(), "none")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("check of a missing module: %v", err)
	}
}

// sized is a no-op module blown up to a size by a custom section.
func sized(t *testing.T, size int) string {
	t.Helper()
	good := noop.bytes()
	fill := size - len(good) - 1 - 4 // a length of this size takes four bytes
	b := append(good, 0)
	b = append(b, leb(fill)...)
	b = append(b, 1, 'x')
	b = append(b, make([]byte, fill-2)...)
	if len(b) != size {
		t.Fatalf("made %d bytes instead of %d", len(b), size)
	}
	return moduleFile(t, b)
}

func TestModuleSize(t *testing.T) {
	e := newExecutor(t, 0)
	o, _ := executortest.Do(t, e, executortest.Task(t, sized(t, wasm.MaxModule)))
	if !o.OK() {
		t.Errorf("a module of the largest size: %s", o)
	}
	t.Logf("largest module: %v, peak %d MiB", o.Wall, o.PeakMemory>>20)
	path := sized(t, wasm.MaxModule+1)
	o, _ = executortest.Do(t, e, executortest.Task(t, path))
	if o.Cause != executor.Module || !strings.Contains(o.Detail, "at most") {
		t.Errorf("a module of a byte more: %s", o)
	}
	if err := e.Check(context.Background(), path); err == nil || !strings.Contains(err.Error(), "at most") {
		t.Errorf("check of a byte more: %v", err)
	}
}

// TestCompilerBomb has a module whose compilation wants more than a child gets:
// the child dies of it, the parent does not notice but for the outcome.
func TestCompilerBomb(t *testing.T) {
	e := newExecutor(t, 0)
	var code []byte
	for range 120_000 {
		code = append(code, opLoop, blockEmpty)
		code = append(code, i32(1)...)
		code = append(code, opIf, blockEmpty, opEnd, opEnd)
	}
	task := executortest.Task(t, asm{code: code, functions: 20}.file(t))
	task.Limits.Timeout = 3 * time.Second
	o, _ := executortest.Do(t, e, task)
	if o.Cause != executor.Memory && o.Cause != executor.Timeout {
		t.Errorf("%q: %s", o.Cause, o.Detail)
	}
	t.Logf("%s after %v, peak %d MiB", o, o.Wall, o.PeakMemory>>20)

	task = executortest.Task(t, asm{table: 1 << 27}.file(t)) // 2 GiB of tables
	o, _ = executortest.Do(t, e, task)
	if o.Cause != executor.Memory || !strings.Contains(o.Detail, "address space") {
		t.Errorf("%q: %s", o.Cause, o.Detail)
	}
}
