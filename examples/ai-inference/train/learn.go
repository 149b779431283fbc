package main

import (
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
)

// How the network learns.
const (
	seed      = 20260101
	batch     = 32    // pictures per step
	lanes     = 8     // parts of a batch whose gradients are summed apart
	rateFirst = 2e-3  // learning rate at the start, falling along a cosine to
	rateLast  = 1e-5  // this at the end
	decay     = 1e-4  // of weights, per step and unit of the rate
	momentum  = 0.9   // of Adam's mean
	memory    = 0.999 // of Adam's mean square
)

// trainer holds the network and what Adam remembers.
type trainer struct {
	net          *weights
	mean, square *weights
	steps        int
	samples      []sample
	grads        [lanes]*weights
	passes       [lanes]*pass
	losses       [lanes]float64
}

func newTrainer(samples []sample) *trainer {
	t := &trainer{net: newWeights(), mean: newWeights(), square: newWeights(), samples: samples}
	t.net.randomize(rand.New(rand.NewPCG(seed, 0)))
	for i := range lanes {
		t.grads[i], t.passes[i] = newWeights(), &pass{}
	}
	return t
}

// epoch shows every sample once, in a new order and newly distorted, and
// returns the mean loss.
func (t *trainer) epoch(number, of int) float64 {
	order := rand.New(rand.NewPCG(seed, 1+uint64(number))).Perm(len(t.samples))
	t.losses = [lanes]float64{}
	steps := (len(order) + batch - 1) / batch
	for s := range steps {
		part := order[s*batch : min((s+1)*batch, len(order))]
		t.gradients(part, number)
		along := (float64(number) + float64(s)/float64(steps)) / float64(of)
		t.step(rateLast+(rateFirst-rateLast)*(1+math.Cos(math.Pi*along))/2, len(part))
	}
	sum := 0.0
	for _, l := range t.losses {
		sum += l
	}
	return sum / float64(len(order))
}

// gradients sums each lane's gradients. A lane's samples and their order do not
// depend on how many cores there are, so neither do the sums.
func (t *trainer) gradients(part []int, number int) {
	var wg sync.WaitGroup
	next := make(chan int, lanes)
	for l := range lanes {
		next <- l
	}
	close(next)
	for range min(lanes, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for l := range next {
				t.lane(l, part, number)
			}
		})
	}
	wg.Wait()
}

func (t *trainer) lane(l int, part []int, number int) {
	g, p := t.grads[l], t.passes[l]
	for _, w := range g.all() {
		clear(w)
	}
	for i := l; i < len(part); i += lanes {
		s := &t.samples[part[i]]
		p.distort(&s.image, rand.New(rand.NewPCG(seed+1+uint64(number), uint64(part[i]))))
		p.forward(t.net)
		t.losses[l] += float64(p.backward(t.net, g, s.label))
	}
}

// step moves the weights against the batch's gradient (Adam, with the decay of
// weights apart from it).
func (t *trainer) step(rate float64, count int) {
	t.steps++
	scale := float32(1) / float32(count)
	warm1 := float32(1 - math.Pow(momentum, float64(t.steps)))
	warm2 := float32(1 - math.Pow(memory, float64(t.steps)))
	parts, means, squares := t.net.all(), t.mean.all(), t.square.all()
	for n, w := range parts {
		sum := t.grads[0].all()[n]
		for l := 1; l < lanes; l++ {
			add(sum, 1, t.grads[l].all()[n])
		}
		m, q := means[n], squares[n]
		for i := range w {
			g := sum[i] * scale
			m[i] = momentum*m[i] + (1-momentum)*g
			q[i] = memory*q[i] + (1-memory)*g*g
			w[i] -= float32(rate) * (m[i]/warm1/(float32(math.Sqrt(float64(q[i]/warm2)))+1e-8) + decay*w[i])
		}
	}
}
