package digits

// Classes is how many digits there are.
const Classes = 10

// Layout of the network. Only the numbers of channels and of hidden units are a
// network's own.
const (
	kernel = 5
	side1  = Side - kernel + 1  // after the first convolution
	side2  = side1 / 2          // and its pooling
	side3  = side2 - kernel + 1 // after the second
	side4  = side3 / 2          // and its pooling
)

// Layer is one layer's numbers. A sum s becomes the activation
// min(255, (max(0, s)·Mul + 2^(Shift-1)) >> Shift); the last layer's sums stay.
type Layer struct {
	Weights []int8
	Bias    []int32
	Mul     uint32
	Shift   uint8
}

// activation makes a sum an activation.
func (l *Layer) activation(sum int32) uint8 {
	if sum <= 0 {
		return 0
	}
	v := (uint64(sum)*uint64(l.Mul) + 1<<(l.Shift-1)) >> l.Shift
	return uint8(min(v, 255))
}

// Network is a trained network. It is read-only once made and may be shared.
type Network struct {
	Conv1, Conv2, Dense, Out Layer
	// Trained and TrainingSet are the number of pictures that it was trained on
	// and their Digest.
	Trained     uint32
	TrainingSet [32]byte
}

func (n *Network) channels1() int { return len(n.Conv1.Bias) }
func (n *Network) channels2() int { return len(n.Conv2.Bias) }
func (n *Network) hidden() int    { return len(n.Dense.Bias) }

// Reader classifies pictures, one at a time: it holds what lies between the
// network's layers. Each goroutine needs its own.
type Reader struct {
	net           *Network
	sums          []int32
	first, second []uint8 // activations after the poolings
	hidden        []uint8
	Scores        [Classes]int32 // of the last picture, one per digit
}

// NewReader returns a reader for the network.
func NewReader(n *Network) *Reader {
	return &Reader{
		net: n, sums: make([]int32, side1*side1),
		first: make([]uint8, n.channels1()*side2*side2), second: make([]uint8, n.channels2()*side4*side4),
		hidden: make([]uint8, n.hidden()),
	}
}

// Read returns the digit in the picture and by how much its score is above the
// next one's. Of equal scores the smaller digit wins.
func (r *Reader) Read(m *Image) (digit uint8, margin int32) {
	r.convolve(&r.net.Conv1, m[:], Side, r.first)
	r.convolve(&r.net.Conv2, r.first, side2, r.second)
	for i := range r.hidden {
		r.hidden[i] = r.net.Dense.activation(dot(&r.net.Dense, i, r.second))
	}
	for i := range r.Scores {
		r.Scores[i] = dot(&r.net.Out, i, r.hidden)
	}
	for i, s := range r.Scores {
		if s > r.Scores[digit] {
			digit = uint8(i)
		}
	}
	margin = 1<<31 - 1
	for i, s := range r.Scores {
		if uint8(i) != digit {
			margin = min(margin, r.Scores[digit]-s)
		}
	}
	return digit, margin
}

// convolve applies a layer to planes of side × side, takes the largest of each
// two by two sums, and writes the activations.
func (r *Reader) convolve(l *Layer, in []uint8, side int, out []uint8) {
	plane := side * side
	channels, size := len(in)/plane, side-kernel+1
	for o := range l.Bias {
		sums := r.sums[:size*size]
		for i := range sums {
			sums[i] = l.Bias[o]
		}
		for c := range channels {
			weights := l.Weights[(o*channels+c)*kernel*kernel:][:kernel*kernel]
			for k, w := range weights {
				addRows(sums, in[c*plane+k/kernel*side+k%kernel:], side, int32(w))
			}
		}
		half := size / 2
		l.pool(sums, size, out[o*half*half:][:half*half])
	}
}

// addRows adds w times the rows of in, which lie stride apart, to the square sums.
func addRows(sums []int32, in []uint8, stride int, w int32) {
	if w == 0 {
		return
	}
	size := stride - kernel + 1
	for y := range size {
		to := sums[y*size:][:size]
		for x, v := range in[y*stride:][:size] {
			to[x] += w * int32(v)
		}
	}
}

// pool halves a square of sums in both directions.
func (l *Layer) pool(sums []int32, size int, out []uint8) {
	half := size / 2
	for y := range half {
		above, below := sums[2*y*size:][:size], sums[(2*y+1)*size:][:size]
		for x := range half {
			out[y*half+x] = l.activation(max(above[2*x], above[2*x+1], below[2*x], below[2*x+1]))
		}
	}
}

// dot is the sum of a dense layer's unit.
func dot(l *Layer, unit int, in []uint8) int32 {
	sum := l.Bias[unit]
	for i, w := range l.Weights[unit*len(in):][:len(in)] {
		sum += int32(w) * int32(in[i])
	}
	return sum
}
