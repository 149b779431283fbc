package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
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
// its coordinator is killed. What it hears is what the log says, event for event:
// what the replicas of the survivors applied, and what is told again afterwards,
// from the beginning and from the middle.
func TestWatchOutlivesCoordinator(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		var applied [3]record
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		for i := range applied {
			go func() { _ = c.Node(i).Jobs().Watch(ctx, api.WatchQuery{}, applied[i].take) }()
		}
		synctest.Wait()
		acc := c.Submit(3, slow)
		leader := leaderOf(t, c, 3, acc.Job)
		var heard, again, rest record
		killed := false
		err := c.Node(3).Jobs().Watch(t.Context(), api.WatchQuery{Job: acc.Job}, func(e api.Event) error {
			if e.Kind == api.EventDone && !killed {
				killed = true
				c.Kill(leader)
			}
			return heard.take(e)
		})
		lines := heard.of(acc.Job)
		if err != nil || !killed || len(lines) == 0 || !strings.HasSuffix(lines[len(lines)-1], api.EventCompleted) {
			t.Fatalf("the watch ended with %q (killed %v): %v", lines, killed, err)
		}
		if n := strings.Count(strings.Join(lines, "\n"), " "+api.EventDone); n != 30 {
			t.Errorf("%d of 30 tasks were seen to be done", n)
		}
		time.Sleep(time.Second) // followers apply a little later
		for i := range applied {
			if got := applied[i].of(acc.Job); i != leader && !slices.Equal(got, lines) {
				t.Errorf("the watcher heard\n%q\nbut node %d applied\n%q", lines, i, got)
			}
		}
		err = c.Node(3).Jobs().Watch(t.Context(), api.WatchQuery{Job: acc.Job}, again.take)
		if got := again.of(acc.Job); err != nil || !slices.Equal(got, lines) {
			t.Errorf("the watcher heard\n%q\nbut told again it is\n%q, %v", lines, got, err)
		}
		middle, _, _ := strings.Cut(lines[len(lines)/2], " ")
		err = c.Node(3).Jobs().Watch(t.Context(), api.WatchQuery{Job: acc.Job, After: middle}, rest.take)
		if got := rest.of(acc.Job); err != nil || !slices.Equal(got, lines[len(lines)/2+1:]) {
			t.Errorf("resumed after %s it is\n%q, %v", middle, got, err)
		}
	})
}

// record is what a watcher heard.
type record struct {
	mu     sync.Mutex
	events []api.Event
}

func (r *record) take(e api.Event) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, e)
	return nil
}

// of returns the events of one job's log as lines that begin with the cursor;
// progress is not in the log.
func (r *record) of(id string) (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, e := range r.events {
		if e.Job == id && e.Cursor != "" || e.Kind == api.EventReset {
			lines = append(lines, fmt.Sprintf("%s task %d attempt %d %s", e.Cursor, e.Task, e.Attempt, e.Kind))
		}
	}
	return lines
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
