package node_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/nodetest"
)

// TestCatchUpAfterPartition cuts a coordinator and a node without role off for
// longer than any back-off's first steps. Both sides say things meanwhile that
// the other cannot hear; ten seconds after healing everybody knows all of it.
func TestCatchUpAfterPartition(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		c.Cut(0, 3)
		cut := time.Now()
		var refused *api.Refusal
		offered, err := c.TrySubmit(3, array, "once")
		if !errors.As(err, &refused) || refused.Code != api.CodeUnavailable {
			t.Fatalf("the minority answered %+v, %v", offered, err)
		}
		if _, err := c.Node(0).Operator().Drain(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		memory := int64(3 << 30)
		if _, err := c.Node(1).Operator().Offer(t.Context(), &api.Offering{Memory: &memory}); err != nil {
			t.Fatal(err)
		}
		during := c.Submit(1, array).Job
		if j := c.Wait(2, during); j.State != api.JobCompleted {
			t.Errorf("on the majority's side the job is %s: %+v", j.State, j.Reason)
		}
		time.Sleep(45*time.Second - time.Since(cut))
		c.Heal()
		healed := time.Now()
		c.Until("all know what was said on the other side", func() bool {
			for i := range 4 {
				l, err := c.Node(i).Jobs().List(t.Context(), api.ListQuery{})
				if err != nil || len(l.Unanswered) > 0 || len(l.Jobs) != 2 {
					return false // the job of the majority's side and the offer of the other
				}
				ws, err := c.Node(i).Mesh().Workers(t.Context())
				if err != nil || workerOf(ws, c, 0).State != api.WorkerDraining || workerOf(ws, c, 1).Total.Memory != memory {
					return false
				}
			}
			return true
		})
		took := time.Since(healed)
		if t.Logf("caught up %v after healing", took); took > 10*time.Second {
			t.Errorf("catching up took %v", took)
		}
		again, err := c.TrySubmit(3, array, "once")
		if err != nil || again.Created {
			t.Errorf("the same request again gave %+v, %v", again, err)
		}
		if j := c.Wait(0, again.Job); j.State != api.JobCompleted {
			t.Errorf("the job that was handed in on the minority's side is %s: %+v", j.State, j.Reason)
		}
		if l, err := c.Node(1).Jobs().List(t.Context(), api.ListQuery{}); err != nil || len(l.Jobs) != 2 {
			t.Errorf("there are %d jobs, not 2, %v", len(l.Jobs), err)
		}
	})
}

// workerOf finds node i in a list of workers.
func workerOf(l api.WorkerList, c *nodetest.Cluster, i int) api.Worker {
	for _, w := range l.Workers {
		if w.ID == c.Node(i).PeerID().String() {
			return w
		}
	}
	return api.Worker{}
}

// settle lets the leaders of a new network spread, which they do at once, and
// everybody hear of it.
func settle() { time.Sleep(10 * time.Second) }

// silenced runs f with three coordinators that run nothing and two workers, 3
// and 4, of which the first runs tasks of a job, each taking length, when it is
// cut off.
func silenced(t *testing.T, length time.Duration, f func(t *testing.T, c *nodetest.Cluster, id string)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 5, nodetest.Options{
			Adjust: func(i int, cfg *config.Config) {
				cfg.Roles = []string{config.RoleCoordinator}
				if i >= 3 {
					cfg.Roles = []string{config.RoleWorker}
				}
			},
			Executor: &nodetest.Executor{Script: func(ctx context.Context, task executor.Task) executor.Outcome {
				return nodetest.Work(ctx, task, length)
			}},
		})
		defer c.Close()
		c.WaitReplicated()
		c.Until("both workers are there", func() bool {
			l, err := c.Node(0).Mesh().Workers(t.Context())
			return err == nil && len(workerOf(l, c, 3).Shards) == 2 && len(workerOf(l, c, 4).Shards) == 2
		})
		settle()
		id := c.Submit(0, `{"module":"$MODULE","tasks":8,"resources":{"cpu":1,"memory":"64MiB","disk":"1MiB"}}`).Job
		c.Until("both workers are full", func() bool { return running(t, c, 3) == 4 && running(t, c, 4) == 4 })
		c.Cut(3)
		f(t, c, id)
	})
}

