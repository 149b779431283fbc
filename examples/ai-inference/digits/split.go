package digits

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"slices"
)

// heldOutBelow is the share of pictures that training never sees, in 256ths.
const heldOutBelow = 26

// HeldOut reports whether a picture is kept from training: the first byte of
// the SHA-256 of its pixels is below 26, which is so for about every tenth.
// Nothing else enters, neither its label nor its place in a file.
func HeldOut(m *Image) bool { return sha256.Sum256(m[:])[0] < heldOutBelow }

// Digest identifies a set of pictures, whatever their order: the SHA-256 of the
// sorted SHA-256 of each.
func Digest(images []Image) [sha256.Size]byte {
	sums := make([][sha256.Size]byte, len(images))
	for i := range images {
		sums[i] = sha256.Sum256(images[i][:])
	}
	slices.SortFunc(sums, func(a, b [sha256.Size]byte) int { return bytes.Compare(a[:], b[:]) })
	h := sha256.New()
	for i := range sums {
		h.Write(sums[i][:])
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// Split returns the part [from, to) of n pictures that task index of count has
// to do. The parts of all tasks follow each other without gap, and their
// lengths differ by one at most.
func Split(n, index, count int) (from, to int, err error) {
	if n < 0 || n > MaxImages || count < 1 || index < 0 || index >= count {
		return 0, 0, fmt.Errorf("task %d of %d has no part of %d pictures", index, count, n)
	}
	return int(int64(n) * int64(index) / int64(count)), int(int64(n) * int64(index+1) / int64(count)), nil
}
