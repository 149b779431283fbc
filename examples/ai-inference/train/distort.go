package main

import (
	"math"
	"math/rand/v2"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
)

// How far a picture is distorted at most, so that the network sees another one
// in every epoch: as people write the same digit, here or there, upright or not.
const (
	maxTurn    = 0.20 // radians
	maxSlant   = 0.20 // of the height
	maxStretch = 0.15
	maxMove    = 2.5 // pixels
)

// distort shows a distorted copy of the picture.
func (p *pass) distort(m *digits.Image, r *rand.Rand) {
	between := func(most float64) float64 { return (2*r.Float64() - 1) * most }
	turn, slant := between(maxTurn), between(maxSlant)
	stretchX, stretchY := 1+between(maxStretch), 1+between(maxStretch)
	moveX, moveY := between(maxMove), between(maxMove)
	sin, cos := math.Sincos(turn)
	const middle = (digits.Side - 1) / 2.0
	for i := range p.in {
		// From a place in the copy to one in the picture.
		x, y := float64(i%digits.Side)-middle-moveX, float64(i/digits.Side)-middle-moveY
		x, y = (cos*x+sin*y)/stretchX, (cos*y-sin*x)/stretchY
		p.in[i] = between4(m, x+slant*y+middle, y+middle)
	}
}

// between4 is the grey value at a place between four pixels, 0 to 1.
func between4(m *digits.Image, x, y float64) float32 {
	left, top := math.Floor(x), math.Floor(y)
	fx, fy := x-left, y-top
	at := func(x, y int) float64 {
		if x < 0 || y < 0 || x >= digits.Side || y >= digits.Side {
			return 0
		}
		return float64(m[y*digits.Side+x])
	}
	l, t := int(left), int(top)
	v := (at(l, t)*(1-fx)+at(l+1, t)*fx)*(1-fy) + (at(l, t+1)*(1-fx)+at(l+1, t+1)*fx)*fy
	return float32(v / 255)
}
