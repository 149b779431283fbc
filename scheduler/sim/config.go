package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// Faults say what goes wrong while a simulation lasts. The zero value is a kind
// world with a delay of half a millisecond.
type Faults struct {
	Loss      float64       // share of messages lost, 0..0.5
	Duplicate float64       // share of messages delivered twice, 0..0.5
	MinDelay  time.Duration // one way, default 500 us
	MaxDelay  time.Duration // one way, default MinDelay; one message in fifty takes five times as long
	Kinds     []string      // of Kinds: what the nemesis does, in random order; none: nothing
	Gap       time.Duration // least time between two faults, default 500 ms; at most six times that
	Churn     float64       // share of the nodes that leave and come back in an hour, beside Kinds
}

// Config describes one simulation. The same value gives the same run, bit for
// bit.
type Config struct {
	Seed     uint64
	Nodes    int           // default 5, at most 20,000
	Shards   int           // default 2, at most 1024
	Jobs     int           // default 8; negative: none
	Only     []int         // of the jobs, those that are submitted; nil: all
	Rate     float64       // jobs of one task per second, all the time, instead of Jobs at random; 0: none, at most 10,000
	Duration time.Duration // virtual time under faults, default 12 s
	Faults   Faults
	Script   []Fault // what goes wrong and when; nil: drawn from the seed and Faults

	Bystanders    int    // nodes that have no role, of Nodes, default 0
	SnapshotEvery uint64 // entries between two snapshots of a shard, default 48, with a Rate 4096
	Mutation      string // one of Mutations, "" for none: a planted bug that must be found
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (c Config) withDefaults() Config {
	c.Nodes, c.Shards, c.Jobs = or(c.Nodes, 5), or(c.Shards, 2), or(c.Jobs, 8)
	c.Duration = or(c.Duration, 12*time.Second)
	if c.Rate > 0 {
		c.Jobs, c.SnapshotEvery = 0, or(c.SnapshotEvery, 4096)
	}
	c.SnapshotEvery = or(c.SnapshotEvery, 48)
	c.Faults.MinDelay = or(c.Faults.MinDelay, 500*time.Microsecond)
	c.Faults.Gap = or(c.Faults.Gap, 500*time.Millisecond)
	c.Faults.MaxDelay = max(c.Faults.MaxDelay, c.Faults.MinDelay)
	return c
}

// Validate says what is wrong with a configuration.
func (c Config) Validate() error {
	c = c.withDefaults()
	switch {
	case c.Nodes < 1 || c.Nodes > 20_000:
		return fmt.Errorf("nodes: %d is outside 1..20000", c.Nodes)
	case c.Bystanders < 0 || c.Bystanders >= c.Nodes:
		return fmt.Errorf("bystanders: %d is outside 0..%d; at least one node needs a role", c.Bystanders, c.Nodes-1)
	case c.Shards < 1 || c.Shards > 1024:
		return fmt.Errorf("shards: %d is outside 1..1024", c.Shards)
	case c.Rate < 0 || c.Rate > 10_000:
		return fmt.Errorf("rate: %v is outside 0..10000", c.Rate)
	case c.Jobs > 100_000:
		return fmt.Errorf("jobs: %d is over 100000", c.Jobs)
	case c.Duration < 0:
		return errors.New("duration: negative")
	case c.Faults.Churn < 0 || c.Faults.Churn > 1000:
		return errors.New("churn: need a share per hour between 0 and 1000")
	case c.Faults.Loss < 0 || c.Faults.Loss > 0.5 || c.Faults.Duplicate < 0 || c.Faults.Duplicate > 0.5:
		return errors.New("loss, duplicate: need a share between 0 and 0.5")
	case c.Faults.MinDelay < 0 || c.Faults.Gap < 0:
		return errors.New("delay, gap: negative")
	case c.Mutation != "" && !slices.Contains(Mutations(), c.Mutation):
		return fmt.Errorf("mutation %q is not known; there are %v", c.Mutation, Mutations())
	}
	for _, k := range c.Faults.Kinds {
		if !slices.Contains(Kinds(), k) {
			return fmt.Errorf("fault %q is not known; there are %s", k, strings.Join(Kinds(), ", "))
		}
	}
	for _, f := range c.Script {
		if err := f.validate(c.Nodes); err != nil {
			return fmt.Errorf("script, %v: %w", f, err)
		}
	}
	return nil
}

// Harsh returns the faults of a campaign: everything, one after another.
func Harsh() Faults {
	return Faults{
		Loss: 0.02, Duplicate: 0.01, MinDelay: time.Millisecond, MaxDelay: 40 * time.Millisecond, Kinds: Kinds(),
	}
}

// Lan, Wan and Lossy are the networks that a user may choose.
func Lan() Faults { return Faults{MinDelay: 200 * time.Microsecond, MaxDelay: 2 * time.Millisecond} }

// Wan has 10 to 100 ms one way.
func Wan() Faults {
	return Faults{Loss: 0.001, MinDelay: 10 * time.Millisecond, MaxDelay: 100 * time.Millisecond}
}

// Lossy loses and doubles messages.
func Lossy() Faults {
	return Faults{Loss: 0.1, Duplicate: 0.05, MinDelay: time.Millisecond, MaxDelay: 40 * time.Millisecond}
}

// Campaign returns the configuration of one seed of a campaign: a small mesh of
// random size on a random network, plagued by a few kinds of faults (so that
// each gets its time), in one case of four by all.
func Campaign(seed uint64) Config {
	rng := rand.New(rand.NewPCG(seed, 0xca3b))
	c := Config{Seed: seed, Nodes: 3 + rng.IntN(5), Shards: 1 + rng.IntN(3), Jobs: 4 + rng.IntN(8)}
	c.Faults = []Faults{Harsh(), Harsh(), Lan(), Wan(), Lossy()}[rng.IntN(5)]
	kinds := Kinds()
	if rng.IntN(4) > 0 {
		rng.Shuffle(len(kinds), func(i, j int) { kinds[i], kinds[j] = kinds[j], kinds[i] })
		kinds = kinds[:3+rng.IntN(4)]
		slices.Sort(kinds)
	}
	c.Faults.Kinds = kinds
	return c
}

// Violation is a promise that did not hold. Replay with the same configuration
// shows how it came about.
type Violation struct {
	Seed   uint64
	Step   uint64        // number of the step of a core after which it was seen
	At     time.Duration // virtual time
	Rule   string        // short name of the promise
	Detail string
}

// Error implements error.
func (v *Violation) Error() string {
	return fmt.Sprintf("seed %d, step %d, at %v: %s: %s", v.Seed, v.Step, v.At, v.Rule, v.Detail)
}
