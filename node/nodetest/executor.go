package nodetest

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/ciro-network/ciro/node/executor"
)

// Executor is a scripted executor that goes by the name of wasm.
type Executor struct {
	// Script makes an attempt; nil takes a second, reports progress, prints and
	// leaves one file, "out". It is called concurrently.
	Script func(context.Context, executor.Task) executor.Outcome
}

// Name implements executor.Executor.
func (*Executor) Name() string { return "wasm" }

// Check implements executor.Executor; it likes every module.
func (*Executor) Check(context.Context, string) error { return nil }

// Run implements executor.Executor.
func (e *Executor) Run(ctx context.Context, t executor.Task) (executor.Outcome, error) {
	if e.Script != nil {
		return e.Script(ctx, t), nil
	}
	return Work(ctx, t, time.Second), nil
}

// Work is an attempt that takes d, prints its index and leaves it in a file
// named "out" of its outputs.
func Work(ctx context.Context, t executor.Task, d time.Duration) executor.Outcome {
	wait := time.NewTimer(d)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		return executor.Outcome{Cause: executor.Cancelled, Detail: context.Cause(ctx).Error()}
	}
	t.Sinks.Progress(0.5, "half")
	text := fmt.Appendf(nil, "task %d of %d\n", t.Index, t.Count)
	if _, err := t.Sinks.Stdout.Write(text); err != nil {
		return executor.Outcome{Cause: executor.Sandbox, Detail: err.Error()}
	}
	if err := os.WriteFile(filepath.Join(t.Out, "out"), text, 0o600); err != nil {
		return executor.Outcome{Cause: executor.Sandbox, Detail: err.Error()}
	}
	return executor.Outcome{Wall: d}
}
