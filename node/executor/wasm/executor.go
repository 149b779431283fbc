package wasm

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/ciro-network/ciro/node/executor"
)

// MaxModule is the size of the largest module, in bytes.
const MaxModule = 100_000_000

// maxMemory is what a 32-bit guest can address, in bytes.
const maxMemory = 4 << 30

// checkTimeout bounds Check.
const checkTimeout = 2 * time.Minute

// Config configures an Executor.
type Config struct {
	// Command starts a child: the program and arguments that lead to Child,
	// e.g. {os.Executable(), "__sandbox"}. Required.
	Command []string
	// CacheDir is a folder of this executor's own for compiled modules and
	// scratch space. It holds executable code: keep it private. Required.
	CacheDir string
	// CacheBytes bounds the compiled modules kept; 0 means 1 GiB.
	CacheBytes int64
	// Warm is how many children Serve keeps ready; 0 means none.
	Warm int
	// MaxMemory is the most memory a task may ask for, in bytes; 0 or more
	// than 4 GiB means 4 GiB.
	MaxMemory uint64
	// Log takes what is worth knowing about children and the cache. Required.
	Log *slog.Logger
}

// Executor runs WASI preview 1 modules, see the package comment. Its methods
// may be called concurrently.
type Executor struct {
	cfg     Config
	cache   *cache
	scratch string
	warm    chan *process
	refill  chan struct{}
	graves  graves
	// last is the module that ran last, which new children load ahead.
	last atomic.Pointer[moduleFile]
}

// moduleFile is a module on this machine.
type moduleFile struct{ path, hash string }

var _ executor.Executor = (*Executor)(nil)

// New checks the configuration and makes the folders. It starts nothing.
func New(cfg Config) (*Executor, error) {
	if len(cfg.Command) == 0 || cfg.CacheDir == "" || cfg.Log == nil || cfg.Warm < 0 {
		return nil, errors.New("wasm executor: Command, CacheDir and Log are required and Warm is not negative")
	}
	program, err := exec.LookPath(cfg.Command[0])
	if err != nil {
		return nil, fmt.Errorf("wasm executor: sandbox program: %w", err)
	}
	if program, err = filepath.Abs(program); err != nil {
		return nil, fmt.Errorf("wasm executor: sandbox program: %w", err)
	}
	cfg.Command = append([]string{program}, cfg.Command[1:]...)
	if cfg.CacheDir, err = filepath.Abs(cfg.CacheDir); err != nil {
		return nil, fmt.Errorf("wasm executor: cache folder: %w", err)
	}
	if cfg.CacheBytes <= 0 {
		cfg.CacheBytes = 1 << 30
	}
	if cfg.MaxMemory == 0 || cfg.MaxMemory > maxMemory {
		cfg.MaxMemory = maxMemory
	}
	e := &Executor{
		cfg: cfg, scratch: filepath.Join(cfg.CacheDir, "scratch"),
		cache: &cache{dir: filepath.Join(cfg.CacheDir, "compiled"), limit: cfg.CacheBytes},
		warm:  make(chan *process, cfg.Warm), refill: make(chan struct{}, 1),
	}
	for _, dir := range []string{cfg.CacheDir, e.scratch, e.cache.dir} {
		if err := privateDir(dir); err != nil {
			return nil, fmt.Errorf("wasm executor: %w", err)
		}
	}
	return e, nil
}

// privateDir makes a folder that nobody else may enter.
func privateDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	return os.Chmod(dir, 0o700)
}

// Name implements executor.Executor.
func (e *Executor) Name() string { return "wasm" }

// Run implements executor.Executor. It works whether or not Serve runs; a warm
// child only makes it faster.
func (e *Executor) Run(ctx context.Context, t executor.Task) (executor.Outcome, error) {
	start := time.Now()
	t = t.WithDefaults()
	req, err := e.request(t)
	if err != nil {
		return executor.Outcome{}, err
	}
	if why, err := inspect(req.Module); err != nil {
		return executor.Outcome{}, err
	} else if why != "" {
		return executor.Outcome{Cause: executor.Module, Detail: why, Started: start, Wall: time.Since(start)}, nil
	}
	if req.Tmp, err = os.MkdirTemp(e.scratch, "attempt-"); err != nil {
		return executor.Outcome{}, fmt.Errorf("make /tmp for the task: %w", err)
	}
	defer os.RemoveAll(req.Tmp)
	out, err := e.attempt(ctx, req, t.Sinks)
	out.Started, out.Wall = start, time.Since(start)
	if ran(out.Cause) && req.ModuleHash != "" {
		e.last.Store(&moduleFile{path: req.Module, hash: req.ModuleHash})
	}
	return out, err
}

