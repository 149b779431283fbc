package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/executor/wasm"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// maxSpools bounds the ended attempts whose logs are still on disk.
const maxSpools = 256

// runner executes attempts for the worker core.
type runner struct {
	n          *Node
	executors  map[string]executor.Executor
	wasm       *wasm.Executor // nil when another executor runs the tasks
	capability atomic.Pointer[work.Capability]

	mu      sync.Mutex // guards what follows
	ctx     context.Context
	group   *errgroup.Group
	running map[work.Key]*running
	spools  []*attemptLog // oldest first; those of running attempts included
	fetches map[string]*fetching
}

// running is an attempt under way.
type running struct {
	cancel context.CancelCauseFunc
	log    *attemptLog
}

// errKilled is the cause with which the core ends an attempt.
var errKilled = errors.New("stopped by the mesh")

func newRunner(n *Node) (*runner, error) {
	r := &runner{n: n, executors: map[string]executor.Executor{}, running: map[work.Key]*running{}, fetches: map[string]*fetching{}}
	switch given := n.parts.Executor; {
	case given != nil:
		r.executors[given.Name()] = given
	case slices.Contains(n.cfg.Worker.Executors, "wasm"):
		w, err := newSandbox(n)
		if err != nil {
			return nil, err
		}
		r.wasm, r.executors[w.Name()] = w, w
	}
	offering, err := n.offering()
	if err != nil {
		return nil, err
	}
	c := n.capability(offering, slices.Sorted(maps.Keys(r.executors)))
	r.capability.Store(&c)
	return r, nil
}

// capability is what this machine offers, as decided or found.
func (n *Node) capability(c config.Worker, executors []string) work.Capability {
	total := job.Resources{CPU: uint32(c.CPUs * 1000), Memory: c.Memory, Disk: c.Disk, GPUs: uint32(c.GPUs), GPUMem: c.GPUMemory}
	if total.CPU == 0 {
		total.CPU = uint32(runtime.NumCPU() * 1000)
	}
	if total.Memory == 0 {
		total.Memory = machineMemory() / 4 * 3
	}
	if total.Disk == 0 {
		total.Disk = n.disk.offered()
	}
	labels := []job.Pair{{Key: "arch", Value: runtime.GOARCH}, {Key: "os", Value: runtime.GOOS}}
	if _, own := c.Labels["name"]; n.cfg.Name != "" && !own {
		labels = append(labels, job.Pair{Key: "name", Value: n.cfg.Name})
	}
	for k, v := range c.Labels {
		labels = append(labels, job.Pair{Key: k, Value: v})
	}
	slices.SortFunc(labels, func(a, b job.Pair) int { return strings.Compare(a.Key, b.Key) })
	slots := c.Slots
	if slots == 0 {
		slots = 4 * runtime.NumCPU()
	}
	return work.Capability{
		Total: total, Executors: executors, Types: slices.Sorted(slices.Values(c.Types)), Labels: labels,
		Price: c.Price, Slots: uint32(slots), Version: n.parts.Version, Allow: sortedKeys(c.AllowClients), Deny: sortedKeys(c.DenyClients),
	}
}

// restoreWorker makes the worker core with the reports that it still owes.
func (n *Node) restoreWorker() (*worker.Worker, error) {
	boot, err := randomID()
	if err != nil {
		return nil, err
	}
	kept, err := n.store.Reports()
	if err != nil {
		return nil, err
	}
	var restored []worker.Restored
	for _, k := range kept {
		restored = append(restored, worker.Restored{Shard: k.Shard, Report: k.Report})
	}
	w := worker.New(worker.Config{Self: n.self, Boot: boot, Hold: n.cfg.Scheduler.Booking, Capability: n.runner.offered()}, restored)
	on, err := n.drained()
	if n.operatorDrains.Store(on); on {
		n.log.Warn("this worker is drained; it takes nothing until: ciro worker resume")
	}
	w.Step(0, worker.Drain{On: n.drains()}) // it knows no leader yet, so there is nothing to do
	return w, err
}

