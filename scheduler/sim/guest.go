package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// execution is one attempt that runs on a node.
type execution struct {
	key    work.Key
	inputs []work.TaskOutput
	killed bool
}

// execute begins an attempt: it starts after a moment, runs for a while and
// ends in one of the ways in which guests end.
func (n *node) execute(a worker.Run) {
	w := n.w
	x := &execution{key: a.Assign.Key, inputs: a.Assign.Inputs}
	n.runs = append(n.runs, x)
	w.printf("%s runs %s task %d attempt %d fence %d", n.name, x.key.Job.Short(), x.key.Task, x.key.Attempt, x.key.Fence)
	w.soon(n, w.between(time.Millisecond, 30*time.Millisecond), func() {
		if !x.killed {
			n.stepWorker(worker.Started{Key: x.key})
		}
	})
	took := w.between(50*time.Millisecond, 1500*time.Millisecond)
	if w.chance(0.1) {
		took = w.between(2*time.Second, 5*time.Second)
	}
	w.soon(n, took, func() {
		if !x.killed {
			n.finish(x, n.outcome(x))
		}
	})
}

func (n *node) finish(x *execution, r work.Report) {
	n.runs = slices.DeleteFunc(n.runs, func(o *execution) bool { return o == x })
	n.stepWorker(worker.Finished{Key: x.key, Report: r})
}

// kill ends an attempt soon; its place is free only then.
func (n *node) kill(k work.Key) {
	for _, x := range n.runs {
		if x.key != k || x.killed {
			continue
		}
		x.killed = true
		n.w.soon(n, n.w.between(time.Millisecond, 20*time.Millisecond), func() {
			n.finish(x, work.Report{Cause: job.CauseNode, Detail: "killed"})
		})
	}
}

// outcome draws how an attempt ends. A result names the run that made it, so
// that the oracle can tell whose result was accepted.
func (n *node) outcome(x *execution) work.Report {
	w := n.w
	if x.key.Task == job.GatherIndex && len(x.inputs) > 0 && w.chance(0.1) {
		return work.Report{Cause: job.CauseOutputs, Detail: "an input is nowhere to be fetched", Missing: x.inputs[:1]}
	}
	switch p := w.rng.Float64(); {
	case p < 0.04:
		return work.Report{Cause: job.CauseExit, Detail: "exit code 3"}
	case p < 0.08:
		return work.Report{Cause: job.CauseRetry, Detail: "exit code 75"}
	case p < 0.10:
		return work.Report{Cause: job.CauseTimeout, Detail: "time ran out"}
	case p < 0.12:
		return work.Report{Cause: job.CauseInputs, Detail: "an input could not be fetched"}
	case p < 0.13:
		return work.Report{Cause: job.CauseTrap, Detail: "unreachable"}
	}
	return work.Report{Result: &job.Result{
		Output: fmt.Sprintf("%s/%s", n.name, keyText(x.key)), Holders: []string{n.name}, WallTime: time.Millisecond,
	}}
}

// keyText names an attempt.
func keyText(k work.Key) string {
	return fmt.Sprintf("%s/%d/%d/%d", k.Job.Short(), k.Task, k.Attempt, k.Fence)
}
