package digits

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os/exec"
	"regexp"
	"slices"
	"testing"
)

// some is a network of random numbers and a few random pictures.
func some() (*Network, []Image) {
	r := rand.New(rand.NewPCG(1, 2))
	n := &Network{Trained: 3, TrainingSet: [32]byte{1, 2}}
	inputs, units := []int{25, 75, 4 * 16, 5}, []int{3, 4, 5, Classes}
	for i, l := range n.layers() {
		for range inputs[i] * units[i] {
			l.Weights = append(l.Weights, int8(r.Uint32()))
		}
		for range units[i] {
			l.Bias = append(l.Bias, int32(r.Uint32())>>16)
		}
		l.Mul, l.Shift = r.Uint32(), 42
	}
	images := make([]Image, 3)
	for i := range images {
		for p := range images[i] {
			images[i][p] = uint8(r.Uint32())
		}
	}
	return n, images
}

// TestReadIsWhatTheLayersSay computes the network in the plainest way.
func TestReadIsWhatTheLayersSay(t *testing.T) {
	n, images := some()
	r := NewReader(n)
	convolve := func(l *Layer, in [][]int, side int) (out [][]int) {
		for o := range l.Bias {
			plane := make([]int, (side-4)/2*((side-4)/2))
			for y := range side - 4 {
				for x := range side - 4 {
					sum := int(l.Bias[o])
					for c := range in {
						for k := range 25 {
							sum += int(l.Weights[(o*len(in)+c)*25+k]) * in[c][(y+k/5)*side+x+k%5]
						}
					}
					at := y/2*((side-4)/2) + x/2
					plane[at] = max(plane[at], int(l.activation(int32(sum))))
				}
			}
			out = append(out, plane)
		}
		return out
	}
	for _, m := range images {
		first := make([]int, Pixels)
		for i, v := range m {
			first[i] = int(v)
		}
		flat := slices.Concat(convolve(&n.Conv2, convolve(&n.Conv1, [][]int{first}, 28), 12)...)
		dense := func(l *Layer, in []int) (sums []int) {
			for u, b := range l.Bias {
				sum := int(b)
				for i, v := range in {
					sum += v * int(l.Weights[u*len(in)+i])
				}
				sums = append(sums, sum)
			}
			return sums
		}
		hidden := dense(&n.Dense, flat)
		for i, s := range hidden {
			hidden[i] = int(n.Dense.activation(int32(s)))
		}
		scores := dense(&n.Out, hidden)
		digit, margin := r.Read(&m)
		sorted := slices.Sorted(slices.Values(scores))
		if slices.Index(scores, sorted[9]) != int(digit) || sorted[9]-sorted[8] != int(margin) {
			t.Errorf("%d by %d, want the largest of %v", digit, margin, scores)
		}
	}
}

func TestActivation(t *testing.T) {
	l := Layer{Mul: 1 << 30, Shift: 31}                                                                                       // a half
	for sum, want := range map[int32]uint8{-5: 0, 0: 0, 1: 1, 2: 1, 3: 2, 508: 254, 511: 255, 1 << 30: 255, 1<<31 - 1: 255} { // any order: independent
		if got := l.activation(sum); got != want {
			t.Errorf("%d gives %d, want %d", sum, got, want)
		}
	}
}

// TestNetworkFile cuts and changes a network's file everywhere: each result is
// refused, or is a network that works.
func TestNetworkFile(t *testing.T) {
	n, images := some()
	good := n.Encode()
	again, err := Decode(good)
	if err != nil || !bytes.Equal(again.Encode(), good) {
		t.Fatalf("decoded: %v", err)
	}
	for i := range good {
		if _, err := Decode(good[:i]); !errors.Is(err, ErrFormat) {
			t.Fatalf("the first %d bytes: %v", i, err)
		}
		bad := slices.Clone(good)
		bad[i] ^= 0xff
		if n, err := Decode(bad); err == nil {
			NewReader(n).Read(&images[0])
		} else if !errors.Is(err, ErrFormat) {
			t.Fatalf("byte %d: %v", i, err)
		}
	}
	if _, err := Decode(append(good, 0)); !errors.Is(err, ErrFormat) {
		t.Errorf("a byte more: %v", err)
	}
}

