package node_test

import (
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/p2p"
)

// TestDrainOutlastsRestart takes a worker out: others run what comes, also after
// its restart, until it is resumed.
func TestDrainOutlastsRestart(t *testing.T) {
	inBubble(t, 3, func(t *testing.T, c *nodetest.Cluster) {
		for i := range 2 {
			if w, err := c.Node(i).Operator().Drain(t.Context(), true); err != nil || w.State != api.WorkerDraining {
				t.Fatalf("drain: %+v, %v", w, err)
			}
		}
		ranOnlyOn := func(i int) {
			t.Helper()
			j := c.Wait(2, c.Submit(2, array).Job)
			for _, task := range append(j.Tasks, *j.Gather) {
				if task.Worker != c.Node(i).PeerID().String() {
					t.Errorf("task %d ran on %s, a worker that was taken out", task.Index, task.Worker)
				}
			}
		}
		ranOnlyOn(2)
		c.Stop(0)
		c.Restart(0)
		c.WaitReplicated()
		if s, err := c.Node(0).Mesh().Status(t.Context()); err != nil || !s.Draining {
			t.Fatalf("after the restart: draining %v, %v", s.Draining, err)
		}
		ranOnlyOn(2)
		for i, on := range []bool{false, true, true} {
			if _, err := c.Node(i).Operator().Drain(t.Context(), on); err != nil {
				t.Fatal(err)
			}
		}
		ranOnlyOn(0)
	})
}

// TestOffer changes what a worker offers, durably, and takes it back.
func TestOffer(t *testing.T) {
	inBubble(t, 1, func(t *testing.T, c *nodetest.Cluster) {
		before, err := c.Node(0).Mesh().Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		types := []string{"RENDER_3D"}
		if w, err := c.Node(0).Operator().Offer(t.Context(), &api.Offering{CPUs: new(1.5), Types: &types}); err != nil || w.Total.CPU != 1.5 {
			t.Fatalf("offer: %+v, %v", w, err)
		}
		if w, err := c.Node(0).Operator().Offer(t.Context(), &api.Offering{Memory: new(int64(1 << 30))}); err != nil || w.Total.CPU != 1.5 || !reflect.DeepEqual(w.JobTypes, []string{"render3d"}) {
			t.Fatalf("a second change must keep the first: %+v, %v", w, err)
		}
		c.Stop(0)
		c.Restart(0)
		c.WaitReplicated()
		if s, err := c.Node(0).Mesh().Status(t.Context()); err != nil || s.Total.CPU != 1.5 || s.Total.Memory != 1<<30 {
			t.Fatalf("after the restart it offers %+v, %v", s.Total, err)
		}
		for _, bad := range []*api.Offering{{Types: &[]string{"quantum"}}, {Deny: &[]string{"abc"}}, {CPUs: new(1e9)}} {
			if _, err := c.Node(0).Operator().Offer(t.Context(), bad); err == nil || !strings.Contains(err.Error(), "worker.") {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if w, err := c.Node(0).Operator().Offer(t.Context(), nil); err != nil || w.Total != before.Total {
			t.Errorf("back to the configuration: %+v, want %+v, %v", w.Total, before.Total, err)
		}
	})
}

// TestOperatorOfNoWorker is refused by name.
func TestOperatorOfNoWorker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 1, nodetest.Options{Adjust: func(_ int, cfg *config.Config) { cfg.Roles = []string{config.RoleCoordinator} }})
		defer c.Close()
		c.WaitReplicated()
		if _, err := c.Node(0).Operator().Drain(t.Context(), true); err == nil || !strings.Contains(err.Error(), "no worker") {
			t.Error(err)
		}
		if u, err := c.Node(0).Operator().Usage(t.Context(), true); err != nil || u.Quota == 0 {
			t.Errorf("usage: %+v, %v", u, err)
		}
	})
}

// TestIdentityMoves exports an identity and imports it elsewhere.
func TestIdentityMoves(t *testing.T) {
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "new")
	if _, err := node.ReadIdentity(from, false); err == nil || !strings.Contains(err.Error(), "no identity") {
		t.Errorf("an empty folder: %v", err)
	}
	for _, name := range []string{"identity.key", "client.key"} {
		if _, err := p2p.LoadOrCreateIdentity(filepath.Join(from, name)); err != nil {
			t.Fatal(err)
		}
	}
	shown, err := node.ReadIdentity(from, false)
	if err != nil || shown.NodeKey != nil || shown.ClientKey != nil {
		t.Fatalf("showing gives secrets or %v", err)
	}
	id, err := node.ReadIdentity(from, true)
	if err != nil {
		t.Fatal(err)
	}
	forged := id
	forged.Peer = "12D3KooWBBKxWNRQLSJsTLtNrzErBPLCGSMcDsRnL6MUhQApXKBd"
	if err := node.WriteIdentity(to, forged); err == nil || !strings.Contains(err.Error(), "damaged") {
		t.Errorf("keys of somebody else: %v", err)
	}
	if err := node.WriteIdentity(to, id); err != nil {
		t.Fatal(err)
	}
	if again, err := node.ReadIdentity(to, true); err != nil || !reflect.DeepEqual(again, id) {
		t.Errorf("imported %+v, want %+v, %v", again, id, err)
	}
	if err := node.WriteIdentity(to, id); err == nil || !strings.Contains(err.Error(), "never replaced") {
		t.Errorf("importing over an identity: %v", err)
	}
}

// TestDeniedClient keeps one client's jobs off a worker: they wait, and say for
// what, while another client's run; taking the denial back lets them go on.
func TestDeniedClient(t *testing.T) {
	inBubble(t, 2, func(t *testing.T, c *nodetest.Cluster) {
		denied, err := node.ReadIdentity(c.DataDir(0), false)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			if _, err := c.Node(i).Operator().Offer(t.Context(), &api.Offering{Deny: &[]string{denied.Client}}); err != nil {
				t.Fatal(err)
			}
		}
		waits := c.Submit(0, array).Job
		if j := c.Wait(1, c.Submit(1, array).Job); j.State != api.JobCompleted {
			t.Fatalf("the other client's job is %s", j.State)
		}
		j, err := c.Node(1).Jobs().Describe(t.Context(), waits, false)
		if err != nil || j.State != api.JobPending || j.WaitingFor == nil || !strings.Contains(j.WaitingFor.Sentence, "client") {
			t.Fatalf("the denied client's job is %s, waits for %+v, %v", j.State, j.WaitingFor, err)
		}
		if _, err := c.Node(1).Operator().Offer(t.Context(), &api.Offering{Deny: &[]string{}}); err != nil {
			t.Fatal(err)
		}
		if j := c.Wait(1, waits); j.State != api.JobCompleted || j.Tasks[0].Worker != c.Node(1).PeerID().String() {
			t.Errorf("after the denial was taken back the job is %s, run by %s", j.State, j.Tasks[0].Worker)
		}
	})
}
