package wasm

import (
	"context"
	"os"
	"path/filepath"
	"runtime"
	"time"
)

// abandoned is the age from which on scratch space belongs to nobody: longer
// than any attempt may take.
const abandoned = 48 * time.Hour

// respawnPause is how long Serve waits after a child failed to start.
const respawnPause = time.Second

// Serve keeps Config.Warm children ready until ctx ends, then ends those that
// are left and returns nil. At most one call may run at a time. Attempts in
// progress are not its business: their own contexts end them.
func (e *Executor) Serve(ctx context.Context) error {
	// The kernel kills a child together with the thread that started it, so
	// this one must not come to an end under the children.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	defer e.graves.dig()()
	defer e.drain()
	e.sweep()
	if err := e.cache.prune(); err != nil {
		e.cfg.Log.Warn("cache of compiled modules not pruned", "err", err)
	}
	for ctx.Err() == nil {
		if len(e.warm) < cap(e.warm) {
			e.addWarm(ctx)
			continue
		}
		select {
		case <-ctx.Done():
		case <-e.refill:
		}
	}
	return nil
}

// addWarm starts one child, or waits a little if that fails.
func (e *Executor) addWarm(ctx context.Context) {
	p, err := e.spawn(ctx, e.last.Load())
	if err != nil {
		if ctx.Err() != nil {
			return
		}
		e.last.Store(nil) // it may be the module that it was to load ahead
		e.cfg.Log.Warn("sandbox did not start", "err", err)
		pause := time.NewTimer(respawnPause)
		defer pause.Stop()
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		return
	}
	e.warm <- p // never blocks: only Serve adds, and it has looked
}

// takeWarm returns a child that is ready, or nil.
func (e *Executor) takeWarm() *process {
	select {
	case p := <-e.warm:
		return p
	default:
		return nil
	}
}

// fill has Serve look whether children are missing. It is called after an
// attempt, not when a child is taken: starting the next one would slow the
// attempt down, and most are short.
func (e *Executor) fill() {
	select {
	case e.refill <- struct{}{}:
	default:
	}
}

func (e *Executor) drain() {
	for {
		select {
		case p := <-e.warm:
			p.end()
		default:
			return
		}
	}
}

// sweep removes the scratch space of attempts that a crash cut short.
func (e *Executor) sweep() {
	list, err := os.ReadDir(e.scratch)
	if err != nil {
		e.cfg.Log.Warn("scratch folder not swept", "err", err)
		return
	}
	for _, d := range list {
		if fi, err := d.Info(); err == nil && time.Since(fi.ModTime()) > abandoned {
			if err := os.RemoveAll(filepath.Join(e.scratch, d.Name())); err != nil {
				e.cfg.Log.Warn("scratch folder not swept", "err", err)
			}
		}
	}
}

// spawn starts a child, which loads a module ahead unless that is nil, and
// waits until it is ready.
func (e *Executor) spawn(ctx context.Context, ahead *moduleFile) (*process, error) {
	h := hello{CacheDir: e.cache.dir, MaxMemory: e.cfg.MaxMemory}
	if ahead != nil {
		h.Preload, h.PreloadHash = ahead.path, ahead.hash
	}
	return startProcess(ctx, e.cfg.Command, h)
}