func TestIDX(t *testing.T) {
	_, images := some()
	b := EncodeImages(images)
	if again, err := DecodeImages(b); err != nil || !slices.Equal(again, images) {
		t.Errorf("pictures: %v", err)
	}
	labels := EncodeLabels([]uint8{0, 9, 4})
	if again, err := DecodeLabels(labels); err != nil || !slices.Equal(again, []uint8{0, 9, 4}) {
		t.Errorf("labels: %v", err)
	}
	for i := range 16 {
		bad := slices.Clone(b)
		bad[i] ^= 0x80
		if _, err := DecodeImages(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("pictures, byte %d: %v", i, err)
		}
	}
	for i := range labels {
		bad := slices.Clone(labels)
		bad[i] ^= 0x80
		if _, err := DecodeLabels(bad); !errors.Is(err, ErrFormat) {
			t.Errorf("labels, byte %d: %v", i, err)
		}
	}
	if _, err := DecodeImages(nil); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
	if _, err := DecodeLabels(labels[:9]); !errors.Is(err, ErrFormat) {
		t.Error(err)
	}
}

func TestSplit(t *testing.T) {
	for _, n := range []int{0, 1, 7, 1017} {
		for count := 1; count < 20; count++ {
			last := 0
			for i := range count {
				from, to, err := Split(n, i, count)
				if err != nil || from != last || to < from || to-from > n/count+1 {
					t.Fatalf("%d of %d in %d: [%d, %d), %v", i, n, count, from, to, err)
				}
				last = to
			}
			if last != n {
				t.Errorf("%d parts of %d end at %d", count, n, last)
			}
		}
	}
	for _, c := range [][3]int{{1, 0, 0}, {1, 1, 1}, {1, -1, 1}, {-1, 0, 1}, {MaxImages + 1, 0, 1}} {
		if _, _, err := Split(c[0], c[1], c[2]); err == nil {
			t.Errorf("%v has a part", c)
		}
	}
}

func TestPredictionsAndReport(t *testing.T) {
	all := []Prediction{{0, 3, 10}, {1, 4, 0}, {2, 4, 99}}
	again, err := DecodePredictions(EncodePredictions(all))
	if err != nil || !slices.Equal(again, all) {
		t.Errorf("%v, %v", again, err)
	}
	for _, bad := range []string{"", "0,3,1\n", header + "\n0,10,1\n", header + "\n0,3,-1\n", header + "\n0,3\n", header + "\nx,3,1\n", header + "\n0,3,1,2\n"} {
		if _, err := DecodePredictions([]byte(bad)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	r, err := NewReport(all, []uint8{3, 4, 9})
	if err != nil || r.Correct != 2 || r.Accuracy != 2.0/3 || r.Confusion[9][4] != 1 || r.Confusion[3][3] != 1 ||
		!slices.Equal(r.Mistakes, []Mistake{{2, 9, 4}}) {
		t.Errorf("%+v, %v", r, err)
	}
	for _, bad := range [][]Prediction{nil, all[:2], {all[0], all[2], all[1]}, {all[0], all[0], all[2]}} {
		if _, err := NewReport(bad, []uint8{3, 4, 9}); !errors.Is(err, ErrFormat) {
			t.Errorf("%v: %v", bad, err)
		}
	}
}

// TestNoFloatingPoint compiles the package for arm64, where products and sums
// may be fused, and looks for floating point on the way from picture to digit.
func TestNoFloatingPoint(t *testing.T) {
	cmd := exec.Command("go", "build", "-gcflags=-S", ".")
	cmd.Env = append(cmd.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0", "GOFLAGS=")
	b, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("compile for arm64: %v\n%s", err, b)
	}
	if !bytes.Contains(b, []byte("network.go")) {
		t.Fatal("the listing does not show network.go, so it is not a listing")
	}
	if m := regexp.MustCompile(`network\.go:\d+\)\s+(F(N?M)?(ADD|SUB|MUL|DIV)|[SU]CVTF)\w*\b.*`).Find(b); m != nil {
		t.Errorf("floating point: %s", m)
	}
}
