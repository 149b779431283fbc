package proof

import (
	"bytes"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/chain/merkle"
)

// key returns a peer, named by its public key, and how it signs.
func key(seed byte) (string, ledger.Sign) {
	k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	name := hex.EncodeToString(k.Public().(ed25519.PublicKey))
	return name, func(m []byte) (string, []byte, error) { return name, ed25519.Sign(k, m), nil }
}

func verify(peer string, message, signature []byte) error {
	k, err := hex.DecodeString(peer)
	if err != nil || len(k) != ed25519.PublicKeySize || !ed25519.Verify(k, message, signature) {
		return errors.New("bad signature")
	}
	return nil
}

// town is a network with one shard's ledger; its genesis is its founder's name.
type town struct {
	t       rapid.TB
	genesis []byte
	network [32]byte
	ledger  *ledger.Ledger
	leaves  map[uint64][]merkle.Leaf
	next    uint64 // number of the next record
}

const shard = 3

var job = [32]byte{0xab, 1}

func newTown(t rapid.TB) *town {
	founder, _ := key(1)
	w := &town{t: t, genesis: []byte(founder), leaves: map[uint64][]merkle.Leaf{}}
	w.network = sha256.Sum256(w.genesis)
	w.ledger = ledger.New(w.network, &ledger.Memory{}, verify)
	return w
}

func (w *town) rules() Rules {
	return Rules{Network: ID(w.network).String(), Verify: verify, Genesis: func(raw []byte) (string, string, error) { return string(raw), "town", nil }}
}

// batch cuts a batch of n records, every third of them the job's, signed by one
// peer and naming others; seal false leaves it without an anchor.
func (w *town) batch(n int, by byte, seal bool, names ...byte) {
	tip, _, err := w.ledger.Tip(shard)
	if err != nil {
		w.t.Fatal(err)
	}
	b := chain.Batch{Network: w.network, Shard: shard, Seq: tip + 1, Term: 1 + tip/4, First: w.next, Count: uint64(n), At: int64(1000 * tip)}
	for _, s := range names {
		name, _ := key(s)
		b.Members = append(b.Members, name)
	}
	var hashes []merkle.Hash
	for i := range n {
		l := merkle.Leaf{Kind: merkle.Assignment, Shard: shard, Term: b.Term, Seq: w.next + 10, Task: int32(w.next) - 1, Attempt: 1, Worker: "w", Spec: merkle.Digest{4}}
		if i%3 == 0 {
			l.Job = job
		}
		if i%2 == 1 {
			l.Kind, l.Output, l.Prints = merkle.Completion, "bafy", [32]byte{7}
		}
		w.leaves[b.Seq] = append(w.leaves[b.Seq], l)
		hashes = append(hashes, l.Hash())
		w.next++
	}
	tree, err := merkle.New(hashes)
	if err != nil {
		w.t.Fatal(err)
	}
	b.Root, _ = tree.Root()
	e, err := w.ledger.Append(b)
	if err != nil {
		w.t.Fatal(err)
	}
	if !seal {
		return
	}
	_, sign := key(by)
	s, err := ledger.Sealed(e, chain.Receipt{Reference: fmt.Sprint("r", b.Seq)}, sign)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := w.ledger.Seal(s); err != nil {
		w.t.Fatal(err)
	}
}

// file makes the job's proof.
func (w *town) file() (*File, error) {
	f := &File{Format: Format, Network: w.network, Genesis: w.genesis, Shard: shard, Job: job}
	tip, _, err := w.ledger.Tip(shard)
	if err != nil {
		return nil, err
	}
	for seq := uint64(1); seq <= tip; seq++ {
		var hashes []merkle.Hash
		for i := range w.leaves[seq] {
			hashes = append(hashes, w.leaves[seq][i].Hash())
		}
		tree, err := merkle.New(hashes)
		if err != nil {
			return nil, err
		}
		for i := range w.leaves[seq] {
			if l := &w.leaves[seq][i]; l.Job == job {
				f.Records = append(f.Records, FromLeaf(l, seq, uint64(i), tree.Path(i)))
			}
		}
	}
	return f, f.AddEntries(w.ledger, string(w.genesis))
}

func (w *town) bytes(change func(*File)) []byte {
	f, err := w.file()
	if err != nil {
		w.t.Fatal(err)
	}
	if change != nil {
		change(f)
	}
	data, err := f.Encode()
	if err != nil {
		w.t.Fatal(err)
	}
	return data
}

// usual is a shard that changed hands twice: the founder named 2, 2 named 3.
func usual(t rapid.TB) *town {
	w := newTown(t)
	w.batch(0, 1, true, 1, 2)
	w.batch(0, 2, true, 2, 3)
	w.batch(5, 3, true, 2, 3)
	w.batch(9, 3, true, 3)
	w.batch(0, 2, true, 3)
	return w
}

