package match

import (
	"iter"
	"math/rand/v2"
	"slices"

	"github.com/ciro-network/ciro/scheduler/job"
)

// DefaultK is the number of candidates that are compared when Options.K is 0.
const DefaultK = 32

// Weights say how much each part of the score counts. Only their proportions
// matter; all zero leaves the choice to the tie-breakers.
type Weights struct {
	FreeShare  float64 // smallest share of a resource that stays free
	Price      float64 // cheapness
	Reputation float64
	Cached     float64 // the module is there already
}

// DefaultWeights returns the weights of a node whose configuration names none.
func DefaultWeights() Weights {
	return Weights{FreeShare: 1, Price: 0.5, Reputation: 0.5, Cached: 0.25}
}

// Options steer one choice.
type Options struct {
	Weights Weights
	K       int        // candidates that are compared; 0: DefaultK
	Avoid   []string   // ids of workers on which the task has failed
	Rand    *rand.Rand // picks the K; nil: the first K that fit
}

// Choose returns the index of the best worker for a task of the spec that needs
// need. ok is false when none of workers, which are sorted by id, fits now.
func Choose(s *job.Spec, need job.Resources, workers []Worker, o Options) (index int, ok bool) {
	n, k := len(workers), o.K
	if k <= 0 {
		k = DefaultK
	}
	best, spare := candidate{index: -1}, candidate{index: -1}
visit:
	for from, to := range walk(n, k, o.Rand) {
		for at := from; at < to; at++ {
			w := &workers[at]
			// Room is the cheapest question and the likeliest no.
			if !hasRoom(need, w) || Judge(s, need, w) != Fits {
				continue
			}
			c := candidate{index: at, w: w, score: score(s, need, w, &o.Weights)}
			if slices.Contains(o.Avoid, w.ID) {
				spare = better(spare, c)
				continue
			}
			best = better(best, c)
			if k--; k == 0 {
				break visit
			}
		}
	}
	if best.index < 0 {
		best = spare
	}
	return max(best.index, 0), best.index >= 0
}

// block is how many neighbours are visited in a row: enough to be kind to the
// processor's cache when thousands are busy, few enough that K of them come from
// many places.
const block = 8

// walk yields ranges of neighbours that make up all of n places: one in order,
// or, when there are more than k and a source is given, blocks with a random
// start and stride.
func walk(n, k int, r *rand.Rand) iter.Seq2[int, int] {
	blocks := (n + block - 1) / block
	if n <= k || r == nil || blocks == 1 {
		return func(yield func(int, int) bool) { yield(0, n) }
	}
	stride := 1 + r.IntN(blocks-1)
	for gcd(stride, blocks) != 1 {
		stride = stride%(blocks-1) + 1
	}
	b := r.IntN(blocks)
	return func(yield func(int, int) bool) {
		for range blocks {
			if !yield(b*block, min(n, (b+1)*block)) {
				return
			}
			b = (b + stride) % blocks
		}
	}
}

func gcd(a, b int) int {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

type candidate struct {
	index int // -1: none
	w     *Worker
	score float64
}

func better(a, b candidate) candidate {
	switch {
	case a.index < 0 || b.score > a.score:
		return b
	case b.score < a.score:
		return a
	case b.w.Running != a.w.Running:
		if b.w.Running < a.w.Running {
			return b
		}
	case b.w.ID < a.w.ID:
		return b
	}
	return a
}

// score ranks a worker that fits; higher is better.
func score(s *job.Spec, need job.Resources, w *Worker, by *Weights) float64 {
	v := by.FreeShare*freeShare(need, w) + by.Price*cheapness(s, w) + by.Reputation*w.Score
	if w.Cached {
		v += by.Cached
	}
	return v
}

// freeShare is the smallest share of any of the worker's resources that is free
// once the task is placed.
func freeShare(need job.Resources, w *Worker) float64 {
	total, left := &w.Cap.Total, w.Free.Sub(need)
	v := min(1,
		share(uint64(left.CPU), uint64(total.CPU)),
		share(left.Memory, total.Memory),
		share(left.Disk, total.Disk))
	if need.GPUs > 0 {
		v = min(v, share(uint64(left.GPUs), uint64(total.GPUs)))
	}
	if w.Cap.Slots > 0 {
		v = min(v, share(uint64(w.FreeSlots-1), uint64(w.Cap.Slots)))
	}
	return v
}

func share(part, whole uint64) float64 {
	if whole == 0 {
		return 1 // not a resource of this worker, so not scarce either
	}
	return float64(part) / float64(whole)
}

// cheapness is 1 for a free worker and falls towards 0: linearly up to the
// spec's limit, or hyperbolically from one unit per core-hour if it has none.
func cheapness(s *job.Spec, w *Worker) float64 {
	if s.PriceMax > 0 {
		return 1 - min(1, float64(w.Cap.Price)/float64(s.PriceMax))
	}
	return 1 / (1 + float64(w.Cap.Price)/1e6)
}