// ran reports whether a module ended so that loading it ahead is harmless.
func ran(c executor.Cause) bool {
	return c == executor.Done || c == executor.Exit || c == executor.Trap
}

// request is the task for a child.
func (e *Executor) request(t executor.Task) (request, error) {
	if err := t.Validate(); err != nil {
		return request{}, err
	}
	if t.Limits.Memory > e.cfg.MaxMemory {
		return request{}, fmt.Errorf("%w: it asks for %d bytes of memory, this worker allows %d",
			executor.ErrTask, t.Limits.Memory, e.cfg.MaxMemory)
	}
	req := request{
		ModuleHash: t.ModuleHash, Args: t.Args, Env: t.Environ(), Limits: t.Limits,
		Deterministic: t.Deterministic, Seed: t.Seed, Clock: t.Clock,
	}
	for _, p := range []struct {
		to   *string
		from string
	}{{&req.Module, t.Module}, {&req.In, t.In}, {&req.Out, t.Out}} {
		if p.from == "" {
			continue
		}
		var err error
		if *p.to, err = filepath.Abs(p.from); err != nil {
			return request{}, fmt.Errorf("resolve %s: %w", p.from, err)
		}
	}
	return req, req.fits()
}

// inspect says, from its size and first bytes alone, why a file is no module;
// an error means that the file could not be read.
func inspect(path string) (why string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return "", fmt.Errorf("open module: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return "", fmt.Errorf("read module: %w", err)
	}
	if !fi.Mode().IsRegular() {
		return "the module is not a file", nil
	}
	if fi.Size() > MaxModule {
		return fmt.Sprintf("the module has %d bytes, at most %d are accepted", fi.Size(), MaxModule), nil
	}
	var head [8]byte
	if _, err := io.ReadFull(f, head[:]); err != nil || string(head[:4]) != "\x00asm" {
		return "the file is not a WebAssembly module: it does not begin with \\0asm", nil
	}
	if string(head[4:]) != "\x01\x00\x00\x00" {
		return "the file is a WebAssembly component or of another version: only core modules of version 1 run here", nil
	}
	return "", nil
}

// Check implements executor.Executor: it compiles the module in a child, which
// also leaves the compiled code in the cache for the first attempt.
func (e *Executor) Check(ctx context.Context, module string) error {
	module, err := filepath.Abs(module)
	if err != nil {
		return fmt.Errorf("resolve %s: %w", module, err)
	}
	if why, err := inspect(module); err != nil {
		return err
	} else if why != "" {
		return errors.New(why)
	}
	limits := executor.Limits{Memory: min(executor.DefaultMemory, e.cfg.MaxMemory), Timeout: checkTimeout}
	out, err := e.attempt(ctx, request{Module: module, Limits: limits, CheckOnly: true}, executor.Sinks{})
	if err != nil {
		return err
	}
	switch out.Cause {
	case executor.Done:
		return nil
	case executor.Module:
		return errors.New(out.Detail)
	}
	return fmt.Errorf("module not checked: %s", out)
}

// attempt finds a child and has it serve the request. A warm child that died
// in its sleep is replaced by a fresh one, once.
func (e *Executor) attempt(ctx context.Context, req request, to executor.Sinks) (executor.Outcome, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, req.Limits.Timeout, errDeadline)
	defer cancel()
	p := e.takeWarm()
	if p == nil {
		e.fill() // attempts that last have taken them all
	}
	defer e.fill()
	if p != nil {
		out, ok := p.serve(ctx, req, to)
		e.graves.bury(p)
		if ok {
			e.afterwards(out)
			return out.Outcome, nil
		}
		e.cfg.Log.Warn("warm sandbox was dead", "pid", p.pid())
	}
	// The kernel kills a child together with the thread that started it: keep
	// that thread until the child is done.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	p, err := e.spawn(ctx, nil)
	if ctx.Err() != nil {
		if err == nil {
			p.end()
		}
		return interrupted(ctx, req.Limits.Timeout), nil
	}
	if err != nil {
		return executor.Outcome{}, fmt.Errorf("start a sandbox: %w", err)
	}
	out, ok := p.serve(ctx, req, to)
	e.graves.bury(p)
	if !ok && out.Cause == executor.Done {
		out.Cause, out.Detail = executor.Sandbox, "the sandbox ended before it took the task"
	}
	e.afterwards(out)
	return out.Outcome, nil
}

// slowCompile is the time from which on a module was probably compiled anew
// and has grown the cache.
const slowCompile = 20 * time.Millisecond

func (e *Executor) afterwards(s served) {
	if s.compile < slowCompile {
		return
	}
	if err := e.cache.prune(); err != nil {
		e.cfg.Log.Warn("cache of compiled modules not pruned", "err", err)
	}
}
