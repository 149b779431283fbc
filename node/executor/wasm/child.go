package wasm

import (
	"context"
	"fmt"
	"io"
	"os"
	"runtime/debug"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"github.com/ciro-network/ciro/node/executor"
)

// Child is the body of the hidden command that Config.Command starts: the
// inside of the sandbox. It makes one attempt, which it is told on stdin, and
// returns the process's exit code; call it before anything else in main and
// pass the result to os.Exit. It takes the whole process for itself: the
// environment is emptied, limits are set that cannot be lifted, descriptors
// above 2 are closed, and it exits when its parent does.
func Child() int {
	debug.SetMemoryLimit(compileHeap)
	c := &child{in: newFrameReader(os.Stdin, maxRequest), out: os.Stdout}
	if err := c.serve(context.Background()); err != nil && err != io.EOF {
		fmt.Fprintln(os.Stderr, "sandbox:", err)
		return 1
	}
	return 0
}

// child is the process in the sandbox. The guest runs on its main goroutine,
// which is also the only one to write frames.
type child struct {
	in  *frameReader
	out io.Writer

	runtime wazero.Runtime
	base    uint64 // bytes of address space used before anything was loaded
	loaded  *loadedModule

	sent    [2]uint64 // bytes of stdout and stderr passed on
	dropped [2]uint64 // and not
}

// warmup is a module that does nothing, run once so that the first guest finds
// the runtime's code loaded: type ()→(), one function, exported as _start.
const warmup = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00" +
	"\x07\x0a\x01\x06_start\x00\x00\x0a\x04\x01\x02\x00\x0b"

func (c *child) serve(ctx context.Context) error {
	if err := settle(); err != nil {
		return err
	}
	var h hello
	if err := c.in.nextJSON(kindHello, &h); err != nil {
		return err
	}
	if err := c.prepare(ctx, h); err != nil {
		return err
	}
	if err := writeFrame(c.out, kindReady, nil); err != nil {
		return err
	}
	var req request
	if err := c.in.nextJSON(kindRequest, &req); err != nil {
		return err // io.EOF: the parent has no more use for us
	}
	if err := writeFrame(c.out, kindAccepted, nil); err != nil {
		return err
	}
	go exitWithParent(c.in)
	c.finish(c.attempt(ctx, req))
	return nil // not reached
}

// exitWithParent waits for the end of stdin, which is the end of the parent.
func exitWithParent(in *frameReader) {
	_, _, _ = in.next() // there is no third frame: whatever comes is the end
	os.Exit(1)
}

// prepare makes everything that does not depend on the request.
func (c *child) prepare(ctx context.Context, h hello) error {
	var err error
	if c.base, err = addressSpace(); err != nil {
		return err
	}
	if err := capAddressSpace(c.base, h.MaxMemory); err != nil {
		return err
	}
	if err := capFile(maxCacheFile); err != nil {
		return err
	}
	cfg := wazero.NewRuntimeConfig().WithDebugInfoEnabled(false)
	if h.CacheDir != "" {
		cache, err := wazero.NewCompilationCacheWithDir(h.CacheDir)
		if err != nil {
			return fmt.Errorf("open the cache of compiled modules: %w", err)
		}
		cfg = cfg.WithCompilationCache(cache)
	}
	c.runtime = wazero.NewRuntimeWithConfig(ctx, cfg)
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, c.runtime); err != nil {
		return fmt.Errorf("prepare WASI: %w", err)
	}
	quiet := wazero.NewModuleConfig().WithName("")
	if _, err := c.runtime.InstantiateWithConfig(ctx, []byte(warmup), quiet); err != nil {
		return fmt.Errorf("warm up: %w", err)
	}
	if h.Preload != "" {
		// A failure here is met again, and reported, by whoever asks for it.
		c.loaded, _ = c.load(ctx, h.Preload, h.PreloadHash)
	}
	return nil
}

// finish sends the last frame and waits to be killed, so that the parent can
// still look at what this process has used. It does not return.
func (c *child) finish(r result) {
	r.Dropped = c.dropped
	c.must(writeJSON(c.out, kindResult, r))
	select {}
}

// abort ends the attempt, and the process, from within the guest.
func (c *child) abort(cause executor.Cause, detail string) {
	c.finish(result{Cause: cause, Detail: detail, CPU: cpuTime()})
}

// must ends the process if nobody listens any more.
func (c *child) must(err error) {
	if err != nil {
		os.Exit(1)
	}
}

// stream is the guest's stdout (0) or stderr (1).
type stream struct {
	child *child
	index int
}

// Write passes output on in frames, up to executor.MaxStream in total, and
// swallows the rest.
func (s stream) Write(b []byte) (int, error) {
	c, n := s.child, len(b)
	if room := executor.MaxStream - c.sent[s.index]; uint64(n) > room {
		c.dropped[s.index] += uint64(n) - room
		b = b[:room]
	}
	c.sent[s.index] += uint64(len(b))
	for len(b) > 0 {
		part := b[:min(len(b), maxFrame)]
		c.must(writeFrame(c.out, kindStdout+byte(s.index), part))
		b = b[len(part):]
	}
	return n, nil
}