func TestProof(t *testing.T) {
	w := usual(t)
	v, err := Verify(w.bytes(nil), w.rules())
	if err != nil {
		t.Fatal(err)
	}
	two, _ := key(2)
	three, _ := key(3)
	signers := []string{two, three}
	slices.Sort(signers)
	if v.Head != 5 || len(v.Records) != 5 || !slices.Equal(v.Batches, []uint64{3, 4}) || !slices.Equal(v.Through, []uint64{1, 2}) || !slices.Equal(v.Signers, signers) {
		t.Errorf("verdict %+v", v)
	}
	if v.Name != "town" || v.Founder != string(w.genesis) || !v.Given {
		t.Errorf("verdict %+v", v)
	}
}

// TestEveryByteCounts flips a bit of every byte of a file: nothing may pass.
func TestEveryByteCounts(t *testing.T) {
	w := usual(t)
	data := w.bytes(nil)
	for at := range data {
		for _, mask := range []byte{1, 0x20} {
			data[at] ^= mask
			if _, err := Verify(data, w.rules()); err == nil {
				t.Errorf("byte %d, %q of %q, may be changed", at, data[at], data[max(0, at-20):min(len(data), at+20)])
			}
			data[at] ^= mask
		}
	}
	t.Logf("%d bytes", len(data))
}

