package merkle

import (
	"crypto/sha256"
	"strconv"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// Rounds of the Hades permutation with three words over the Stark field.
const (
	fullRounds    = 8
	partialRounds = 83
	rounds        = fullRounds + partialRounds
)

// roundKeys are SHA-256("Hades0"), SHA-256("Hades1"), … reduced to the field,
// three per round. Made at the first hash, not when the process starts.
var roundKeys = sync.OnceValue(func() *[rounds][3]fp.Element {
	var keys [rounds][3]fp.Element
	for i := range 3 * rounds {
		sum := sha256.Sum256([]byte("Hades" + strconv.Itoa(i)))
		keys[i/3][i%3].SetBytes(sum[:])
	}
	return &keys
})

// permute is the Hades permutation: keys, cubes, and the matrix
// ((3,1,1),(1,-1,1),(1,1,-2)).
func permute(s *[3]fp.Element) {
	var sum, square fp.Element
	for i, key := range roundKeys() {
		s[0].Add(&s[0], &key[0])
		s[1].Add(&s[1], &key[1])
		s[2].Add(&s[2], &key[2])
		if i < fullRounds/2 || i >= rounds-fullRounds/2 {
			s[0].Mul(&s[0], square.Square(&s[0]))
			s[1].Mul(&s[1], square.Square(&s[1]))
		}
		s[2].Mul(&s[2], square.Square(&s[2]))
		sum.Add(&s[0], &s[1])
		sum.Add(&sum, &s[2])
		s[0].Double(&s[0])
		s[0].Add(&s[0], &sum)
		s[1].Double(&s[1])
		s[1].Sub(&sum, &s[1])
		square.Double(&s[2])
		s[2].Add(&s[2], &square)
		s[2].Sub(&sum, &s[2])
	}
}

// pair is Poseidon(a, b).
func pair(a, b *fp.Element) fp.Element {
	s := [3]fp.Element{*a, *b}
	s[2].SetUint64(2)
	permute(&s)
	return s[0]
}

// array is PoseidonArray: two elements per permutation, then a one and, to make
// it even, a zero.
func array(elems ...fp.Element) fp.Element {
	var s [3]fp.Element
	n := len(elems)
	for i := 0; i+1 < n; i += 2 {
		s[0].Add(&s[0], &elems[i])
		s[1].Add(&s[1], &elems[i+1])
		permute(&s)
	}
	var one fp.Element
	one.SetOne()
	if n%2 == 1 {
		s[0].Add(&s[0], &elems[n-1])
	}
	s[n%2].Add(&s[n%2], &one)
	permute(&s)
	return s[0]
}

// word is a Cairo short string of at most 31 bytes as a field element.
func word(s string) fp.Element {
	var e fp.Element
	e.SetBytes([]byte(s))
	return e
}
