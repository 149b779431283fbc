package main

import (
	"math"
	"math/rand/v2"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
)

// The network's size, and the sides of its planes; the layout is that of
// package digits.
const (
	kernel = 5
	chan1  = 8
	chan2  = 16
	hidden = 64

	side1, side2, side3, side4 = 24, 12, 8, 4

	flat = chan2 * side4 * side4
)

// weights are a network's numbers, or their gradients, in floating point.
type weights struct {
	conv1, conv2, dense, out     []float32
	bias1, bias2, biasD, biasOut []float32
}

func newWeights() *weights {
	return &weights{
		conv1: make([]float32, chan1*kernel*kernel), bias1: make([]float32, chan1),
		conv2: make([]float32, chan2*chan1*kernel*kernel), bias2: make([]float32, chan2),
		dense: make([]float32, hidden*flat), biasD: make([]float32, hidden),
		out: make([]float32, digits.Classes*hidden), biasOut: make([]float32, digits.Classes),
	}
}

// all lists the parts, always in the same order.
func (w *weights) all() [][]float32 {
	return [][]float32{w.conv1, w.bias1, w.conv2, w.bias2, w.dense, w.biasD, w.out, w.biasOut}
}

// randomize draws weights from a normal distribution that keeps the variance of
// activations (He et al.); biases are 0.
func (w *weights) randomize(r *rand.Rand) {
	for _, p := range []struct {
		w      []float32
		inputs int
	}{{w.conv1, kernel * kernel}, {w.conv2, chan1 * kernel * kernel}, {w.dense, flat}, {w.out, hidden}} {
		scale := math.Sqrt(2 / float64(p.inputs))
		for i := range p.w {
			p.w[i] = float32(r.NormFloat64() * scale)
		}
	}
}

// pass is one picture's way through the network and back.
type pass struct {
	in     [digits.Pixels]float32
	sums   [side1 * side1]float32
	act1   [chan1 * side2 * side2]float32
	from1  [chan1 * side2 * side2]int32 // which of the pooled sums it was
	act2   [flat]float32
	from2  [flat]int32
	hid    [hidden]float32
	scores [digits.Classes]float32
	// Gradients by activation.
	dAct1 [chan1 * side2 * side2]float32
	dAct2 [flat]float32
	dHid  [hidden]float32
	dOut  [digits.Classes]float32
}

// forward computes the scores of p.in.
func (p *pass) forward(w *weights) {
	p.convolve(w.conv1, w.bias1, p.in[:], side1, p.act1[:], p.from1[:])
	p.convolve(w.conv2, w.bias2, p.act1[:], side3, p.act2[:], p.from2[:])
	for i := range p.hid {
		p.hid[i] = max(0, w.biasD[i]+dot(w.dense[i*flat:][:flat], p.act2[:]))
	}
	for i := range p.scores {
		p.scores[i] = w.biasOut[i] + dot(w.out[i*hidden:][:hidden], p.hid[:])
	}
}

func dot(a, b []float32) float32 {
	var sum float32
	for i, v := range a {
		sum += v * b[i]
	}
	return sum
}

// add adds w·b to a.
func add(a []float32, w float32, b []float32) {
	for i := range a {
		a[i] += w * b[i]
	}
}

// convolve computes a layer's pooled activations and where each came from.
func (p *pass) convolve(weights, bias, in []float32, size int, act []float32, from []int32) {
	side := size + kernel - 1
	channels, half := len(in)/(side*side), size/2
	for o := range bias {
		sums := p.sums[:size*size]
		for i := range sums {
			sums[i] = bias[o]
		}
		for c := range channels {
			for k, v := range weights[(o*channels+c)*kernel*kernel:][:kernel*kernel] {
				rows := in[c*side*side+k/kernel*side+k%kernel:]
				for y := range size {
					add(sums[y*size:][:size], v, rows[y*side:][:size])
				}
			}
		}
		for i := range half * half {
			first := 2*(i/half)*size + 2*(i%half)
			at := first
			for _, other := range []int{first + 1, first + size, first + size + 1} {
				if sums[other] > sums[at] {
					at = other
				}
			}
			act[o*half*half+i], from[o*half*half+i] = max(0, sums[at]), int32(at)
		}
	}
}