// TestSentences changes one thing in a file and demands that the error names it.
func TestSentences(t *testing.T) {
	w := usual(t)
	stranger, _ := key(9)
	for want, change := range map[string]func(*File){
		"does not stand in batch 3":                    func(f *File) { f.Records[0].Worker = "thief" },
		"names batch 77":                               func(f *File) { f.Records[0].Batch = 77 },
		"its kind":                                     func(f *File) { f.Records[0].Kind = "other" },
		"is in the file twice":                         func(f *File) { f.Records = append(f.Records, f.Records[0]) },
		"entry 3 of the ledger is not what":            func(f *File) { f.Entries[2].Root[4] ^= 1 },
		"entry 4 of the ledger is not what":            func(f *File) { f.Entries[3].Reference = "elsewhere" },
		"does not follow":                              func(f *File) { f.Entries[3], f.Entries[4] = f.Entries[4], f.Entries[3] },
		"whom neither the genesis nor":                 func(f *File) { f.Entries = f.Entries[1:] },
		"is missing between":                           func(f *File) { f.Entries = slices.Delete(f.Entries, 3, 4); f.Records = f.Records[:1] },
		"its hash is another":                          func(f *File) { f.Genesis = []byte("g") },
		"proves nothing":                               func(f *File) { f.Records = nil },
		"the file's format is":                         func(f *File) { f.Format = "ciro-proof-2" },
		"is not what \"" + stranger:                    func(f *File) { f.Entries[0].Signer = stranger },
		"more than an entry may":                       func(f *File) { f.Entries[0].Members = make([]string, ledger.MaxMembers+1) },
		"more than a proof may have":                   func(f *File) { f.Records = make([]Record, MaxRecords+1) },
		"the place does not fit the number of records": func(f *File) { f.Records[0].Index = 99 },
	} {
		if _, err := Verify(w.bytes(change), w.rules()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	rules := w.rules()
	rules.Network = strings.Repeat("0", 64)
	if _, err := Verify(w.bytes(nil), rules); err == nil || !strings.Contains(err.Error(), "not about 0000") {
		t.Errorf("another network: %v", err)
	}
	rules.Network = ""
	rules.Genesis = func([]byte) (string, string, error) { return "", "", errors.New("no") }
	if _, err := Verify(w.bytes(nil), rules); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("an unreadable genesis: %v", err)
	}
	for want, data := range map[string][]byte{
		"is no proof": []byte("{"), "something follows": append(w.bytes(nil), '{'), "not in the one form": append(w.bytes(nil), ' '),
		"unknown field": []byte(`{"more":1}`), "at most": make([]byte, MaxFile+1),
	} {
		if _, err := Verify(data, w.rules()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}

// TestStranger has a ledger that nobody leads to from the founder: it passes only
// for those who vouch for its signer.
func TestStranger(t *testing.T) {
	w := newTown(t)
	w.batch(4, 5, true, 5)
	if _, err := w.file(); !errors.Is(err, ErrNotReady) {
		t.Fatalf("the builder leads to a stranger: %v", err)
	}
	f, err := w.file()
	if f == nil || err == nil {
		t.Fatal("no file")
	}
	e, _, err := w.ledger.Entry(shard, 1)
	if err != nil {
		t.Fatal(err)
	}
	f.Entries = []Entry{FromSigned(e)}
	data, err := f.Encode()
	if err != nil {
		t.Fatal(err)
	}
	rules := w.rules()
	if _, err := Verify(data, rules); err == nil || !strings.Contains(err.Error(), "whom neither") {
		t.Errorf("a stranger's ledger: %v", err)
	}
	five, _ := key(5)
	rules.Trust = []string{five}
	if _, err := Verify(data, rules); err != nil {
		t.Errorf("a trusted stranger's ledger: %v", err)
	}
}

func TestNotReady(t *testing.T) {
	w := newTown(t)
	w.batch(4, 1, true, 1)
	w.batch(4, 1, false, 1)
	if _, err := w.file(); !errors.Is(err, ErrNotReady) {
		t.Errorf("a batch without anchor: %v", err)
	}
	if err := (&File{}).AddEntries(w.ledger, ""); err == nil {
		t.Error("a proof of nothing")
	}
}

// TestHeadIsTheLastAnchored ends a proof before entries without an anchor.
func TestHeadIsTheLastAnchored(t *testing.T) {
	w := newTown(t)
	w.batch(4, 1, true, 1)
	w.batch(0, 1, true, 1)
	w.batch(0, 1, false, 1)
	v, err := Verify(w.bytes(nil), w.rules())
	if err != nil || v.Head != 2 {
		t.Errorf("%+v, %v", v, err)
	}
}

// TestTwoCompletions refuses a shard that completed one task twice.
func TestTwoCompletions(t *testing.T) {
	w := newTown(t)
	w.batch(4, 1, true, 1)
	w.batch(4, 1, true, 1)
	for seq := range w.leaves {
		for i := range w.leaves[seq] {
			if w.leaves[seq][i].Kind == merkle.Completion {
				w.leaves[seq][i].Task = 0
			}
		}
	}
	// The same leaves in a ledger of their own.
	again := newTown(t)
	for seq := uint64(1); seq <= 2; seq++ {
		var hashes []merkle.Hash
		for i := range w.leaves[seq] {
			w.leaves[seq][i].Job = job
			hashes = append(hashes, w.leaves[seq][i].Hash())
		}
		tree, err := merkle.New(hashes)
		if err != nil {
			t.Fatal(err)
		}
		root, _ := tree.Root()
		e, err := again.ledger.Append(chain.Batch{Network: again.network, Shard: shard, Seq: seq, Term: 1, First: 4 * (seq - 1), Count: 4, Root: root})
		if err != nil {
			t.Fatal(err)
		}
		_, sign := key(1)
		s, err := ledger.Sealed(e, chain.Receipt{Reference: "r"}, sign)
		if err == nil {
			err = again.ledger.Seal(s)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	again.leaves = w.leaves
	if _, err := Verify(again.bytes(nil), again.rules()); err == nil || !strings.Contains(err.Error(), "completes twice") {
		t.Errorf("got %v", err)
	}
}

// TestRandomLedgers proves jobs of random ledgers, and finds random damage.
func TestRandomLedgers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTown(t)
		w.batch(0, 1, true, 1, 2)
		signers := []byte{1, 2}
		for range rapid.IntRange(1, 6).Draw(t, "batches") {
			named := rapid.ByteRange(1, 6).Draw(t, "named")
			by := rapid.SampledFrom(signers).Draw(t, "by")
			w.batch(rapid.IntRange(0, 9).Draw(t, "records"), by, true, named)
			signers = append(signers, named)
		}
		w.batch(3, rapid.SampledFrom(signers).Draw(t, "last"), true)
		data := w.bytes(nil)
		if _, err := Verify(data, w.rules()); err != nil {
			t.Fatal(err)
		}
		data[rapid.IntRange(0, len(data)-1).Draw(t, "at")] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if _, err := Verify(data, w.rules()); err == nil {
			t.Fatal("a damaged file passes")
		}
	})
}

func FuzzVerify(f *testing.F) {
	w := usual(f)
	good := w.bytes(nil)
	f.Add(good)
	f.Add([]byte(`{"format":"ciro-proof-1"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		if _, err := Verify(data, w.rules()); err == nil && !bytes.Equal(data, good) {
			t.Errorf("another file passes: %q", data)
		}
	})
}

// BenchmarkVerify checks the proof of a job with 50 records in batches of 1,024.
func BenchmarkVerify(b *testing.B) {
	w := newTown(b)
	w.batch(150, 1, true, 1)
	data := w.bytes(nil)
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Verify(data, w.rules()); err != nil {
			b.Fatal(err)
		}
	}
}
