package node_test

import (
	"errors"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
)

// votes returns how many nodes hold a replica of any shard.
func votes(t *testing.T, c *nodetest.Cluster, nodes ...int) (n int) {
	t.Helper()
	for _, i := range nodes {
		s, err := c.Node(i).Mesh().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(s.Votes) > 0 {
			n++
		}
	}
	return n
}

// TestAdmissionByList founds a network without a secret: a coordinator that joins
// holds nothing until the founder lists it.
func TestAdmissionByList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 3, nodetest.Options{Adjust: func(_ int, cfg *config.Config) { cfg.Network.Open = true }})
		defer c.Close()
		time.Sleep(15 * time.Second)
		if n := votes(t, c, 0, 1, 2); n != 1 {
			t.Fatalf("%d nodes hold replicas, not the founder alone", n)
		}
		var refused *api.Refusal
		if _, err := c.Node(1).Network().Allow(t.Context(), c.Node(1).PeerID().String(), true); !errors.As(err, &refused) || refused.Code != api.CodeForbidden {
			t.Errorf("a node that is not the founder's changed the list: %v", err)
		}
		for i := 1; i < 3; i++ {
			if _, err := c.Node(0).Network().Allow(t.Context(), c.Node(i).PeerID().String(), true); err != nil {
				t.Fatal(err)
			}
		}
		c.Until("all hold replicas", func() bool { return votes(t, c, 0, 1, 2) == 3 })
		a, err := c.Node(2).Network().Admission(t.Context())
		if err != nil || a.Rule != api.AdmissionList || len(a.Allowed) != 2 || a.Sequence != 2 {
			t.Errorf("node 2 knows the admission %+v, %v", a, err)
		}
	})
}

// TestLeave lets a coordinator leave for good: another takes its places, and
// jobs go on.
func TestLeave(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		four := c.Add()
		time.Sleep(5 * time.Second)
		d, err := c.Node(0).Network().Leave(t.Context())
		if err != nil || len(d.Kept) > 0 || len(d.Left) != 2 {
			t.Fatalf("leaving gave %+v, %v", d, err)
		}
		c.Stop(0)
		c.WaitReplicated()
		if n := votes(t, c, 1, 2, four); n != 3 {
			t.Errorf("%d of three nodes hold replicas", n)
		}
		if j := c.Wait(3, c.Submit(3, array).Job); j.State != api.JobCompleted {
			t.Errorf("the job is %s", j.State)
		}
	})
}

// TestRecoverShards loses two of three coordinators with their disks and begins
// the shards anew with the last one.
func TestRecoverShards(t *testing.T) {
	inBubble(t, 4, func(t *testing.T, c *nodetest.Cluster) {
		before := c.Submit(3, array)
		c.Wait(3, before.Job)
		lost := []string{c.Node(1).PeerID().String(), c.Node(2).PeerID().String()}
		if _, err := c.Node(3).Network().Recover(t.Context(), 0, lost, true); err == nil {
			t.Fatal("a shard with a majority was recovered")
		}
		for _, i := range []int{1, 2} {
			dir := c.DataDir(i)
			c.Kill(i)
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
		}
		c.Until("health says that a majority is lost", func() bool {
			h, err := c.Node(0).Mesh().Health(t.Context())
			return err == nil && h.Status == api.HealthFailing && strings.Contains(healthText(h), "recover-shard")
		})
		if _, err := c.Node(3).Network().Recover(t.Context(), 0, lost[:1], true); err == nil {
			t.Error("a voter that is neither there nor named as lost did not matter")
		}
		for id := range 2 {
			var r api.Recovery
			c.Until("recovery is possible", func() bool {
				var err error
				r, err = c.Node(3).Network().Recover(t.Context(), id, lost, true)
				return err == nil
			})
			if !r.Done || r.Epoch != 1 || r.From != c.Node(0).PeerID().String() {
				t.Errorf("recovery of shard %d: %+v", id, r)
			}
		}
		if j := c.Wait(3, before.Job); j.State != api.JobCompleted {
			t.Errorf("the job from before is %s", j.State)
		}
		acc := c.Submit(3, array)
		if j := c.Wait(3, acc.Job); j.State != api.JobCompleted {
			t.Errorf("a new job is %s", j.State)
		}
		c.Restart(1)
		c.Restart(2)
		c.WaitReplicated()
	})
}

func healthText(h api.Health) (out string) {
	for _, c := range h.Checks {
		out += c.Name + ": " + c.Detail + "\n"
	}
	return out
}
