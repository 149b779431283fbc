package node_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// unseen are waiting codes that no client can bring about, and why; package
// shard's TestEveryWaitingCode reaches them.
var unseen = map[string]string{
	shard.WaitsUnreadable: "a constraint that this release cannot read is refused at the door",
	shard.WaitsTurn:       "what fits is placed within the Step, 256 tasks at a time",
}

// TestEveryWaitingCode brings jobs into all states of waiting over whole nodes
// and asks for them as a client does. It fails for a listed code that neither it
// nor the core's own test reaches.
func TestEveryWaitingCode(t *testing.T) {
	script := func(ctx context.Context, task executor.Task) executor.Outcome {
		if slices.Contains(task.Args, "fail") {
			return executor.Outcome{Cause: executor.Exit, Exit: 75, Retry: true}
		}
		return nodetest.Work(ctx, task, 100*time.Second)
	}
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nodetest.Options{Shards: 1, Executor: &nodetest.Executor{Script: script}, Adjust: func(i int, cfg *config.Config) {
			cfg.Roles = []string{config.RoleCoordinator}
			if i == 3 {
				cfg.Roles = []string{config.RoleWorker}
			}
		}})
		defer c.Close()
		c.WaitReplicated()
		seen := map[string]bool{}
		code := func(i int, id string, stale bool) string {
			j, err := c.Node(i).Jobs().Describe(t.Context(), id, stale)
			if err != nil || j.WaitingFor == nil {
				return fmt.Sprint("none: ", err)
			}
			if len(j.WaitingFor.Sentence) < 20 {
				t.Errorf("%s has the sentence %q", j.WaitingFor.Code, j.WaitingFor.Sentence)
			}
			seen[j.WaitingFor.Code] = true
			return j.WaitingFor.Code
		}
		wait := func(id, want string) {
			t.Helper()
			last := ""
			defer func() {
				if t.Failed() {
					t.Logf("instead of %s: %s", want, last)
				}
			}()
			c.Until("the code "+want, func() bool { last = code(0, id, false); return last == want })
		}
		submit := func(rest string) string {
			return c.Submit(0, `{"module":"$MODULE","resources":{"cpu":1,"memory":"1MiB"}`+rest+`}`).Job
		}
		many := submit(`,"tasks":4`)
		wait(many, shard.WaitsWorker)
		c.Add()
		wait(many, shard.WaitsTasks)
		one := submit("")
		wait(one, shard.WaitsBusy)
		never := submit(`,"constraints":"os == \"plan9\""`)
		wait(never, shard.WaitsMatch)
		wait(one, shard.WaitsReserved)
		for _, id := range []string{many, one, never} {
			if err := c.Node(0).Jobs().Cancel(t.Context(), id, "enough"); err != nil {
				t.Fatal(err)
			}
		}
		again := submit(`,"args":["fail"],"retries":5`)
		wait(again, shard.WaitsBackoff)
		if err := c.Node(0).Jobs().Cancel(t.Context(), again, "enough"); err != nil {
			t.Fatal(err)
		}
		c.Until("the worker is idle", func() bool { return running(t, c, 3) == 0 })
		time.Sleep(3 * time.Second)
		c.Cut(3) // its leader asks it for a place and hears nothing
		held := submit("")
		wait(held, shard.WaitsBooking)
		c.Heal()
		c.WaitReplicated()
		c.Cut(0)
		c.Until("the code "+shard.WaitsLeader, func() bool { return code(0, held, true) == shard.WaitsLeader })
		for _, k := range shard.WaitCodes() {
			if !seen[k.Code] && unseen[k.Code] == "" {
				t.Errorf("no client has seen the code %s", k.Code)
			}
			if seen[k.Code] && unseen[k.Code] != "" {
				t.Errorf("a client sees the code %s; it is not to be excused", k.Code)
			}
			delete(seen, k.Code)
		}
		if len(seen) > 0 {
			t.Errorf("not in the list: %v", seen)
		}
	})
}
