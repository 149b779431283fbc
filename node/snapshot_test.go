package node_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/node/store"
	"github.com/ciro-network/ciro/scheduler/job"
)

// heap is what the process holds, before and after a collection, in MiB.
func heap() (all, live int) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	runtime.GC()
	runtime.ReadMemStats(&after)
	return int(before.HeapAlloc >> 20), int(after.HeapAlloc >> 20)
}

// fill submits jobs that nobody can run, of 14 KiB each, until the one shard of
// a cluster takes no more, and says how many it took.
func fill(t *testing.T, c *nodetest.Cluster) int {
	var env []string
	for i := range 4 {
		env = append(env, fmt.Sprintf("%q:%q", fmt.Sprint("E", i), strings.Repeat("x", 3500)))
	}
	big := `{"module":"$MODULE","constraints":"os == \"plan9\"","env":{` + strings.Join(env, ",") + `}}`
	var group sync.WaitGroup
	var full atomic.Bool
	var taken atomic.Int64
	slots := make(chan struct{}, 64)
	for i := 0; !full.Load(); i++ {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			_, err := c.TrySubmit(0, big, fmt.Sprint(i))
			var refused *api.Refusal
			switch {
			case err == nil:
				taken.Add(1)
			case errors.As(err, &refused) && refused.Code == api.CodeBusy:
				full.Store(true)
			default:
				t.Error(err)
				full.Store(true)
			}
		})
	}
	group.Wait()
	return int(taken.Load())
}

// TestLargeSnapshot fills a shard's state to its bound and lets two nodes join:
// they catch up by a snapshot of that size, and what the process holds meanwhile
// is bounded by a few states.
func TestLargeSnapshot(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 1, nodetest.Options{Shards: 1, Adjust: func(_ int, cfg *config.Config) {
			cfg.Scheduler.ClientRate, cfg.Scheduler.ClientJobs = 0, 0
		}})
		defer c.Close()
		jobs := fill(t, c)
		_, alone := heap()
		begun, peak, most := time.Now(), 0, 0
		for range 2 {
			c.Add()
		}
		c.Until("both have caught up", func() bool {
			all, live := heap()
			peak, most = max(peak, live), max(most, all)
			for i := range 3 {
				s, err := c.Node(i).Mesh().Shards(t.Context())
				if err != nil || len(s.Shards[0].Voters) != 3 || !s.Shards[0].Complete || int(s.Shards[0].Applied) < jobs {
					return false
				}
			}
			return true
		})
		took := time.Since(begun)
		size := 0
		for i := 1; i < 3; i++ {
			c.Kill(i)
			onDisk(t, c, i, func(_ *ledger.Ledger, s *store.Store) {
				all, err := s.LoadReplicas()
				if err != nil || len(all) != 1 {
					t.Fatal(len(all), err)
				}
				size = 0
				for _, chunk := range all[0].Chunks {
					size += len(chunk)
				}
			})
			if size < job.MaxStateBytes*2/5 { // the bound counts an offer twice: as it is kept, and read
				t.Errorf("node %d has a snapshot of %d bytes", i, size)
			}
		}
		t.Logf("%d jobs, a snapshot of %d MiB: caught up in %v; live heap %d MiB with one node, at most %d (with garbage %d) with three", jobs, size>>20, took, alone, peak, most)
		if bound := alone + 2*3*size>>20; peak > bound {
			t.Errorf("two receivers hold %d MiB, which is over three states each", peak-alone)
		}
	})
}
