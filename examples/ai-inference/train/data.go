package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"github.com/ciro-network/ciro/examples/ai-inference/digits"
)

// sample is a picture and what it shows.
type sample struct {
	image digits.Image
	label uint8
}

// readPackage reads the npm package: per digit one long list of grey values
// between 0 and 1, rounded to thousandths of what were 255ths.
func readPackage(dir string) ([]sample, error) {
	var all []sample
	for label := range uint8(digits.Classes) {
		name := filepath.Join(dir, fmt.Sprintf("%d.json", label))
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("read the digits: %w", err)
		}
		var file struct{ Data []float64 }
		if err := json.Unmarshal(b, &file); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(file.Data) == 0 || len(file.Data)%digits.Pixels != 0 {
			return nil, fmt.Errorf("%s: %d grey values are not whole pictures", name, len(file.Data))
		}
		for one := range slices.Chunk(file.Data, digits.Pixels) {
			s := sample{label: label}
			for i, v := range one {
				if v < 0 || v > 1 {
					return nil, fmt.Errorf("%s: grey value %g", name, v)
				}
				s.image[i] = uint8(math.Round(v * 255))
			}
			all = append(all, s)
		}
	}
	return all, nil
}

// split parts the samples by the rule of [digits.HeldOut], which knows only the
// pictures, and orders both parts by hash: no order of the package is left. A
// picture that occurs twice is kept once.
func split(all []sample) (seen, heldOut []sample) {
	type hashed struct {
		sum [sha256.Size]byte
		at  int
	}
	order := make([]hashed, len(all))
	for i := range all {
		order[i] = hashed{sha256.Sum256(all[i].image[:]), i}
	}
	slices.SortStableFunc(order, func(a, b hashed) int { return bytes.Compare(a.sum[:], b.sum[:]) })
	for i, h := range order {
		if i > 0 && h.sum == order[i-1].sum {
			continue
		}
		if s := all[h.at]; digits.HeldOut(&s.image) {
			heldOut = append(heldOut, s)
		} else {
			seen = append(seen, s)
		}
	}
	return seen, heldOut
}

// columns parts samples into pictures and labels.
func columns(samples []sample) ([]digits.Image, []uint8) {
	images, labels := make([]digits.Image, len(samples)), make([]uint8, len(samples))
	for i, s := range samples {
		images[i], labels[i] = s.image, s.label
	}
	return images, labels
}
