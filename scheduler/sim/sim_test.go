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
	seeds  = flag.Uint64("seeds", 150, "seeds of the campaign")
	from   = flag.Uint64("from", 1, "first seed")
	replay = flag.Uint64("replay", 0, "replay this seed of the campaign with a trace")
)

// TestCampaign plays many short lives of a mesh in which everything goes wrong,
// and demands that everything did. `make sim` plays thousands.
func TestCampaign(t *testing.T) {
	if *replay > 0 {
		if _, err := sim.Replay(sim.Campaign(*replay), os.Stdout); err != nil {
			t.Error(err)
		}
		return
	}
	n := *seeds
	if testing.Short() {
		n = min(n, 60)
	}
	var all sim.Report
	for seed := *from; seed < *from+n; seed++ {
		r, err := sim.Run(sim.Campaign(seed))
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
	t.Logf("%d elections, %d steps, %d messages, %v of virtual time, %d operations in order", all.Elections, all.Steps, all.Messages, all.Virtual, all.Checked)
	t.Logf("%d batches cut for the anchor, %d records in them; %d failed jobs began another round", all.Batches, all.Records, all.Retried)
	if all.Batches == 0 || all.Records == 0 || all.Retried == 0 {
		t.Error("no batch was ever cut or no job ever retried")
	}
	t.Logf("faults %v", all.Faults)
	t.Logf("effects %v", all.Effects)
	if n < 100 {
		return // too few to demand everything of them
	}
	for _, k := range sim.Kinds() {
		if all.Faults[k] == 0 {
			t.Errorf("the nemesis %q never struck in %d seeds", k, n)
		}
	}
	for _, e := range []string{
		"churned", "clocks found wrong", "cut off", "delayed", "double reports", "doubled", "garbage", "held back", "hit while a group changed", "lies", "lost",
		"pauses over every timeout", "refused from strangers", "replayed", "slow syncs", "stolen attempts", "stopped with a full disk",
		"unsynced writes lost", "wrong results",
	} {
		if all.Effects[e] == 0 {
			t.Errorf("no fault had the effect %q in %d seeds", e, n)
		}
	}
}

// TestBounds measures the promises that have a bound, under their conditions: a
// dead leader is replaced (G5) and a dead worker's tasks move (G6).
func TestBounds(t *testing.T) {
	const n = 5 // three gave four dead workers, the fewest that are judged
	var all sim.Report
	for seed := uint64(1); seed <= n; seed++ {
		r, err := sim.Run(sim.Config{
			Seed: seed, Jobs: 400, Duration: 90 * time.Second,
			Faults: sim.Faults{Loss: 0.01, MinDelay: time.Millisecond, MaxDelay: 50 * time.Millisecond, Kinds: []string{"crash"}, Gap: 3 * time.Second},
		})
		if err != nil {
			t.Fatal(err)
		}
		all.Add(r)
	}
	for _, b := range []struct {
		name  string
		of    []time.Duration
		q     float64
		bound time.Duration
	}{
		{"leader's death to the next one's readiness", all.FailoverCalm, 0.5, 2500 * time.Millisecond},
		{"leader's death to the next assignment", all.ResumedCalm, 0.5, 2500 * time.Millisecond},
		{"leader's death to the next assignment", all.ResumedCalm, 0.999, 8 * time.Second},
		{"worker's death to its tasks' move", all.MovedCalm, 0.99, 5 * time.Second},
	} {
		got := sim.Quantile(b.of, b.q)
		t.Logf("%s: %d samples, quantile %v is %v, promised %v", b.name, len(b.of), b.q, got, b.bound)
		if got > b.bound || len(b.of) < 4 {
			t.Errorf("%s: the quantile %v of %d samples is %v, promised are %v", b.name, b.q, len(b.of), got, b.bound)
		}
	}
}

// TestSeedReplays shows that a seed is a run, bit for bit, also when its script
// is given rather than drawn.
func TestSeedReplays(t *testing.T) {
	for seed := uint64(1); seed <= 3; seed++ {
		c := sim.Campaign(seed)
		a, errA := sim.Run(c)
		c.Script = sim.Plan(c)
		b, errB := sim.Run(c)
		if errA != nil || errB != nil {
			t.Fatal(errA, errB)
		}
		if a.TraceHash != b.TraceHash || a.Steps != b.Steps || a.Virtual != b.Virtual {
			t.Errorf("seed %d: %x after %d steps, then %x after %d", seed, a.TraceHash, a.Steps, b.TraceHash, b.Steps)
		}
	}
}

// TestMutationsAreFound plants each bug and demands that a campaign which does
// not know it sees it within 500 seeds, by a rule and not by a panic.
func TestMutationsAreFound(t *testing.T) {
	if n := len(sim.Mutations()); n < 12 {
		t.Errorf("only %d bugs are planted", n)
	}
	for _, m := range sim.Mutations() {
		v := find(t, m)
		if v == nil && testing.Short() {
			continue // fewer seeds than are promised
		}
		if v == nil {
			t.Errorf("%s: 500 seeds did not show it", m)
			continue
		}
		t.Logf("%-20s %-10s seed %3d: %s", m, v.Rule, v.Seed, v.Detail)
		if v.Rule == "panic" {
			t.Errorf("%s: only a panic shows it", m)
		}
	}
}

func find(t *testing.T, mutation string) *sim.Violation {
	last := uint64(500)
	if testing.Short() {
		last = 20
	}
	for seed := uint64(1); seed <= last; seed++ {
		c := sim.Campaign(seed)
		c.Mutation = mutation
		_, err := sim.Run(c)
		var v *sim.Violation
		if errors.As(err, &v) {
			return v
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return nil
}