func running(t *testing.T, c *nodetest.Cluster, i int) int {
	t.Helper()
	s, err := c.Node(i).Mesh().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Running
}

// results checks that a job completed with one accepted result for each task and
// returns how many of them are of worker i and of attempt n.
func results(t *testing.T, c *nodetest.Cluster, id string, i, n int) (count int) {
	t.Helper()
	j := c.Wait(0, id)
	var log record
	if err := c.Node(0).Jobs().Watch(t.Context(), api.WatchQuery{Job: id}, log.take); err != nil {
		t.Fatal(err)
	}
	done := map[int]int{}
	for _, e := range log.events {
		if e.Kind == api.EventDone {
			done[e.Task]++
		}
	}
	for _, task := range j.Tasks {
		if done[task.Index] != 1 || task.State != api.TaskDone || task.Failures+task.Lost != task.Attempt-1 {
			t.Errorf("task %d is %s, was done %d times, failed %d and was lost %d times: %+v", task.Index, task.State, done[task.Index], task.Failures, task.Lost, task.Errors)
		}
		if task.Worker == c.Node(i).PeerID().String() && task.Attempt == n {
			count++
		}
	}
	if j.State != api.JobCompleted || len(j.Tasks) != 8 {
		t.Errorf("the job is %s with %d tasks: %+v", j.State, len(j.Tasks), j.Reason)
	}
	return count
}

// TestLateResultIsRefused wakes a worker after its lease: its tasks are another's
// by then, what it brings is refused, and it works again.
func TestLateResultIsRefused(t *testing.T) {
	silenced(t, 9*time.Second, func(t *testing.T, c *nodetest.Cluster, id string) {
		time.Sleep(8 * time.Second) // the lease is four; its tasks are still under way
		j, err := c.Node(0).Jobs().Describe(t.Context(), id, false)
		if err != nil || !slices.ContainsFunc(j.Tasks, func(task api.Task) bool { return len(task.Errors) > 0 && task.Errors[0].Cause == "lapsed" }) {
			t.Errorf("nothing lapsed: %+v, %v", j.Counts, err)
		}
		time.Sleep(2 * time.Second)
		c.Heal()
		if n := results(t, c, id, 4, 2); n != 4 {
			t.Errorf("%d of 4 tasks that lapsed were done by the other worker", n)
		}
		c.Until("the worker that woke is rid of its reports", func() bool { return running(t, c, 3) == 0 })
		if _, err := c.Node(4).Operator().Drain(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		next := c.Submit(0, `{"module":"$MODULE","tasks":8,"resources":{"cpu":1,"memory":"64MiB","disk":"1MiB"}}`).Job
		if n := results(t, c, next, 3, 1); n != 8 {
			t.Errorf("the worker that woke did %d of 8 tasks", n)
		}
	})
}

// TestShortSilence wakes a worker within its lease, after its tasks have ended:
// their results are used.
func TestShortSilence(t *testing.T) {
	silenced(t, 1500*time.Millisecond, func(t *testing.T, c *nodetest.Cluster, id string) {
		time.Sleep(2500 * time.Millisecond)
		c.Heal()
		if n := results(t, c, id, 3, 1); n != 4 {
			t.Errorf("%d of 4 results of the worker that was silent were used", n)
		}
	})
}

// TestMinorityAnswersInTime asks a coordinator that was cut off, and a node
// without role beside it or alone, for everything that needs the coordinator of a shard,
// by whole id and by prefix: one deadline holds for all steps of a request.
func TestMinorityAnswersInTime(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		settle()
		id := c.Submit(0, nowhere).Job
		leader := leaderOf(t, c, 0, id)
		for _, small := range [][]int{{leader, 3}, {(leader + 1) % 3, 3}, {3}} {
			c.Cut(small...)
			cut := time.Now()
			for time.Since(cut) < 4*time.Second {
				for _, door := range small {
					go asks(t, c, door, id)
				}
				time.Sleep(250 * time.Millisecond)
			}
			time.Sleep(5 * time.Second)
			c.Heal()
			c.WaitReplicated()
			settle()
			leader = leaderOf(t, c, 0, id)
		}
	})
}