// backward adds the gradient of the loss for the right answer to g and returns
// the loss. It follows forward.
func (p *pass) backward(w, g *weights, label uint8) float32 {
	loss := p.softmax(label)
	clear(p.dHid[:])
	for i, d := range p.dOut {
		g.biasOut[i] += d
		add(g.out[i*hidden:][:hidden], d, p.hid[:])
		add(p.dHid[:], d, w.out[i*hidden:][:hidden])
	}
	clear(p.dAct2[:])
	for i, d := range p.dHid {
		if p.hid[i] <= 0 {
			continue
		}
		g.biasD[i] += d
		add(g.dense[i*flat:][:flat], d, p.act2[:])
		add(p.dAct2[:], d, w.dense[i*flat:][:flat])
	}
	clear(p.dAct1[:])
	unconvolve(w.conv2, g.conv2, g.bias2, plane{p.act1[:], p.dAct1[:], side3}, pooled{p.act2[:], p.dAct2[:], p.from2[:]})
	unconvolve(nil, g.conv1, g.bias1, plane{p.in[:], nil, side1}, pooled{p.act1[:], p.dAct1[:], p.from1[:]})
	return loss
}

// softmax sets dOut, the gradient by the scores, and returns the loss.
func (p *pass) softmax(label uint8) float32 {
	top, sum := p.scores[0], 0.0
	for _, s := range p.scores {
		top = max(top, s)
	}
	for i, s := range p.scores {
		e := math.Exp(float64(s - top))
		p.dOut[i] = float32(e)
		sum += e
	}
	for i := range p.dOut {
		p.dOut[i] = float32(float64(p.dOut[i]) / sum)
	}
	loss := -math.Log(max(float64(p.dOut[label]), 1e-30))
	p.dOut[label]--
	return float32(loss)
}

// plane is a convolution's input with its gradient, nil if nobody wants it, and
// the side of the output before pooling.
type plane struct {
	in, d []float32
	size  int
}

// pooled is a convolution's output with its gradient and where each value came from.
type pooled struct {
	act, d []float32
	from   []int32
}

// unconvolve carries gradients back through pooling and convolution. Only one
// in four sums went on, and of those only the positive ones.
func unconvolve(w, gw, gb []float32, p plane, out pooled) {
	side := p.size + kernel - 1
	channels, area := len(p.in)/(side*side), p.size*p.size/4
	for i, d := range out.d {
		if out.act[i] <= 0 || d == 0 {
			continue
		}
		o, at := i/area, int(out.from[i])
		gb[o] += d
		for c := range channels {
			corner := c*side*side + at/p.size*side + at%p.size
			for ky := range kernel {
				row, to := corner+ky*side, ((o*channels+c)*kernel+ky)*kernel
				add(gw[to:][:kernel], d, p.in[row:][:kernel])
				if p.d != nil {
					add(p.d[row:][:kernel], d, w[to:][:kernel])
				}
			}
		}
	}
}

// share is the share of samples that the network reads right.
func (w *weights) share(samples []sample) float64 {
	p, right := &pass{}, 0
	for i := range samples {
		p.show(&samples[i].image)
		p.forward(w)
		best := 0
		for d, s := range p.scores {
			if s > p.scores[best] {
				best = d
			}
		}
		if best == int(samples[i].label) {
			right++
		}
	}
	return float64(right) / float64(len(samples))
}

// show puts a picture before the network.
func (p *pass) show(m *digits.Image) {
	for i, v := range m {
		p.in[i] = float32(v) / 255
	}
}
