package sim_test

import (
	"errors"
	"flag"
	"os"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/sim"
)

var (
	seeds  = flag.Uint64("seeds", 500, "seeds of the campaign")
	from   = flag.Uint64("from", 1, "first seed")
	replay = flag.Uint64("replay", 0, "replay this seed of the campaign with a trace")
)

func harsh(seed uint64) sim.Config { return sim.Config{Seed: seed, Faults: sim.Harsh()} }

// TestCampaign plays many short lives of a mesh in which everything goes wrong.
func TestCampaign(t *testing.T) {
	if *replay > 0 {
		if _, err := sim.Replay(harsh(*replay), os.Stdout); err != nil {
			t.Error(err)
		}
		return
	}
	n := *seeds
	if testing.Short() {
		n = min(n, 40)
	}
	var all sim.Report
	for seed := *from; seed < *from+n; seed++ {
		r, err := sim.Run(harsh(seed))
		if err != nil {
			t.Errorf("%v\nreplay it with: go test ./scheduler/sim -run Campaign -replay %d", err, seed)
			if testing.Verbose() {
				continue
			}
			return
		}
		all.Add(r)
	}
	t.Logf("%d jobs accepted: %d completed, %d failed, %d cancelled; %d attempts requeued, %d late reports refused, %d repeated submissions",
		all.Accepted, all.Completed, all.Failed, all.Cancelled, all.Reassigned, all.Refused, all.Duplicates)
	t.Logf("%d crashes (%d lost the disk), %d partitions, %d pauses, %d elections, %d steps, %d messages, %v of virtual time",
		all.Crashes, all.Wiped, all.Partitions, all.Pauses, all.Elections, all.Steps, all.Messages, all.Virtual)
	t.Logf("%d batches cut for the anchor, %d records in them; %d failed jobs began another round", all.Batches, all.Records, all.Retried)
	if all.Batches == 0 || all.Records == 0 || all.Retried == 0 {
		t.Error("no batch was ever cut or no job ever retried")
	}
	for _, s := range []struct {
		name string
		of   []time.Duration
	}{{"failover", all.Failover}, {"moved", all.Moved}, {"assigned", all.Assigned}} {
		t.Logf("%-9s n %d p50 %v p99 %v max %v", s.name, len(s.of), sim.Quantile(s.of, 0.5), sim.Quantile(s.of, 0.99), sim.Quantile(s.of, 1))
	}
}

// TestBounds measures the promises that have a bound, under their conditions: a
// dead leader is replaced (G5) and a dead worker's tasks move (G6).
func TestBounds(t *testing.T) {
	n := uint64(60)
	if testing.Short() {
		n = 20
	}
	var all sim.Report
	for seed := uint64(1); seed <= n; seed++ {
		r, err := sim.Run(sim.Config{
			Seed: seed, Jobs: 40, Duration: time.Minute,
			Faults: sim.Faults{Loss: 0.01, MinDelay: time.Millisecond, MaxDelay: 50 * time.Millisecond, Crashes: true, Gap: 5 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		all.Add(r)
	}
	for _, b := range []struct {
		name    string
		of      []time.Duration
		q       float64
		bound   time.Duration
		atLeast uint64
	}{
		{"failover", all.FailoverCalm, 0.5, 2500 * time.Millisecond, n / 6},
		{"failover", all.FailoverCalm, 0.999, 8 * time.Second, n / 6},
		{"moved", all.MovedCalm, 0.99, 5 * time.Second, n / 6},
	} {
		got := sim.Quantile(b.of, b.q)
		t.Logf("%s: %d samples, quantile %v is %v, promised %v", b.name, len(b.of), b.q, got, b.bound)
		if got > b.bound || uint64(len(b.of)) < b.atLeast {
			t.Errorf("%s: the quantile %v of %d samples is %v, over %v", b.name, b.q, len(b.of), got, b.bound)
		}
	}
}

// TestSeedReplays shows that a seed is a run, bit for bit.
func TestSeedReplays(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		a, errA := sim.Run(harsh(seed))
		b, errB := sim.Run(harsh(seed))
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.TraceHash != b.TraceHash || a.Steps != b.Steps || a.Virtual != b.Virtual {
			t.Errorf("seed %d: %x after %d steps, then %x after %d", seed, a.TraceHash, a.Steps, b.TraceHash, b.Steps)
		}
	}
}

// TestMutationsAreFound plants each bug and demands that the oracle sees it
// within 500 seeds.
func TestMutationsAreFound(t *testing.T) {
	for _, m := range sim.Mutations() {
		t.Run(m, func(t *testing.T) {
			for seed := uint64(1); seed <= 500; seed++ {
				c := harsh(seed)
				c.Mutation = m
				_, err := sim.Run(c)
				var v *sim.Violation
				if errors.As(err, &v) {
					t.Logf("found with seed %d: %v", seed, v)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
			}
			t.Error("500 seeds did not show it")
		})
	}
}
