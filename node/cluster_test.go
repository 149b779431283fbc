package node_test

import (
	"testing"
	"testing/synctest"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
)

const array = `{"name":"a","type":"custom","executor":"wasm","module":"$MODULE","tasks":4,"gather":{},"resources":{"cpu":1,"memory":"64MiB","disk":"1MiB"}}`

// inBubble runs f with a cluster whose node 3, if there is one, has no role.
func inBubble(t *testing.T, n int, f func(t *testing.T, c *nodetest.Cluster)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, n, nodetest.Options{Adjust: func(i int, cfg *config.Config) {
			if i == 3 {
				cfg.Roles = nil
			}
		}})
		defer c.Close()
		c.WaitReplicated()
		f(t, c)
	})
}

// TestJobThroughNodeWithoutRole submits an array job with a gather task through
// a node that is only a door, and follows it there.
func TestJobThroughNodeWithoutRole(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		door := c.Node(3)
		s, err := door.Mesh().Status(t.Context())
		if err != nil || len(s.Roles) != 0 || len(s.Votes) != 0 {
			t.Fatalf("the door has roles %v and votes %v, %v", s.Roles, s.Votes, err)
		}
		acc := c.Submit(3, array)
		if len(acc.Signature) == 0 {
			t.Error("the acceptance is not signed")
		}
		j := c.Wait(3, acc.Job[:12])
		if j.State != api.JobCompleted || j.Result == "" {
			t.Fatalf("job is %s: %+v", j.State, j.Reason)
		}
		for _, task := range append(j.Tasks, *j.Gather) {
			if task.Worker == s.Peer || len(task.Holders) < 2 {
				t.Errorf("task %d ran on %s and is held by %v", task.Index, task.Worker, task.Holders)
			}
		}
	})
}

// TestFailoverAndRestart kills the founder while a job runs, then all nodes, and
// starts them again from disk.
func TestFailoverAndRestart(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		before := c.Node(1).PeerID()
		acc, err := c.TrySubmit(1, array, "key")
		if err != nil {
			t.Fatal(err)
		}
		c.Kill(0)
		if j := c.Wait(1, acc.Job); j.State != api.JobCompleted {
			t.Fatalf("after the founder was killed the job is %s: %+v", j.State, j.Reason)
		}
		c.Kill(1)
		c.Kill(2)
		for i := range 3 {
			c.Restart(i)
		}
		c.Heal()
		c.WaitReplicated()
		if c.Node(1).PeerID() != before {
			t.Error("the node came back as somebody else")
		}
		again, err := c.TrySubmit(1, array, "key")
		if err != nil || again.Job != acc.Job || again.Created {
			t.Errorf("the same key gave job %s (created %v), not %s: %v", again.Job, again.Created, acc.Job, err)
		}
	})
}
