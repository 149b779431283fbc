package node_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
)

// wide is a job that fills every slot of three workers.
const wide = `{"name":"wide","module":"$MODULE","tasks":12,"resources":{"cpu":1,"memory":"64MiB"}}`

// TestLowDisk takes the room on one node's disk away by and by: first it takes
// neither content nor tasks and says so, then it is well again, then it hands
// over, stops and does not start until there is room. Every job ends.
func TestLowDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var free atomic.Uint64 // of node 1
		const reserve = 800 << 20
		free.Store(10 * reserve)
		c := nodetest.New(t, 3, nodetest.Options{
			FreeDisk: func(i int) uint64 {
				if i == 1 {
					return free.Load()
				}
				return 1 << 40
			},
			Adjust: func(_ int, cfg *config.Config) { cfg.Storage.DiskReserve = reserve },
		})
		defer c.Close()
		c.WaitReplicated()
		one := c.Node(1).PeerID().String()
		ranOnOne := func() (n int) {
			t.Helper()
			j := c.Wait(2, c.Submit(2, wide).Job)
			if j.State != api.JobCompleted {
				t.Fatalf("a job is %s: %+v", j.State, j.Reason)
			}
			for _, task := range j.Tasks {
				if task.Worker == one {
					n++
				}
			}
			return n
		}
		diskOf := func(i int) (ok bool, text, status string) {
			t.Helper()
			h, err := c.Node(i).Mesh().Health(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			for _, check := range h.Checks {
				if check.Name == "disk" {
					return check.OK, check.Detail, h.Status
				}
			}
			t.Fatal("/health says nothing of the disk")
			return
		}
		seen := func(state string) {
			t.Helper()
			c.Until("node 1 is seen as "+state, func() bool {
				list, err := c.Node(0).Mesh().Workers(t.Context())
				for _, w := range list.Workers {
					if w.ID == one {
						return err == nil && w.State == state
					}
				}
				return false
			})
		}
		if ok, text, status := diskOf(1); !ok || text != "7.8 GiB are free" || status != api.HealthOK {
			t.Errorf("at first: %v, %q, %s", ok, text, status)
		}
		if ranOnOne() == 0 {
			t.Error("node 1 ran nothing at first")
		}

		free.Store(reserve - 1)
		seen(api.WorkerDraining)
		if ok, text, status := diskOf(1); ok || !strings.Contains(text, "LOW ON DISK: 800.0 MiB") || status != api.HealthDegraded {
			t.Errorf("low: %v, %q, %s", ok, text, status)
		}
		c.Until("node 1 leads nothing", func() bool {
			s, err := c.Node(1).Mesh().Status(t.Context())
			return err == nil && len(s.Leads) == 0
		})
		if n := ranOnOne(); n > 0 {
			t.Errorf("node 1 is low on disk and ran %d tasks", n)
		}
		var refused *api.Refusal
		if _, err := c.Node(1).Blobs().Put(t.Context(), strings.NewReader("new content")); !errors.As(err, &refused) || refused.Code != api.CodeBusy || !strings.Contains(err.Error(), "storage.disk_reserve") {
			t.Errorf("content: %v", err)
		}
		free.Store(reserve + reserve/8) // not enough to be well again
		time.Sleep(3 * time.Second)     // virtual
		if n := ranOnOne(); n > 0 {
			t.Errorf("node 1 had hardly more room and ran %d tasks", n)
		}

		free.Store(2 * reserve)
		seen(api.WorkerOnline)
		if n := ranOnOne(); n == 0 {
			t.Error("node 1 has room again and ran nothing")
		}
		if _, err := c.Node(1).Operator().Drain(t.Context(), true); err != nil {
			t.Fatal(err)
		}
		free.Store(reserve - 1)
		time.Sleep(3 * time.Second) // virtual
		free.Store(2 * reserve)
		time.Sleep(3 * time.Second) // virtual
		if n := ranOnOne(); n > 0 {
			t.Errorf("its operator took node 1 out, the disk put it back: it ran %d tasks", n)
		}

		accepted := c.Submit(2, array)
		free.Store(reserve/8 - 1)
		var full *node.DiskFullError
		if err := c.Ended(1); !errors.As(err, &full) || full.Free != reserve/8-1 {
			t.Fatalf("it ended with %v", err)
		}
		if j := c.Wait(2, accepted.Job); j.State != api.JobCompleted {
			t.Errorf("the job of that time is %s: %+v", j.State, j.Reason)
		}
		if err := c.TryRestart(1); !errors.As(err, &full) || !strings.Contains(err.Error(), "free some space and start it again") {
			t.Fatalf("it started on a full disk: %v", err)
		}
		free.Store(2 * reserve)
		c.Restart(1)
		c.WaitReplicated()
		if j := c.Wait(1, accepted.Job); j.State != api.JobCompleted {
			t.Errorf("then the job is %s: %+v", j.State, j.Reason)
		}
	})
}
