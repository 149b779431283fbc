package node_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// nowhere is a job that no worker of these tests can run.
const nowhere = `{"module":"$MODULE","constraints":"os == \"plan9\""}`

// TestListNamesWhatIsMissing kills a coordinator: a list says at once which
// shards it lacks, and is whole again when others lead them.
func TestListNamesWhatIsMissing(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		settle()
		var ids []string
		shards := map[int]bool{}
		for len(shards) < 2 {
			acc := c.Submit(3, nowhere)
			ids, shards[acc.Shard] = append(ids, acc.Job), true
		}
		leader := leaderOf(t, c, 3, ids[0])
		s, err := c.Node(leader).Mesh().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c.Kill(leader)
		asked := time.Now()
		l, err := c.Node(3).Jobs().List(t.Context(), api.ListQuery{})
		if took := time.Since(asked); err != nil || took > 3*time.Second || !slices.Equal(l.Unanswered, s.Leads) {
			t.Errorf("%v after the kill the list lacks shards %v, the dead one led %v, %v", took, l.Unanswered, s.Leads, err)
		}
		for _, j := range l.Jobs {
			if slices.Contains(s.Leads, j.Shard) {
				t.Errorf("shard %d did not answer but its job %s is listed", j.Shard, j.ID)
			}
		}
		c.Until("a whole list", func() bool {
			l, err := c.Node(3).Jobs().List(t.Context(), api.ListQuery{})
			return err == nil && len(l.Unanswered) == 0 && len(l.Jobs) == len(ids)
		})
		if took := time.Since(asked); took > 10*time.Second {
			t.Errorf("the list was whole %v after the kill", took)
		}
	})
}

// TestDescribeWithoutLeader asks a voter that was cut off: it refuses in time and
// says what it knows, and gives what it remembers to those who want that. A node
// without role beside it, which remembers nothing itself, asks it.
func TestDescribeWithoutLeader(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		settle()
		id := c.Submit(0, nowhere).Job
		j, err := c.Node(0).Jobs().Describe(t.Context(), id, true)
		if err != nil || j.Stale || j.WaitingFor == nil || j.WaitingFor.Code != shard.WaitsMatch || !strings.Contains(j.WaitingFor.Sentence, "plan9") {
			t.Errorf("with a leader: stale %v, waiting for %+v, %v", j.Stale, j.WaitingFor, err)
		}
		for _, offset := range []int{1, 0} { // once a follower of the leader, once the leader itself
			leader := leaderOf(t, c, 0, id)
			name := c.Node(leader).PeerID().String()
			i := (leader + offset) % 3
			c.Cut(i, 3)
			cut := time.Now()
			for time.Since(cut) < 20*time.Second {
				unavailable(t, c, i, id, name[len(name)-8:])
			}
			for _, door := range []int{i, 3} {
				asked := time.Now()
				j, err := c.Node(door).Jobs().Describe(t.Context(), id, true)
				if took := time.Since(asked); err != nil || took > 4*time.Second || !j.Stale || j.Coordinator != name || j.WaitingFor == nil || j.WaitingFor.Code != shard.WaitsLeader {
					t.Errorf("node %d took %v: stale %v, waiting for %+v, %v", door, took, j.Stale, j.WaitingFor, err)
				}
				if age := j.AsOf.Sub(cut); age > 2*time.Second || age < -20*time.Second {
					t.Errorf("node %d gave facts of %v after it was cut off", door, age)
				}
			}
			c.Heal()
			c.WaitReplicated()
		}
	})
}

// unavailable asks node i for a job and wants to hear why that cannot be said,
// and who led last.
func unavailable(t *testing.T, c *nodetest.Cluster, i int, id, leader string) {
	t.Helper()
	asked := time.Now()
	_, err := c.Node(i).Jobs().Describe(t.Context(), id, false)
	if took := time.Since(asked); took > 3*time.Second {
		t.Errorf("node %d took %v to answer", i, took)
	}
	var refused *api.Refusal
	if !errors.As(err, &refused) || refused.Code != api.CodeUnavailable || refused.RetryAfter == 0 {
		t.Fatalf("node %d, which was cut off, answered %v", i, err)
	}
	for _, want := range []string{"leader " + leader + " last heard of ", "voters [", " this node", " a majority must be reachable"} {
		if !strings.Contains(refused.Message, want) {
			t.Errorf("%q does not say %q", refused.Message, want)
		}
	}
	if !strings.Contains(refused.Message, " does not answer") && !strings.Contains(refused.Message, " not connected") {
		t.Errorf("%q does not say who is silent", refused.Message)
	}
}

// TestFreshNodeAsksANeighbour uses nodes in the moment in which they join: they
// know nobody's shards and find the leaders all the same.
func TestFreshNodeAsksANeighbour(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		c.Stop(3)
		old := c.Submit(1, nowhere).Job
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		for what, use := range map[string]func(jobs api.Jobs) error{
			"describe": func(jobs api.Jobs) error { _, err := jobs.Describe(ctx, old, false); return err },
			"prefix":   func(jobs api.Jobs) error { _, err := jobs.Describe(ctx, old[:8], false); return err },
			"list": func(jobs api.Jobs) error {
				l, err := jobs.List(ctx, api.ListQuery{})
				if err == nil && (len(l.Unanswered) > 0 || len(l.Jobs) == 0) {
					err = fmt.Errorf("it lacks shards %v and has %d jobs", l.Unanswered, len(l.Jobs))
				}
				return err
			},
			"submit": func(api.Jobs) error { _, err := c.TrySubmit(3, array, ""); return err },
		} {
			c.Restart(3)
			begun := time.Now()
			if err := use(c.Node(3).Jobs()); err != nil || time.Since(begun) > 3*time.Second {
				t.Errorf("%s in a node that has just begun, after %v: %v", what, time.Since(begun), err)
			}
			c.Stop(3)
		}
	})
}

// TestLeadersSpread runs sixteen shards on five coordinators: once the leaders
// have spread, none leads more than its fair share and one, then or later.
func TestLeadersSpread(t *testing.T) {
	const nodes, shards = 5, 16
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, nodes, nodetest.Options{Shards: shards, Adjust: func(_ int, cfg *config.Config) {
			cfg.Roles = []string{config.RoleCoordinator}
		}})
		defer c.Close()
		c.WaitReplicated()
		settle()
		var leads [nodes]int
		for range 70 { // longer than a leader stays where it is less wanted
			sum := 0
			for i := range nodes {
				s, err := c.Node(i).Mesh().Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				if leads[i] = len(s.Leads); leads[i] > (shards+nodes-1)/nodes+1 {
					t.Fatalf("node %d leads shards %v", i, s.Leads)
				}
				sum += leads[i]
			}
			if sum > shards {
				t.Fatalf("%d shards have the leaders %v", shards, leads)
			}
			time.Sleep(time.Second)
		}
		c.WaitReplicated()
		t.Logf("leaderships: %v", leads)
	})
}
