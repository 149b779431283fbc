package merkle

import (
	"errors"
	"fmt"
	"math/bits"
	"sync"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// MaxDepth is the most levels of a tree above its leaves.
const MaxDepth = 32

// pads are the root of a tree of padding alone, by depth.
var pads = sync.OnceValue(func() *[MaxDepth + 1]fp.Element {
	var p [MaxDepth + 1]fp.Element
	p[0] = array(word("pad-v1"))
	for i := range MaxDepth {
		p[i+1] = pair(&p[i], &p[i])
	}
	return &p
})

// Tree is a Merkle tree over leaves.
type Tree struct {
	levels [][]fp.Element // without padding: levels[0] are the leaves, the last one is the root
}

// New builds the tree over leaves. One that is no field element is an error.
func New(leaves []Hash) (*Tree, error) {
	if uint64(len(leaves)) > 1<<MaxDepth {
		return nil, fmt.Errorf("%d leaves are too many for one tree", len(leaves))
	}
	row := make([]fp.Element, len(leaves))
	for i, l := range leaves {
		e, err := l.element()
		if err != nil {
			return nil, fmt.Errorf("leaf %d: %w", i, err)
		}
		row[i] = e
	}
	t := &Tree{levels: [][]fp.Element{row}}
	for depth := 0; len(row) > 1; depth++ {
		up := make([]fp.Element, (len(row)+1)/2)
		for i := range up {
			right := &pads()[depth]
			if 2*i+1 < len(row) {
				right = &row[2*i+1]
			}
			up[i] = pair(&row[2*i], right)
		}
		t.levels = append(t.levels, up)
		row = up
	}
	return t, nil
}

// Root returns the root; false for an empty tree, which has none.
func (t *Tree) Root() (Hash, bool) {
	top := t.levels[len(t.levels)-1]
	if len(top) == 0 {
		return Hash{}, false
	}
	return hashOf(&top[0]), true
}

// Path returns the siblings of leaf i, from the leaf up.
func (t *Tree) Path(i int) []Hash {
	path := make([]Hash, 0, len(t.levels)-1)
	for depth, row := range t.levels[:len(t.levels)-1] {
		sibling := pads()[depth]
		if i^1 < len(row) {
			sibling = row[i^1]
		}
		path = append(path, hashOf(&sibling))
		i /= 2
	}
	return path
}

// Depth returns the length of every path in a tree of count leaves.
func Depth(count uint64) int {
	if count < 2 {
		return 0
	}
	return bits.Len64(count - 1)
}

// Errors of Verify.
var (
	ErrPlace = errors.New("the place does not fit the number of records in the batch")
	ErrRoot  = errors.New("the path does not lead to the root")
)

// Verify checks that leaf stands at index among count leaves under root.
func Verify(root Hash, count, index uint64, leaf Hash, path []Hash) error {
	if index >= count || len(path) != Depth(count) || len(path) > MaxDepth {
		return fmt.Errorf("%w: index %d of %d, path of %d", ErrPlace, index, count, len(path))
	}
	at, err := leaf.element()
	if err != nil {
		return err
	}
	for _, h := range path {
		sibling, err := h.element()
		if err != nil {
			return err
		}
		if index%2 == 0 {
			at = pair(&at, &sibling)
		} else {
			at = pair(&sibling, &at)
		}
		index /= 2
	}
	if hashOf(&at) != root {
		return ErrRoot
	}
	return nil
}
