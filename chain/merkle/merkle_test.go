package merkle

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/NethermindEth/juno/core/crypto"
	"github.com/NethermindEth/juno/core/felt"
	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write the golden vectors anew; the format is permanent, so only add to them")

func drawElement(t *rapid.T, name string) fp.Element {
	var e fp.Element
	e.SetBytes(rapid.SliceOfN(rapid.Byte(), 0, 40).Draw(t, name))
	return e
}

func toFelt(e fp.Element) *felt.Felt {
	b := e.Bytes()
	return new(felt.Felt).SetBytes(b[:])
}

// TestAgreesWithJuno holds the permutation against Juno's, which is tested
// against Starknet's own.
func TestAgreesWithJuno(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := drawElement(t, "a"), drawElement(t, "b")
		got, want := pair(&a, &b), crypto.Poseidon(toFelt(a), toFelt(b))
		if hashOf(&got) != Hash(want.Bytes()) {
			t.Fatalf("Poseidon(%v, %v) is %v, Juno says %v", &a, &b, &got, want.String())
		}
		var elems []fp.Element
		var felts []*felt.Felt
		for i := range rapid.IntRange(0, 13).Draw(t, "n") {
			e := drawElement(t, fmt.Sprint("e", i))
			elems, felts = append(elems, e), append(felts, toFelt(e))
		}
		got, want = array(elems...), crypto.PoseidonArray(felts...)
		if hashOf(&got) != Hash(want.Bytes()) {
			t.Fatalf("PoseidonArray of %d is %v, Juno says %v", len(elems), &got, want.String())
		}
	})
}

// TestLeafIsAsDocumented builds one leaf by the documentation, with Juno.
func TestLeafIsAsDocumented(t *testing.T) {
	l := sampleLeaf(7)
	u := func(v uint64) *felt.Felt { return new(felt.Felt).SetUint64(v) }
	b := func(v []byte) *felt.Felt { return new(felt.Felt).SetBytes(v) }
	worker, result := Cut(sha256.Sum256([]byte(l.Worker))), l.result()
	want := crypto.PoseidonArray(b([]byte("leaf-v1")), u(2), u(uint64(l.Shard)), u(l.Term), u(l.Seq), b(l.Job[:16]), b(l.Job[16:]),
		u(uint64(l.Task)+1), u(uint64(l.Attempt)), b(worker[:]), b(l.Spec[:]), b(result[:]))
	if l.Hash() != Hash(want.Bytes()) {
		t.Errorf("got %v, want %v", l.Hash(), want.String())
	}
}

func sampleLeaf(i int) *Leaf {
	l := &Leaf{
		Kind: Assignment, Shard: 3, Term: 5, Seq: uint64(1000 + i), Job: [32]byte{1, 2, byte(i)}, Task: int32(i) - 1, Attempt: uint32(i + 1),
		Worker: fmt.Sprint("worker-", i), Spec: Digest{9, byte(i)},
	}
	if i%2 == 1 {
		l.Kind, l.Exit, l.Output, l.Prints = Completion, uint32(i), fmt.Sprint("bafy", i), [32]byte{byte(i)}
	}
	return l
}

func hashes(n int) []Hash {
	out := make([]Hash, n)
	for i := range out {
		out[i] = sampleLeaf(i).Hash()
	}
	return out
}

// vector is one golden tree.
type vector struct {
	Leaves int    `json:"leaves"`
	First  Hash   `json:"firstLeaf"`
	Root   Hash   `json:"root"`
	Last   []Hash `json:"lastPath"`
}

// TestGoldenVectors pins roots and paths: what was anchored once must verify for
// ever.
func TestGoldenVectors(t *testing.T) {
	var got []vector
	for _, n := range []int{1, 2, 3, 5, 8, 13, 1000, 1024} {
		tree, err := New(hashes(n))
		if err != nil {
			t.Fatal(err)
		}
		root, _ := tree.Root()
		got = append(got, vector{n, hashes(1)[0], root, tree.Path(n - 1)})
	}
	text, err := json.MarshalIndent(got, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const file = "testdata/trees.json"
	if *rewrite {
		if err := os.WriteFile(file, append(text, '\n'), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(append(text, '\n'), want) {
		t.Errorf("the permanent format has changed:\n%s", text)
	}
	var back []vector
	if err := json.Unmarshal(want, &back); err != nil || back[0].Root != got[0].Root {
		t.Errorf("the vectors do not read back: %v", err)
	}
}

// TestPathsProve checks every leaf's path, and that no other leaf, place, root
// or count fits it.
func TestPathsProve(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 40).Draw(t, "leaves")
		leaves := hashes(n)
		tree, err := New(leaves)
		if err != nil {
			t.Fatal(err)
		}
		root, ok := tree.Root()
		if !ok {
			t.Fatal("no root")
		}
		i := rapid.IntRange(0, n-1).Draw(t, "leaf")
		path := tree.Path(i)
		if err := Verify(root, uint64(n), uint64(i), leaves[i], path); err != nil {
			t.Fatalf("leaf %d of %d: %v", i, n, err)
		}
		other := rapid.IntRange(0, n).Draw(t, "other")
		if other != i {
			if Verify(root, uint64(n), uint64(other), leaves[i], path) == nil {
				t.Fatalf("leaf %d of %d passes for %d", i, n, other)
			}
		}
		if other < n && other != i && Verify(root, uint64(n), uint64(i), leaves[other], path) == nil {
			t.Fatalf("leaf %d passes in the place of %d", other, i)
		}
		if n > 1 {
			at := rapid.IntRange(0, len(path)-1).Draw(t, "hurt")
			path[at][31] ^= 1
			if Verify(root, uint64(n), uint64(i), leaves[i], path) == nil {
				t.Fatal("a damaged path passes")
			}
			path[at][31] ^= 1
		}
		more, err := New(append(leaves, leaves[n-1]))
		if err != nil {
			t.Fatal(err)
		}
		if longer, _ := more.Root(); longer == root {
			t.Fatalf("%d leaves and one more have one root", n)
		}
	})
}

