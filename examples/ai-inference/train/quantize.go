package main

import (
	"math"
	"slices"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
)

// covered is the share of activations that fit into a byte; the rest is cut.
const covered = 0.9999

// quantize makes the network's numbers integers. The size of activations is
// measured on the pictures it was trained on.
func quantize(w *weights, seen []sample) *digits.Network {
	n := &digits.Network{Trained: uint32(len(seen))}
	images, _ := columns(seen)
	n.TrainingSet = digits.Digest(images)
	act1, act2, hid := ranges(w, seen)
	in := 1.0 / 255 // what one unit of the input means
	for _, l := range []struct {
		to            *digits.Layer
		weights, bias []float32
		largest       float64 // 0: sums stay
	}{{&n.Conv1, w.conv1, w.bias1, act1}, {&n.Conv2, w.conv2, w.bias2, act2},
		{&n.Dense, w.dense, w.biasD, hid}, {&n.Out, w.out, w.biasOut, 0}} {
		most := 0.0
		for _, v := range l.weights {
			most = max(most, math.Abs(float64(v)))
		}
		unit := most / 127
		for _, v := range l.weights {
			l.to.Weights = append(l.to.Weights, int8(math.Round(float64(v)/unit)))
		}
		for _, v := range l.bias {
			l.to.Bias = append(l.to.Bias, int32(math.Round(float64(v)/(unit*in))))
		}
		out := l.largest / 255
		if l.largest == 0 {
			out = unit * in
		}
		l.to.Mul, l.to.Shift = ratio(unit * in / out)
		in = out
	}
	return n
}

// ratio is v as a multiplier of 31 bits and a shift.
func ratio(v float64) (mul uint32, shift uint8) {
	for v < 1<<30 {
		v *= 2
		shift++
	}
	return uint32(math.Round(v)), shift
}

// ranges are the sizes below which all but a few activations of each layer lie.
func ranges(w *weights, seen []sample) (act1, act2, hid float64) {
	var one, two, three []float32
	p := &pass{}
	for i := 0; i < len(seen); i += 8 {
		p.show(&seen[i].image)
		p.forward(w)
		one, two, three = append(one, p.act1[:]...), append(two, p.act2[:]...), append(three, p.hid[:]...)
	}
	largest := func(a []float32) float64 {
		slices.Sort(a)
		return float64(a[int(covered*float64(len(a)-1))])
	}
	return largest(one), largest(two), largest(three)
}
