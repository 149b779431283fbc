package trace

import "math"

// stratified is how many of a path's first random numbers come from the
// low-discrepancy sequence: position in the pixel, then the first surface's
// choice, direction and sun sample.
const stratified = 7

// golden holds the inverse powers of the seven-dimensional golden ratio, the
// steps of an additive sequence that fills the unit cube evenly.
var golden = [stratified]float64{
	0.9115923535, 0.8310006189, 0.7575338100, 0.6905620287,
	0.6295110649, 0.5738574732, 0.5231240846,
}

// sampler gives the random numbers of one pixel. Its results depend on the
// pixel's seed and on the sample's number only.
type sampler struct {
	state  uint64
	offset [stratified]float64
	next   int
	sample float64
}

// start seeds s for the pixel at x, y of frame f.
func (s *sampler) start(f Frame, x, y int) {
	s.state = mix(uint64(y)<<32|uint64(x)) ^ mix(uint64(f.Width)<<40^uint64(f.Height)<<16^uint64(f.Samples))
	for i := range s.offset {
		s.offset[i] = s.random()
	}
}

// begin turns to sample number n of the pixel.
func (s *sampler) begin(n int) {
	s.next, s.sample = 0, float64(n)
}

// draw returns the next number in [0, 1).
func (s *sampler) draw() float64 {
	if s.next >= stratified {
		return s.random()
	}
	v := s.offset[s.next] + float64(s.sample*golden[s.next])
	s.next++
	return v - math.Floor(v)
}

// random returns a number in [0, 1) from a splitmix generator.
func (s *sampler) random() float64 {
	s.state += 0x9e3779b97f4a7c15
	return float64(float64(mix(s.state)>>11) * (1.0 / (1 << 53)))
}

// mix is the finaliser of splitmix64, a bijection that scrambles all bits.
func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