// arm gives the attempts to come their context. Call it before the engine runs.
func (r *runner) arm(ctx context.Context) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ctx, r.group = ctx, &errgroup.Group{}
}

// run keeps the sandboxes warm and joins all attempts when ctx ends.
func (r *runner) run(ctx context.Context) error {
	var err error
	if r.wasm != nil {
		err = r.wasm.Serve(ctx)
	}
	<-ctx.Done() // no attempt begins any more; those that run end
	return errors.Join(err, r.group.Wait())
}

// begin starts an attempt. The engine's goroutine calls it.
func (r *runner) begin(a worker.Run) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() != nil {
		r.n.engine.local = append(r.n.engine.local, input{worker: worker.Finished{
			Key: a.Assign.Key, Report: work.Report{Cause: job.CauseNode, Detail: "the node is stopping"},
		}})
		return
	}
	ctx, cancel := context.WithCancelCause(r.ctx)
	run := &running{cancel: cancel, log: newAttemptLog(a.Assign.Key, filepath.Join(r.n.scratch(), name(a.Assign.Key)))}
	r.running[a.Assign.Key] = run
	r.keepSpool(run.log)
	r.group.Go(func() error {
		defer cancel(nil)
		at := &attempt{n: r.n, r: r, assign: a.Assign, need: a.Need, dir: run.log.dir, log: run.log}
		report := at.execute(ctx)
		run.log.end()
		r.mu.Lock()
		delete(r.running, a.Assign.Key)
		r.mu.Unlock()
		if r.n.bgCtx.Err() != nil {
			return nil // aborted: nothing is told or kept, as after a crash
		}
		// The end must reach the core; only a stopped engine takes it no more.
		return ignoreStopped(r.n.engine.push(context.WithoutCancel(ctx), input{worker: worker.Finished{Key: a.Assign.Key, Report: report}}))
	})
}

func ignoreStopped(err error) error {
	if errors.Is(err, errStopped) {
		return nil
	}
	return err
}

// name is an attempt's folder name.
func name(k work.Key) string {
	return fmt.Sprintf("%s-%d-%d-%d", k.Job.Short(), k.Task, k.Attempt, k.Fence)
}

// kill ends an attempt; its Finished follows.
func (r *runner) kill(k work.Key, why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if run := r.running[k]; run != nil {
		run.cancel(fmt.Errorf("%w: %s", errKilled, why))
	}
}

// busy returns the number of attempts under way.
func (r *runner) busy() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.running)
}

// keepSpool bounds the logs that are kept. The lock is held.
func (r *runner) keepSpool(l *attemptLog) {
	r.spools = append(r.spools, l)
	for i := 0; len(r.spools) > maxSpools && i < len(r.spools); {
		old := r.spools[i]
		if r.running[old.key] != nil {
			i++
			continue
		}
		r.spools = slices.Delete(r.spools, i, i+1)
		r.n.background(func(context.Context) { old.remove(r.n.log) })
	}
}

// spool finds an attempt's log; attempt 0 is the newest.
func (r *runner) spool(t taskRef, number uint32, stderr bool) *spool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, l := range slices.Backward(r.spools) {
		if l.key.Job == t.job && l.key.Task == t.task && (number == 0 || l.key.Attempt == number) {
			if stderr {
				return l.stderr
			}
			return l.stdout
		}
	}
	return nil
}

// progress passes a guest's progress on, at most five times a second.
func (r *runner) progress(k work.Key) func(float64, string) {
	var last time.Time
	return func(f float64, text string) {
		if now := time.Now(); f >= 1 || now.Sub(last) > 200*time.Millisecond {
			last = now
			r.n.engine.offer(input{worker: worker.Progressed{Key: k, Permille: uint32(min(max(f, 0), 1) * 1000), Text: text}})
		}
	}
}
