package wasm

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"strings"
	"time"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/experimental"
	expsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/experimental/sysfs"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"
	"github.com/tetratelabs/wazero/sys"
	"golang.org/x/sys/unix"

	"github.com/ciro-network/ciro/node/executor"
)

const (
	wasiModule  = "wasi_snapshot_preview1"
	entry       = "_start"
	programName = "task"
	// maxDetail bounds what is told about a failure, in bytes.
	maxDetail = 4 << 10
)

// loadedModule is a compiled module.
type loadedModule struct {
	wazero.CompiledModule
	hash string
	size int
	took time.Duration
}

// attempt runs the whole of one request.
func (c *child) attempt(ctx context.Context, req request) result {
	before := cpuTime()
	r := c.limitAndRun(ctx, req)
	r.CPU = cpuTime() - before
	if len(r.Detail) > maxDetail {
		r.Detail = strings.ToValidUTF8(r.Detail[:maxDetail], "") + " …"
	}
	return r
}

func (c *child) limitAndRun(ctx context.Context, req request) result {
	for _, err := range []error{
		capAddressSpace(c.base, req.Limits.Memory),
		capTime(req.Limits.Timeout),
	} {
		if err != nil {
			return result{Cause: executor.Sandbox, Detail: err.Error()}
		}
	}
	m, failed := c.module(ctx, req)
	if failed != nil {
		return *failed
	}
	r := c.link(ctx, req, m)
	r.Compile = m.took
	return r
}

// module is the compiled module of the request, or why there is none.
func (c *child) module(ctx context.Context, req request) (*loadedModule, *result) {
	m := c.loaded
	if m == nil || req.ModuleHash == "" || m.hash != req.ModuleHash {
		var err error
		if m, err = c.load(ctx, req.Module, req.ModuleHash); err != nil {
			return nil, compileFailure(err)
		}
	}
	const build = "build a command (GOOS=wasip1, wasm32-wasip1), not a library"
	switch f, ok := m.ExportedFunctions()[entry]; {
	case !ok:
		return nil, &result{Cause: executor.Module, Detail: "the module exports no function _start: " + build}
	case len(f.ParamTypes())+len(f.ResultTypes()) > 0:
		return nil, &result{Cause: executor.Module, Detail: "the module's function _start has parameters or results: " + build}
	}
	for _, f := range m.ImportedFunctions() {
		if from, name, _ := f.Import(); from != wasiModule {
			return nil, &result{Cause: executor.Module, Detail: fmt.Sprintf(
				"the module imports %s.%s: only %s is offered", from, name, wasiModule)}
		}
	}
	return m, nil
}

// compileFailure says what a failed compilation means for the attempt.
func compileFailure(err error) *result {
	switch {
	case outOfMemory(err):
		return &result{Cause: executor.Memory, Detail: "compiling the module takes more memory than allowed: " + err.Error()}
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission):
		return &result{Cause: executor.Sandbox, Detail: err.Error()}
	}
	return &result{Cause: executor.Module, Detail: "the module cannot be compiled: " + err.Error()}
}

func outOfMemory(err error) bool {
	return errors.Is(err, unix.ENOMEM) || strings.Contains(err.Error(), "cannot allocate memory")
}

// load maps a module's file and compiles it, or takes the compiled code from
// the cache. A damaged cache entry is told from a damaged module by compiling
// without the cache.
func (c *child) load(ctx context.Context, path, hash string) (*loadedModule, error) {
	start := time.Now()
	text, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	compiled, err := compile(ctx, c.runtime, text)
	if err != nil && strings.HasPrefix(err.Error(), "compilationcache:") {
		if compiled, err = c.loadUncached(ctx, text); err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, err
	}
	return &loadedModule{CompiledModule: compiled, hash: hash, size: len(text), took: time.Since(start)}, nil
}

func (c *child) loadUncached(ctx context.Context, text []byte) (wazero.CompiledModule, error) {
	c.runtime = wazero.NewRuntimeWithConfig(ctx, wazero.NewRuntimeConfig().WithDebugInfoEnabled(false))
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, c.runtime); err != nil {
		return nil, err
	}
	return compile(ctx, c.runtime, text)
}

// compile makes an error of a compiler that panics.
func compile(ctx context.Context, r wazero.Runtime, text []byte) (m wazero.CompiledModule, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the compiler failed: %v", p)
		}
	}()
	return r.CompileModule(ctx, text)
}