// asks asks a node on a minority's side for one thing after another.
func asks(t *testing.T, c *nodetest.Cluster, door int, id string) {
	jobs, rounds := c.Node(door).Jobs(), c.Node(door).Rounds()
	for what, ask := range map[string]func() error{
		"submit":           func() error { _, err := c.TrySubmit(door, nowhere, ""); return err },
		"describe":         func() error { _, err := jobs.Describe(t.Context(), id, false); return err },
		"remember":         func() error { _, err := jobs.Describe(t.Context(), id, true); return err },
		"describe by part": func() error { _, err := jobs.Describe(t.Context(), id[:12], false); return err },
		"remember by part": func() error { _, err := jobs.Describe(t.Context(), id[:12], true); return err },
		"cancel":           func() error { return jobs.Cancel(t.Context(), id, "test") },
		"cancel by part":   func() error { return jobs.Cancel(t.Context(), id[:12], "test") },
		"retry by part":    func() error { _, err := rounds.Retry(t.Context(), id[:12], api.RetryQuery{}); return err },
	} {
		go func() {
			asked := time.Now()
			err := ask()
			var refused *api.Refusal
			if took := time.Since(asked); took > 3*time.Second {
				t.Errorf("node %d took %v to answer %s: %v", door, took, what, err)
			} else if errors.As(err, &refused) && refused.Code != api.CodeUnavailable {
				t.Errorf("node %d answered %s with %v", door, what, err)
			}
		}()
	}
}

// TestLeaderLostWhileWorking cuts a coordinator off with a door in the moment in
// which it is elected: what the door was asked while there was none comes to one
// that cannot finish it. The time of that adds to nothing.
func TestLeaderLostWhileWorking(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		settle()
		first := c.Submit(3, nowhere)
		old := leaderOf(t, c, 3, first.Job)
		c.Kill(old)
		over := make(chan struct{})
		time.AfterFunc(5*time.Second, func() { close(over) })
		go func() {
			for next := -1; next < 0; time.Sleep(5 * time.Millisecond) {
				for i := range 3 {
					if i == old {
						continue
					}
					s, err := c.Node(i).Mesh().Status(t.Context())
					if err == nil && slices.Contains(s.Leads, first.Shard) {
						next = i
					}
				}
				if next >= 0 {
					c.Cut(next, 3)
				}
			}
		}()
		var all sync.WaitGroup
		answers := map[string]int{}
		var mu sync.Mutex
		for ended := false; !ended; {
			all.Go(func() {
				asked := time.Now()
				_, err := c.TrySubmit(3, nowhere, "")
				var refused *api.Refusal
				code := "accepted"
				if errors.As(err, &refused) {
					code = refused.Code
				}
				if took := time.Since(asked); took > 3*time.Second {
					t.Errorf("a submission was answered after %v: %v", took, err)
				}
				mu.Lock()
				defer mu.Unlock()
				answers[code]++
			})
			select {
			case <-over:
				ended = true
			case <-time.After(100 * time.Millisecond):
			}
		}
		all.Wait()
		if t.Log(answers); answers[api.CodeUnavailable] == 0 {
			t.Error("nobody was told that the coordinator is lost")
		}
	})
}

// TestCoordinatorTakesItsTime submits a job whose input nobody has: its
// coordinator looks for it for longer than a request waits for a coordinator, and
// the door waits, since a majority follows who says that it is at work.
func TestCoordinatorTakesItsTime(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		b, err := c.Node(3).Blobs().Put(t.Context(), strings.NewReader("\x00asm\x01\x00\x00\x00"))
		if err != nil {
			t.Fatal(err)
		}
		text := `{"module":"` + b.CID + `","inputs":[{"cid":"bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy","name":"a"}]}`
		asked := time.Now()
		_, err = c.Node(3).Jobs().Submit(t.Context(), api.Submission{Spec: []byte(text)})
		var refused *api.Refusal
		if took := time.Since(asked); took < 5*time.Second || !errors.As(err, &refused) || refused.Code != "inputs_unavailable" {
			t.Errorf("after %v the door said %v", took, err)
		}
	})
}