func TestEdges(t *testing.T) {
	empty, err := New(nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := empty.Root(); ok {
		t.Error("an empty tree has a root")
	}
	one := hashes(1)
	tree, err := New(one)
	if err != nil {
		t.Fatal(err)
	}
	if root, _ := tree.Root(); root != one[0] || len(tree.Path(0)) != 0 {
		t.Errorf("a tree of one leaf has root %v", root)
	}
	var over Hash
	for i := range over {
		over[i] = 0xff
	}
	if _, err := New([]Hash{over}); err == nil || !strings.Contains(err.Error(), "field") {
		t.Errorf("a leaf over the field: %v", err)
	}
	root, _ := tree.Root()
	for name, err := range map[string]error{
		"place":   Verify(root, 1, 1, one[0], nil),
		"length":  Verify(root, 2, 0, one[0], nil),
		"leaf":    Verify(root, 1, 0, over, nil),
		"sibling": Verify(root, 2, 0, one[0], []Hash{over}),
	} {
		if err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if err := Verify(root, 2, 0, one[0], []Hash{one[0]}); !errors.Is(err, ErrRoot) {
		t.Errorf("another root: %v", err)
	}
	for count, want := range map[uint64]int{0: 0, 1: 0, 2: 1, 3: 2, 4: 2, 5: 3, 1024: 10, 1025: 11} {
		if Depth(count) != want {
			t.Errorf("depth of %d is %d", count, Depth(count))
		}
	}
}

func TestTexts(t *testing.T) {
	h := hashes(1)[0]
	var back Hash
	if err := back.UnmarshalText([]byte(h.String())); err != nil || back != h {
		t.Errorf("%v came back as %v: %v", h, back, err)
	}
	d := Cut([32]byte{1, 2, 30: 3, 31: 4})
	text, err := d.MarshalText()
	var again Digest
	if err != nil || again.UnmarshalText(text) != nil || again != d {
		t.Errorf("%s came back as %v", text, again)
	}
	for _, bad := range []string{"", "0x12", "0y" + strings.Repeat("0", 64), "0x" + strings.Repeat("g", 64), "0x" + strings.Repeat("f", 64)} {
		if back.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is a hash", bad)
		}
	}
	for _, bad := range []string{"", strings.Repeat("g", 62)} {
		if again.UnmarshalText([]byte(bad)) == nil {
			t.Errorf("%q is a digest", bad)
		}
	}
}

// TestEveryFieldCounts changes each field of a record alone.
func TestEveryFieldCounts(t *testing.T) {
	base := *sampleLeaf(7)
	seen := map[Hash]string{base.Hash(): "unchanged"}
	for name, change := range map[string]func(*Leaf){
		"kind": func(l *Leaf) { l.Kind = Assignment }, "shard": func(l *Leaf) { l.Shard++ }, "term": func(l *Leaf) { l.Term++ },
		"seq": func(l *Leaf) { l.Seq++ }, "job hi": func(l *Leaf) { l.Job[0]++ }, "job lo": func(l *Leaf) { l.Job[31]++ },
		"task": func(l *Leaf) { l.Task = -1 }, "attempt": func(l *Leaf) { l.Attempt++ }, "worker": func(l *Leaf) { l.Worker += "x" },
		"spec": func(l *Leaf) { l.Spec[30]++ }, "exit": func(l *Leaf) { l.Exit++ }, "output": func(l *Leaf) { l.Output += "x" },
		"prints": func(l *Leaf) { l.Prints[31]++ },
	} {
		l := base
		change(&l)
		if old, ok := seen[l.Hash()]; ok {
			t.Errorf("%s does not count: same leaf as %s", name, old)
		}
		seen[l.Hash()] = name
	}
}

func FuzzHashText(f *testing.F) {
	f.Add(hashes(1)[0].String())
	f.Fuzz(func(t *testing.T, text string) {
		var h Hash
		if h.UnmarshalText([]byte(text)) == nil && h.String() != text {
			t.Errorf("%q reads as %v", text, h)
		}
	})
}

func BenchmarkPoseidon(b *testing.B) {
	x, y := word("x"), word("y")
	for b.Loop() {
		x = pair(&x, &y)
	}
}

func BenchmarkLeaf(b *testing.B) {
	l := sampleLeaf(1)
	for b.Loop() {
		l.Seq++
		l.Hash()
	}
}

// BenchmarkTree is the tree over 1,024 leaves without the leaves' own hashes.
func BenchmarkTree(b *testing.B) {
	leaves := hashes(1024)
	for b.Loop() {
		if _, err := New(leaves); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	leaves := hashes(1024)
	tree, err := New(leaves)
	if err != nil {
		b.Fatal(err)
	}
	root, _ := tree.Root()
	path := tree.Path(700)
	for b.Loop() {
		if err := Verify(root, 1024, 700, leaves[700], path); err != nil {
			b.Fatal(err)
		}
	}
}
