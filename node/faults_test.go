package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/nodetest"
)

// leaderOf finds the number of the node that coordinates a job.
func leaderOf(t *testing.T, c *nodetest.Cluster, door int, id string) int {
	t.Helper()
	j, err := c.Node(door).Jobs().Describe(t.Context(), id, false)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if c.Node(i) != nil && c.Node(i).PeerID().String() == j.Coordinator {
			return i
		}
	}
	t.Fatalf("nobody is the coordinator %s", j.Coordinator)
	return 0
}

const slow = `{"name":"s","type":"custom","executor":"wasm","module":"$MODULE","tasks":30,"resources":{"cpu":1,"memory":"64MiB","disk":"1MiB"}}`

// TestWatchOutlivesCoordinator watches a job through the node without role while
// its coordinator is killed: every move is seen once, in order.
func TestWatchOutlivesCoordinator(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		acc := c.Submit(3, slow)
		leader := leaderOf(t, c, 3, acc.Job)
		seen, done, last := map[string]bool{}, map[string]int{}, ""
		killed := false
		err := c.Node(3).Jobs().Watch(t.Context(), api.WatchQuery{Job: acc.Job}, func(e api.Event) error {
			if e.Cursor != "" && seen[e.Cursor] {
				t.Errorf("event %s came twice", e.Cursor)
			}
			seen[e.Cursor], last = true, e.Kind
			if e.Kind == api.EventDone {
				done[fmt.Sprint(e.Task)]++
			}
			if len(done) == 3 && !killed {
				killed = true
				c.Kill(leader)
			}
			return nil
		})
		if err != nil || last != api.EventCompleted || !killed {
			t.Fatalf("the watch ended with %q (killed %v): %v", last, killed, err)
		}
		for task, n := range done {
			if n != 1 {
				t.Errorf("task %s was done %d times", task, n)
			}
		}
		if len(done) != 30 {
			t.Errorf("%d of 30 tasks were seen to be done", len(done))
		}
	})
}

// TestPartition cuts one node off: it answers unavailable within three seconds,
// the others work on, and after healing it knows what they did.
func TestPartition(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		before := c.Submit(0, array)
		c.Wait(0, before.Job)
		c.Cut(0)
		begun := time.Now()
		for time.Since(begun) < 20*time.Second { // until its leases of old leaderships have ended, too
			asked := time.Now()
			_, err := c.TrySubmit(0, array, "")
			if took := time.Since(asked); took > 3500*time.Millisecond {
				t.Errorf("the minority took %v to answer", took)
			}
			var refused *api.Refusal
			if err != nil && (!errors.As(err, &refused) || refused.Code != api.CodeUnavailable || !strings.Contains(refused.Message, "voters")) {
				t.Errorf("the minority answered %v", err)
			}
			if err == nil {
				t.Error("the minority accepted a job")
			}
		}
		during := c.Submit(1, array)
		if j := c.Wait(1, during.Job); j.State != api.JobCompleted {
			t.Fatalf("on the majority's side the job is %s: %+v", j.State, j.Reason)
		}
		c.Heal()
		healed := time.Now()
		c.Until("the healed node knows the job", func() bool {
			j, err := c.Node(0).Jobs().Describe(t.Context(), during.Job, false)
			return err == nil && j.State == api.JobCompleted
		})
		t.Logf("caught up %v after healing", time.Since(healed))
		c.WaitReplicated()
	})
}

// TestCancelAndLogs follows a running task's log, cancels the job, and finds
// that nothing runs any more.
func TestCancelAndLogs(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		whole := c.Submit(0, array)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		var text strings.Builder
		err := c.Node(2).Logs().Logs(ctx, api.LogQuery{Job: whole.Job, Task: 1, Stream: "stdout", Follow: true}, func(l api.LogChunk) error {
			text.Write(l.Data)
			return nil
		})
		if err != nil || text.String() != "task 1 of 4\n" {
			t.Errorf("the log is %q, %v", text.String(), err)
		}
		acc := c.Submit(1, slow)
		if err := c.Node(2).Jobs().Cancel(t.Context(), acc.Job[:16], "enough"); err != nil {
			t.Fatal(err)
		}
		if j := c.Wait(0, acc.Job); j.State != api.JobCancelled || j.Reason == nil || j.Reason.Sentence != "enough" {
			t.Errorf("the job is %s: %+v", j.State, j.Reason)
		}
		c.Until("nothing runs", func() bool {
			for i := range 3 {
				if s, err := c.Node(i).Mesh().Status(t.Context()); err != nil || s.Running != 0 {
					return false
				}
			}
			return true
		})
		var refused *api.Refusal
		if err := c.Node(0).Jobs().Cancel(t.Context(), acc.Job, "again"); !errors.As(err, &refused) || refused.Code != api.CodeConflict {
			t.Errorf("cancelling an ended job gave %v", err)
		}
	})
}

// TestCleanStop stops a node that leads and runs tasks as SIGTERM does: its
// tasks are finished or handed back, and nothing counts as a failure.
func TestCleanStop(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		acc := c.Submit(3, slow)
		leader := leaderOf(t, c, 3, acc.Job)
		c.Until("some tasks run", func() bool {
			j, err := c.Node(3).Jobs().Describe(t.Context(), acc.Job, false)
			return err == nil && j.Counts.Done > 0
		})
		c.Stop(leader)
		j := c.Wait(3, acc.Job)
		if j.State != api.JobCompleted {
			t.Fatalf("the job is %s: %+v", j.State, j.Reason)
		}
		for _, task := range j.Tasks {
			if task.Failures != 0 {
				t.Errorf("task %d counts %d failures: %+v", task.Index, task.Failures, task.Errors)
			}
		}
	})
}
