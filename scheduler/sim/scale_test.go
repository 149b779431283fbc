package sim_test

import (
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/pprof"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/sim"
)

var (
	nodes   = flag.Int("nodes", 400, "nodes of the scale test; 1 shard for every 100, but at least 4")
	shards  = flag.Int("shards", 0, "shards of the scale test, 0: by the number of nodes")
	rate    = flag.Float64("rate", 20, "jobs per second of the scale test")
	minutes = flag.Float64("minutes", 0.5, "virtual minutes of the scale test")
	faulty  = flag.Bool("faulty", false, "faults in the scale test: crashes, pauses and partitions")
	cpu     = flag.String("profile", "", "file for a profile of the scale test alone")
)

// TestScale plays a large mesh under a steady load, and prints what a node sends
// and receives and how large states are. make sim-scale plays larger ones.
func TestScale(t *testing.T) {
	c := sim.Config{
		Seed: 1, Nodes: *nodes, Bystanders: *nodes / 20, Shards: max(4, *nodes/100), Rate: *rate,
		Duration: time.Duration(*minutes * float64(time.Minute)), SnapshotEvery: 4096,
		Faults: sim.Faults{MinDelay: 5 * time.Millisecond, MaxDelay: 50 * time.Millisecond},
	}
	if *shards > 0 {
		c.Shards = *shards
	}
	if *faulty {
		c.Faults.Loss, c.Faults.Duplicate, c.Faults.Gap = 0.01, 0.005, 2*time.Second
		c.Faults.Kinds = []string{"crash", "pause", "halves", "oneway", "isolate"}
	}
	if *cpu != "" {
		f, err := os.Create(*cpu)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			t.Fatal(err)
		}
		defer pprof.StopCPUProfile()
	}
	began, before := time.Now(), processorTime()
	r, err := sim.Run(c)
	wall, spent := time.Since(began), processorTime()-before
	if err != nil {
		t.Fatal(err)
	}
	if r.Accepted == 0 || r.Completed+r.Failed != r.Accepted {
		t.Errorf("%d jobs accepted, %d completed, %d failed", r.Accepted, r.Completed, r.Failed)
	}
	t.Logf("%d nodes, %d shards, %v of virtual time in %v (%.0f times real time) and %v of processor time, peak RSS %s", c.Nodes, c.Shards, r.Virtual.Round(time.Second),
		wall.Round(time.Millisecond), r.Virtual.Seconds()/wall.Seconds(), spent.Round(time.Millisecond), peakRSS())
	t.Logf("%d jobs accepted, %d completed, %d failed, %d requeued, %d crashes, %d elections, %d steps of cores, %d messages",
		r.Accepted, r.Completed, r.Failed, r.Reassigned, r.Faults["crash"], r.Elections, r.Steps, r.Messages)
	t.Logf("time to assignment p50 %v p99 %v max %v; to failover n %d p50 %v p99 %v max %v",
		sim.Quantile(r.Assigned, 0.5), sim.Quantile(r.Assigned, 0.99), sim.Quantile(r.Assigned, 1),
		len(r.Failover), sim.Quantile(r.Failover, 0.5), sim.Quantile(r.Failover, 0.99), sim.Quantile(r.Failover, 1))
	var b strings.Builder
	r.WriteTables(&b)
	t.Log("\n" + b.String())
}

// processorTime is what this process has used so far, collecting garbage
// included.
func processorTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakRSS is the process's largest resident set so far, where the system says it.
func peakRSS() string {
	b, err := os.ReadFile("/proc/self/status")
	if err == nil {
		for line := range strings.Lines(string(b)) {
			if v, ok := strings.CutPrefix(line, "VmHWM:"); ok {
				return strings.TrimSpace(v)
			}
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return fmt.Sprintf("%d MB of heap", m.HeapSys>>20)
}

// TestBystandersHearNoMore shows that what a node without a role sends and
// receives does not grow with the mesh.
func TestBystandersHearNoMore(t *testing.T) {
	heard := func(nodes int) float64 {
		r, err := sim.Run(sim.Config{
			Seed: 1, Nodes: nodes, Bystanders: nodes / 10, Shards: 4, Rate: 4, Duration: 20 * time.Second,
			Faults: sim.Faults{MinDelay: 5 * time.Millisecond, MaxDelay: 50 * time.Millisecond},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range r.Traffic {
			if c.Class == "bystander" {
				return c.Kinds[len(c.Kinds)-1].Bytes
			}
		}
		t.Fatalf("no bystanders among %v", r.Traffic)
		return 0
	}
	few, many := heard(50), heard(500)
	t.Logf("%.0f bytes per second among 50 nodes, %.0f among 500", few, many)
	if many > 1.5*few {
		t.Errorf("a bystander's traffic grows with the mesh: %.0f bytes per second among 50 nodes, %.0f among 500", few, many)
	}
}
