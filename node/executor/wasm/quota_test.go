package wasm

import (
	"io/fs"
	"os"
	"strings"
	"syscall"
	"testing"

	expsys "github.com/tetratelabs/wazero/experimental/sys"

	"github.com/ciro-network/ciro/node/executor"
)

// TestFailingDisk tells what is the machine's fault, which ends the attempt,
// from what the guest may try to handle.
func TestFailingDisk(t *testing.T) {
	var cause executor.Cause
	var detail string
	q := &quota{over: func(c executor.Cause, d string) { cause, detail = c, d }}
	for _, e := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO} {
		cause = ""
		q.written(&fs.PathError{Op: "write", Path: "f", Err: e})
		if cause != executor.Sandbox || !strings.Contains(detail, "the worker's disk") || !strings.Contains(detail, e.Error()) {
			t.Errorf("%v: %q, %q", e, cause, detail)
		}
	}
	cause = ""
	if got := q.written(&fs.PathError{Err: syscall.EEXIST}); got != expsys.EEXIST || cause != "" {
		t.Errorf("a file that exists: %v, %q", got, cause)
	}
	if got := q.written(nil); got != 0 || cause != "" {
		t.Errorf("no error: %v, %q", got, cause)
	}
}

// TestFullDevice writes to a device that is always full, through a mount.
func TestFullDevice(t *testing.T) {
	full, err := os.OpenFile("/dev/full", os.O_WRONLY, 0)
	if err != nil {
		t.Skip(err)
	}
	defer full.Close()
	var cause executor.Cause
	q := &quota{maxBytes: 1 << 20, over: func(c executor.Cause, _ string) { cause = c }}
	f := &file{mount: &mount{quota: q}, f: full, mode: os.O_WRONLY, node: &inode{}}
	for name, write := range map[string]func() (int, expsys.Errno){
		"write":  func() (int, expsys.Errno) { return f.Write([]byte("x")) },
		"pwrite": func() (int, expsys.Errno) { return f.Pwrite([]byte("x"), 0) },
	} {
		cause = ""
		if _, errno := write(); errno == 0 || cause != executor.Sandbox {
			t.Errorf("%s: %v, %q", name, errno, cause)
		}
	}
}