// mapFile maps a file of bounded size into memory, for as long as we live.
func mapFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open module: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read module: %w", err)
	}
	if fi.Size() == 0 || fi.Size() > MaxModule {
		return nil, fmt.Errorf("its size is %d bytes", fi.Size())
	}
	b, err := unix.Mmap(int(f.Fd()), 0, int(fi.Size()), unix.PROT_READ, unix.MAP_PRIVATE)
	if err != nil {
		return nil, fmt.Errorf("map module: %w", err)
	}
	return b, nil
}

// link gives the module its memory, folders and senses, then runs it.
func (c *child) link(ctx context.Context, req request, m *loadedModule) result {
	if req.CheckOnly {
		return result{}
	}
	bell := &progressFile{send: func(p progress) { c.must(writeJSON(c.out, kindProgress, p)) }}
	folders, err := c.folders(req, bell)
	if err != nil {
		return result{Cause: executor.Sandbox, Detail: err.Error()}
	}
	cfg := wazero.NewModuleConfig().WithName("").WithStartFunctions().
		WithArgs(append([]string{programName}, req.Args...)...).WithFSConfig(folders).
		WithStdout(stream{c, 0}).WithStderr(stream{c, 1})
	for _, kv := range req.Env {
		k, v, _ := strings.Cut(kv, "=")
		cfg = cfg.WithEnv(k, v)
	}
	if err := capFile(req.Limits.OutBytes); err != nil {
		return result{Cause: executor.Sandbox, Detail: err.Error()}
	}
	memory := &memoryCap{limit: req.Limits.Memory, over: func(wanted uint64) {
		c.abort(executor.Memory, fmt.Sprintf("the module starts with %d bytes of memory, %d are allowed", wanted, req.Limits.Memory))
	}}
	// A collection has to stop the guest, which only stops where it calls us:
	// collect late, and not by the pace of the heap.
	debug.SetGCPercent(-1)
	debug.SetMemoryLimit(guestHeap + 4*int64(m.size))
	err = start(experimental.WithMemoryAllocator(ctx, memory), c.runtime, m, senses(cfg, req))
	bell.flush()
	return verdict(err, memory)
}

// errLink marks a module that could not even be started.
var errLink = errors.New("the module cannot be started")

func start(ctx context.Context, r wazero.Runtime, m *loadedModule, cfg wazero.ModuleConfig) error {
	instance, err := r.InstantiateModule(ctx, m.CompiledModule, cfg)
	if err != nil {
		if exit := (*sys.ExitError)(nil); errors.As(err, &exit) || strings.Contains(err.Error(), "wasm error") {
			return err // by its start section
		}
		return fmt.Errorf("%w: %w", errLink, err)
	}
	_, err = instance.ExportedFunction(entry).Call(ctx)
	return err
}

// folders are what the guest sees of the host.
func (c *child) folders(req request, bell *progressFile) (wazero.FSConfig, error) {
	var frozen time.Time
	if req.Deterministic {
		frozen = req.Clock
	}
	q := &quota{maxBytes: req.Limits.OutBytes, maxFiles: req.Limits.OutFiles, nodes: map[uint64]*inode{}, over: c.abort}
	cfg := wazero.NewFSConfig()
	for _, d := range []struct {
		guest, host string
		quota       *quota
	}{{"/in", req.In, nil}, {"/out", req.Out, q}, {"/tmp", req.Tmp, q}} {
		m, err := newMount(d.host, d.quota, frozen)
		if err != nil {
			return nil, fmt.Errorf("open the folder for %s: %w", d.guest, err)
		}
		cfg = mountAt(cfg, m, d.guest)
	}
	return mountAt(cfg, &devices{progress: bell}, "/dev"), nil
}

// verdict turns how the guest ended into a result. A guest that failed after
// it had been refused memory failed for want of it.
func verdict(err error, memory *memoryCap) result {
	exit := (*sys.ExitError)(nil)
	switch {
	case err == nil || errors.As(err, &exit) && exit.ExitCode() == 0:
		return result{}
	case memory.hit:
		return result{Cause: executor.Memory, Detail: fmt.Sprintf(
			"the guest wanted more than its %d bytes of memory and then failed: %v", memory.limit, err)}
	case exit != nil:
		return result{Cause: executor.Exit, Exit: exit.ExitCode(), Detail: fmt.Sprintf("exit code %d", exit.ExitCode())}
	case errors.Is(err, errLink):
		return result{Cause: executor.Module, Detail: err.Error()}
	}
	return result{Cause: executor.Trap, Detail: err.Error()}
}

// mountAt adds a folder, by the experimental half of wazero's configuration.
func mountAt(cfg wazero.FSConfig, m expsys.FS, guest string) wazero.FSConfig {
	return cfg.(sysfs.FSConfig).WithSysFSMount(m, guest)
}
