package wasm_test

import (
	"context"
	"testing"

	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/executor/executortest"
	"github.com/ciro-network/ciro/node/executor/wasm"
)

// benchmark runs the same task again and again; with pause, each finds a warm
// child, without, the pool cannot keep up and most start their own.
func benchmark(b *testing.B, e *wasm.Executor, task executor.Task, pause func()) {
	if _, err := e.Run(context.Background(), task); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		b.StopTimer()
		pause()
		b.StartTimer()
		o, err := e.Run(context.Background(), task)
		if err != nil || !o.OK() {
			b.Fatal(o, err)
		}
	}
}

func warmAgain(b *testing.B, e *wasm.Executor, n int) func() {
	return func() { eventually(b, "warm children", func() bool { return wasm.Warm(e) == n }) }
}

func BenchmarkNoopWarm(b *testing.B) {
	e := newExecutor(b, 1)
	benchmark(b, e, executortest.Task(b, noop.file(b)), warmAgain(b, e, 1))
}

func BenchmarkNoopCold(b *testing.B) {
	e := newExecutor(b, 0)
	benchmark(b, e, executortest.Task(b, noop.file(b)), func() {})
}

func BenchmarkGoModuleWarm(b *testing.B) {
	e := newExecutor(b, 1)
	benchmark(b, e, executortest.Task(b, probe(b), "exit", "0"), warmAgain(b, e, 1))
}

// The module is in the cache, but the child has not loaded it ahead.
func BenchmarkGoModuleWarmOther(b *testing.B) {
	e := newExecutor(b, 1)
	task := executortest.Task(b, probe(b), "exit", "0")
	task.ModuleHash = ""
	benchmark(b, e, task, warmAgain(b, e, 1))
}

func BenchmarkGoModuleCold(b *testing.B) {
	e := newExecutor(b, 0)
	benchmark(b, e, executortest.Task(b, probe(b), "exit", "0"), func() {})
}

func BenchmarkNoopThroughput(b *testing.B) {
	e := newExecutor(b, 4)
	task := executortest.Task(b, noop.file(b))
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if o, err := e.Run(context.Background(), task); err != nil || !o.OK() {
				b.Error(o, err)
			}
		}
	})
}
