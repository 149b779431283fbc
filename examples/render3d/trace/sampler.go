package trace

import "math"

// stratified is how many of a path's first random numbers come from the
// low-discrepancy sequence: position in the pixel, then the first surface's
// choice, direction and sun sample.
const stratified = 7

// steps advance each stratified number from one sample to the next. Single
// numbers use the golden ratio, pairs its two-dimensional sibling (Roberts), whose
// points fill line and square evenly after any number of samples.
var steps = [stratified]float64{
	0.7548776662466927, 0.5698402909980532, // position in the pixel
	0.6180339887498949,                     // choice of layer
	0.7548776662466927, 0.5698402909980532, // place on the sun, or blur
	0.7548776662466927, 0.5698402909980532, // direction
}

// strides visit the samples of a block of sixteen in another order for each
// use, so that one use tells nothing about the next.
var strides = [stratified]int{1, 1, 5, 11, 11, 7, 7}

// sampler gives the random numbers of one pixel. Its results depend on the
// pixel's seed and on the sample's number only.
type sampler struct {
	state  uint64
	offset [stratified]float64
	next   int
	sample int
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
	s.next, s.sample = 0, n
}

// draw returns the next number in [0, 1).
func (s *sampler) draw() float64 {
	if s.next >= stratified {
		return s.random()
	}
	n := s.sample&^15 | s.sample*strides[s.next]&15
	v := s.offset[s.next] + float64(float64(n)*steps[s.next])
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
