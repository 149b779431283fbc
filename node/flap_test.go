package node_test

import (
	"context"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/nodetest"
)

const flapping = `{"name":"f","module":"$MODULE","tasks":4,"resources":{"cpu":1,"memory":"64MiB","disk":"1MiB"}}`

// capacityOf says how many cores a worker has, and has free, and how many
// attempts it runs; each takes one core.
func capacityOf(t *testing.T, c *nodetest.Cluster, i int) (total, free float64, runs int) {
	t.Helper()
	s, err := c.Node(i).Mesh().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Total.CPU, s.Free.CPU, s.Running
}

// goroutines counts those of the nodes: the simulated network keeps its own for
// every address that there ever was.
func goroutines() (n int) {
	buf := make([]byte, 64<<20)
	for stack := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
		if !strings.Contains(stack, "marcopolo/simnet") {
			n++
		}
	}
	return n
}

// TestFlappingWorkers has three workers, all there are, vanish and come back
// every second or two for a minute while jobs come in: two lose the network, one
// is killed and started again. No job is lost, every task is done once and with
// no attempt that is not accounted for, all room is free again in the end, and
// neither goroutines nor what leaders know of workers have grown.
func TestFlappingWorkers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		script := func(ctx context.Context, task executor.Task) executor.Outcome {
			return nodetest.Work(ctx, task, 800*time.Millisecond)
		}
		c := nodetest.New(t, 4, nodetest.Options{Executor: &nodetest.Executor{Script: script}, Adjust: func(i int, cfg *config.Config) {
			switch {
			case i < 3:
				cfg.Roles = []string{config.RoleCoordinator}
			case i == 3:
				cfg.Roles = nil
			default:
				cfg.Roles = []string{config.RoleWorker}
			}
		}})
		defer c.Close()
		c.WaitReplicated()
		workers := []int{c.Add(), c.Add(), c.Add()}
		c.Wait(3, c.Submit(3, flapping).Job)
		time.Sleep(5 * time.Second)
		before := goroutines()

		var ids []string
		flaps, kills := 0, 0
		halves := 120 // of seconds
		if testing.Short() {
			halves = 24
		}
		for half := range halves {
			if half%2 == 0 {
				ids = append(ids, c.Submit(3, flapping).Job)
			}
			c.Heal()
			for k, w := range workers[:2] { // gone for one second of two, and for one and a half of three
				if period := 4 + 2*k; half%period < period/2 {
					c.Cut(w)
				}
				if half%(4+2*k) == 0 {
					flaps++
				}
			}
			if w := workers[2]; half%4 == 1 {
				c.Kill(w)
				kills++
			} else if half%4 == 3 {
				c.Restart(w)
			}
			for _, w := range workers {
				if c.Node(w) == nil {
					continue
				}
				if total, free, runs := capacityOf(t, c, w); free < 0 || free+float64(runs) > total {
					t.Errorf("worker %d has %v of %v cores free and runs %d attempts", w, free, total, runs)
				}
			}
			time.Sleep(500 * time.Millisecond)
		}
		c.Heal()
		lost, failures, most := 0, 0, 0
		for _, id := range ids {
			j := c.Wait(3, id)
			if j.State != api.JobCompleted {
				t.Errorf("job %s is %s: %+v", id, j.State, j.Reason)
			}
			for _, task := range j.Tasks {
				lost, failures, most = lost+task.Lost, failures+task.Failures, max(most, task.Attempt)
				if task.State != api.TaskDone || task.Failures+task.Lost != task.Attempt-1 {
					t.Errorf("task %d of %s is %s after %d attempts, of which %d failed and %d were lost: %+v", task.Index, id, task.State, task.Attempt, task.Failures, task.Lost, task.Errors)
				}
			}
		}
		if failures > 0 {
			t.Errorf("%d attempts count as failures of the programs", failures)
		}
		c.Until("all room is free again", func() bool {
			l, err := c.Node(3).Mesh().Workers(t.Context())
			for _, w := range l.Workers {
				if w.Running != 0 || w.Free.CPU != w.Total.CPU {
					return false
				}
			}
			return err == nil && len(l.Workers) == len(workers) && !slices.ContainsFunc(workers, func(w int) bool {
				total, free, runs := capacityOf(t, c, w)
				return free != total || runs != 0
			})
		})
		time.Sleep(30 * time.Second)
		after := goroutines()
		t.Logf("%d cuts and %d kills; %d jobs, %d attempts lost, at most %d for one task; %d goroutines before, %d after", flaps, kills, len(ids), lost, most, before, after)
		if after > before+before/20 {
			t.Errorf("%d goroutines became %d", before, after)
		}
	})
}
