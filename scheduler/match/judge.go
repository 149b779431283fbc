package match

import (
	"cmp"
	"slices"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// Worker is what a coordinator knows of one worker.
type Worker struct {
	Free      job.Resources   // as last reported, less the bookings under way
	FreeSlots uint32          // attempts that it would take beside those; 0: none
	Draining  bool            // takes nothing new
	Modules   []string        // that ran there lately
	Running   int             // attempts that it holds, for breaking ties
	Score     float64         // reputation, 0..1; newcomers 0.5
	ID        string          // peer id
	Cap       work.Capability // as last advertised (Offer); Labels sorted by key
	Hold      *Hold           // reservation for a task that waits for it
	seat      seat            // the pool's

	constraints *Constraints
	verdicts    map[string]uint32 // by expression, of this offer
	last        string            // the expression asked for last
	verdict     uint32            // on it
}

// Why is a judgement: Fits, or the first reason that excludes a worker.
type Why uint8

// The judgements, from the lasting to the passing.
const (
	Fits          Why = iota // the task can be placed there now
	WhyDraining              // the worker takes nothing new
	WhyExecutor              // it does not run the spec's executor
	WhyType                  // it does not take the spec's job type
	WhyClient                // it does not take jobs of the spec's owner
	WhyLabels                // it lacks a label that the spec demands
	WhyConstraint            // it does not meet the spec's constraints
	WhyUnreadable            // the coordinator cannot read the spec's constraints
	WhyPrice                 // it costs more than the spec allows
	WhyTooBig                // the task exceeds the whole worker
	WhyBusy                  // the task would fit, but not now
)

var whyNames = [...]string{"fits", "draining", "executor", "type", "client", "labels", "constraints", "constraints_unreadable", "price", "too_big", "busy"}

// String returns the stable code that users see.
func (w Why) String() string { return whyNames[w] }

// Judge says whether a task of the spec that needs need fits w now, or why not.
func Judge(s *job.Spec, need job.Resources, w *Worker) Why {
	switch {
	case w.Draining:
		return WhyDraining
	case !slices.Contains(w.Cap.Executors, s.Executor):
		return WhyExecutor
	case len(w.Cap.Types) > 0 && !slices.Contains(w.Cap.Types, s.Type):
		return WhyType
	case !w.Cap.Serves(s.Owner):
		return WhyClient
	case !carries(w.Cap.Labels, s.Labels):
		return WhyLabels
	}
	if s.Constraints != "" {
		switch w.fails(s.Constraints) {
		case 0:
		case unreadable:
			return WhyUnreadable
		default:
			return WhyConstraint
		}
	}
	switch {
	case s.PriceMax > 0 && w.Cap.Price > s.PriceMax:
		return WhyPrice
	case !w.Cap.Total.Fits(need):
		return WhyTooBig
	case !hasRoom(need, w):
		return WhyBusy
	}
	return Fits
}

func hasRoom(need job.Resources, w *Worker) bool { return w.FreeSlots > 0 && w.Free.Fits(need) }

// carries says whether have, sorted by key, holds every wanted pair.
func carries(have, want []job.Pair) bool {
	for _, p := range want {
		i, _ := slices.BinarySearchFunc(have, p.Key, func(h job.Pair, key string) int { return cmp.Compare(h.Key, key) })
		for i < len(have) && have[i].Key == p.Key && have[i].Value != p.Value {
			i++
		}
		if i == len(have) || have[i] != p {
			return false
		}
	}
	return true
}
