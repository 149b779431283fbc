package match

import (
	"iter"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// DefaultK is the number of candidates that are compared when Options.K is 0.
const DefaultK = 32

// maxJudged bounds how many workers one choice judges; a search through more
// goes on with the next.
const maxJudged = 128

// maxFresh is how many workers with new room a shape is told of before it
// searches among all again.
const maxFresh = 64

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

// Options steer choices.
type Options struct {
	Weights Weights
	K       int        // candidates that are compared; 0: DefaultK
	Rand    *rand.Rand // picks the K; nil: the first K that fit
}

// Ask is one task that looks for a place.
type Ask struct {
	Task  Task
	Spec  *job.Spec
	Need  job.Resources
	Avoid []string      // ids of workers on which the task has failed
	Ends  time.Duration // when it will have ended if it is placed now, monotonic
}

// Verdict is what a search for a place has come to.
type Verdict uint8

// The verdicts.
const (
	Found      Verdict = iota
	Nowhere            // no worker fits; true until one improves
	Unfinished         // none of those judged so far; ask again
)

// search is what is known about where a shape fits.
type search struct {
	known  bool      // nobody fits but perhaps those in fresh
	fresh  []*Worker // have got more room since they were judged
	cursor int       // of a search through all workers that is under way, plus one
}

// nowhere says whether it is known that no worker fits.
func (s *search) nowhere() bool { return s.known && len(s.fresh) == 0 }

// knows says whether news of workers matter to the search.
func (s *search) knows() bool { return s.known || s.cursor > 0 }

// tell notes which of the improved workers have room for the shape now.
func (s *Shape) tell(improved []*Worker) {
	for _, w := range improved {
		if !w.seat.open || !hasRoom(s.Need, w) || Judge(s.Spec, s.Need, w) != Fits || slices.Contains(s.fresh, w) {
			continue
		}
		if len(s.fresh) >= maxFresh {
			s.search = search{}
			return
		}
		s.fresh = append(s.fresh, w)
	}
}

// Choose returns the best worker for a task of the shape. Shapes must have been
// told of improved workers before (Queue.Freshen).
func (p *Pool) Choose(s *Shape, a *Ask, o *Options) (*Worker, Verdict) {
	f := finder{ask: a, options: o, left: or(o.K, DefaultK), judged: maxJudged}
	if len(s.fresh) > 0 {
		s.fresh = slices.DeleteFunc(s.fresh, func(w *Worker) bool { return !w.seat.open || !f.see(w) })
		if w := f.found(); w != nil {
			return w, Found
		}
	}
	if s.known {
		return nil, Nowhere
	}
	if s.cursor == 0 {
		all := p.sample(&f)
		if w := f.found(); w != nil {
			return w, Found
		}
		if all {
			s.known = true
			return nil, Nowhere
		}
	}
	// Too many have room that do not fit: go through all, a part at a time.
	for f.judged = maxJudged; s.cursor < len(p.all); s.cursor++ {
		if f.judged <= 0 {
			return nil, Unfinished
		}
		if w := p.all[s.cursor]; !w.seat.open {
			f.judged--
		} else if f.see(w) {
			return w, Found
		}
	}
	s.cursor, s.known = 0, true
	return nil, Nowhere
}

func or(v, def int) int {
	if v <= 0 {
		return def
	}
	return v
}

// sample looks at workers that may have room until K fit or enough were judged;
// true when there were no more.
func (p *Pool) sample(f *finder) (all bool) {
	buckets, n := p.roomy(f.ask.Need)
	for from, to := range walk(n, f.left, f.options.Rand) {
		i := 0
		at := from
		for at >= len(buckets[i]) {
			at -= len(buckets[i])
			i++
		}
		for range to - from {
			for at == len(buckets[i]) {
				at, i = 0, i+1
			}
			f.see(buckets[i][at])
			at++
			if f.left <= 0 || f.judged <= 0 {
				return false
			}
		}
	}
	return true
}

// finder compares candidates.
type finder struct {
	ask          *Ask
	options      *Options
	left, judged int
	best, spare  candidate
}

// see judges a worker; true when the task could be placed there.
func (f *finder) see(w *Worker) bool {
	a := f.ask
	f.judged--
	// Room is the cheapest question and the likeliest no.
	if !hasRoom(a.Need, w) || !w.Hold.admits(a) || Judge(a.Spec, a.Need, w) != Fits {
		return false
	}
	c := candidate{w: w, score: score(a.Spec, a.Need, w, &f.options.Weights)}
	if slices.Contains(a.Avoid, w.ID) {
		f.spare = better(f.spare, c)
		return true
	}
	f.best = better(f.best, c)
	f.left--
	return true
}

func (f *finder) found() *Worker {
	if f.best.w == nil {
		return f.spare.w
	}
	return f.best.w
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
		return func(yield func(int, int) bool) {
			if n > 0 {
				yield(0, n)
			}
		}
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
	w     *Worker // nil: none
	score float64
}

func better(a, b candidate) candidate {
	switch {
	case a.w == nil || b.score > a.score:
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
	if by.Cached > 0 && slices.Contains(w.Modules, s.Module) {
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
