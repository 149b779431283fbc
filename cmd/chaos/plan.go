package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// Kind is a kind of fault.
type Kind string

// The kinds of faults, as the package documentation describes them.
const (
	KillCoordinator Kind = "kill coordinator"
	KillWorker      Kind = "kill worker"
	Pause           Kind = "pause"
	Halves          Kind = "halves"
	LinkDown        Kind = "link down"
	OneWay          Kind = "one way"
	Loss            Kind = "loss"
	Delay           Kind = "delay"
	LostDisk        Kind = "lost disk"
)

// allKinds are all of them, in the order of the report.
var allKinds = []Kind{KillCoordinator, KillWorker, Pause, Halves, LinkDown, OneWay, Loss, Delay, LostDisk}

// companions are the kinds that may come on top of another fault: those that
// leave a majority.
var companions = []Kind{KillWorker, Pause, Loss, Delay}

// Step is one fault as planned. Who is hit is decided when it comes: the first
// node of Prefer that fits.
type Step struct {
	Kind   Kind
	Lasts  time.Duration
	Prefer []int // all nodes, in random order
	Amount int   // loss in permille, delay in milliseconds, 1 for a lost disk whose key is kept
	With   *Step // another fault in the middle of this one
}

// Planner draws the steps of a run. The same seed and kinds give the same steps.
type Planner struct {
	rng   *rand.Rand
	nodes int
	kinds []Kind
	first []Kind // still to come once
}

// NewPlanner plans for a number of nodes and the kinds that the machine allows.
func NewPlanner(seed uint64, nodes int, kinds []Kind) *Planner {
	p := &Planner{rng: rand.New(rand.NewPCG(seed, 1)), nodes: nodes, kinds: slices.Clone(kinds)}
	p.first = slices.Clone(kinds)
	p.rng.Shuffle(len(p.first), func(i, j int) { p.first[i], p.first[j] = p.first[j], p.first[i] })
	// A lost disk takes half a minute to be replaced: early, so that others meet it.
	if i := slices.Index(p.first, LostDisk); i > 2 {
		p.first[i], p.first[2] = p.first[2], p.first[i]
	}
	return p
}

// Pending says whether some kind has not come yet.
func (p *Planner) Pending() bool { return len(p.first) > 0 }

// Later puts off a kind that was drawn and could not be made.
func (p *Planner) Later(k Kind) {
	if !slices.Contains(p.first, k) {
		p.first = append(p.first, k)
	}
}

// Next is the next step. There is no end.
func (p *Planner) Next() Step {
	if len(p.first) > 0 {
		k := p.first[0]
		p.first = p.first[1:]
		return p.step(k)
	}
	s := p.step(p.kinds[p.rng.IntN(len(p.kinds))])
	if p.rng.IntN(3) == 0 && s.Kind != LostDisk {
		var fit []Kind
		for _, k := range companions {
			if k != s.Kind && slices.Contains(p.kinds, k) {
				fit = append(fit, k)
			}
		}
		if len(fit) > 0 {
			with := p.step(fit[p.rng.IntN(len(fit))])
			with.Lasts = min(with.Lasts, s.Lasts)
			s.With = &with
		}
	}
	return s
}

func (p *Planner) step(k Kind) Step {
	s := Step{Kind: k, Lasts: p.between(4*time.Second, 9*time.Second), Prefer: p.rng.Perm(p.nodes)}
	switch k {
	case Pause:
		s.Lasts = p.between(2*time.Second, 12*time.Second)
	case Loss:
		s.Amount = 10 + p.rng.IntN(190)
	case Delay:
		s.Amount = 20 + p.rng.IntN(230)
	case LostDisk:
		s.Lasts, s.Amount = p.between(time.Second, 5*time.Second), p.rng.IntN(2)
	case KillCoordinator, KillWorker:
		s.Lasts = p.between(time.Second, 9*time.Second)
	}
	return s
}

func (p *Planner) between(from, to time.Duration) time.Duration {
	return (from + time.Duration(p.rng.Int64N(int64(to-from)))).Round(100 * time.Millisecond)
}
