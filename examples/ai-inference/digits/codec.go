package digits

import (
	"encoding/binary"
	"fmt"
)

// A network's file: the magic, the number and digest of the pictures it was
// trained on, the numbers of channels, channels and hidden units as a byte each,
// then its four layers: weights (a byte each), biases (four), multiplier (four)
// and shift (one). Numbers are big endian, negative ones two's complement.
const magicNetwork = "CIRODIG1"

// What a file may ask for. Sums stay within int32: 32·25·127·255, or
// 512·127·255, and a bias of at most maxBias.
const (
	maxChannels = 32
	maxHidden   = 255
	maxBias     = 1 << 30
	minShift    = 1
	maxShift    = 62
)

// layers are a network's layers in the order of the file, with the number of
// weights of each.
func (n *Network) layers() []*Layer { return []*Layer{&n.Conv1, &n.Conv2, &n.Dense, &n.Out} }

// Encode returns the network's file.
func (n *Network) Encode() []byte {
	b := append([]byte(magicNetwork), binary.BigEndian.AppendUint32(nil, n.Trained)...)
	b = append(b, n.TrainingSet[:]...)
	b = append(b, uint8(n.channels1()), uint8(n.channels2()), uint8(n.hidden()))
	for _, l := range n.layers() {
		for _, w := range l.Weights {
			b = append(b, uint8(w))
		}
		for _, v := range l.Bias {
			b = binary.BigEndian.AppendUint32(b, uint32(v))
		}
		b = append(binary.BigEndian.AppendUint32(b, l.Mul), l.Shift)
	}
	return b
}

// Decode reads a network's file. What it returns works on any picture.
func Decode(b []byte) (*Network, error) {
	const head = len(magicNetwork) + 4 + 32 + 3
	if len(b) < head || string(b[:len(magicNetwork)]) != magicNetwork {
		return nil, fmt.Errorf("%w: not a network's file", ErrFormat)
	}
	n := &Network{Trained: binary.BigEndian.Uint32(b[len(magicNetwork):])}
	copy(n.TrainingSet[:], b[len(magicNetwork)+4:])
	c1, c2, hidden := int(b[head-3]), int(b[head-2]), int(b[head-1])
	if c1 < 1 || c1 > maxChannels || c2 < 1 || c2 > maxChannels || hidden < 1 || hidden > maxHidden {
		return nil, fmt.Errorf("%w: a network of %d and %d channels and %d hidden units", ErrFormat, c1, c2, hidden)
	}
	units := []int{c1, c2, hidden, Classes}
	inputs := []int{kernel * kernel, c1 * kernel * kernel, c2 * side4 * side4, hidden}
	b = b[head:]
	for i, l := range n.layers() {
		var err error
		if b, err = l.decode(b, units[i], inputs[i]); err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	if len(b) != 0 {
		return nil, fmt.Errorf("%w: %d bytes after the network's end", ErrFormat, len(b))
	}
	return n, nil
}

// decode reads a layer and returns the bytes after it.
func (l *Layer) decode(b []byte, units, inputs int) ([]byte, error) {
	weights := units * inputs
	if len(b) < weights+4*units+5 {
		return nil, fmt.Errorf("%w: cut short", ErrFormat)
	}
	l.Weights = make([]int8, weights)
	for i := range l.Weights {
		l.Weights[i] = int8(b[i])
	}
	b = b[weights:]
	l.Bias = make([]int32, units)
	for i := range l.Bias {
		l.Bias[i] = int32(binary.BigEndian.Uint32(b[4*i:]))
		if l.Bias[i] < -maxBias || l.Bias[i] > maxBias {
			return nil, fmt.Errorf("%w: bias %d", ErrFormat, l.Bias[i])
		}
	}
	b = b[4*units:]
	l.Mul, l.Shift = binary.BigEndian.Uint32(b), b[4]
	if l.Shift < minShift || l.Shift > maxShift {
		return nil, fmt.Errorf("%w: shift %d", ErrFormat, l.Shift)
	}
	return b[5:], nil
}
