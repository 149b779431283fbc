package sim_test

import (
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/sim"
)

// TestHourOfChurn plays an hour in which half of all nodes leave or crash and
// come back, half of them without their disk, under a steady load on a wide
// network: no promise is broken and every job ends. `ciro sim --nodes 40 --shards
// 4 --churn 0.5 --faults none --duration 1h --rate 2 --latency wan` shows the same.
func TestHourOfChurn(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a quarter of a minute")
	}
	const nodes, share = 40, 0.5
	c := sim.Config{Seed: 1, Nodes: nodes, Shards: 4, Rate: 2, Duration: time.Hour, Faults: sim.Wan()}
	c.Faults.Churn = share
	r, err := sim.Run(c)
	if err != nil {
		t.Fatal(err)
	}
	churned, wiped := r.Effects["churned"], r.Faults["wipe"]
	t.Logf("%d nodes churned, %d without their disk; %d jobs accepted, %d completed, %d failed, %d attempts queued again; %d elections; time to assignment p50 %v, p99.9 %v",
		churned, wiped, r.Accepted, r.Completed, r.Failed, r.Reassigned, r.Elections, sim.Quantile(r.Assigned, 0.5), sim.Quantile(r.Assigned, 0.999))
	if churned < nodes*share/2 || wiped == 0 {
		t.Errorf("%d nodes churned, %d of them without their disk: too few for half of %d", churned, wiped, nodes)
	}
	if r.Accepted < 7000 || r.Completed+r.Failed+r.Cancelled != r.Accepted {
		t.Errorf("%d jobs accepted, %d completed, %d failed, %d cancelled", r.Accepted, r.Completed, r.Failed, r.Cancelled)
	}
	if r.Failed > r.Accepted/100 {
		t.Errorf("%d of %d jobs failed", r.Failed, r.Accepted)
	}
}
