package ledger

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/chain/chaintest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden entry anew; the format is permanent")

// signer signs as a peer whose name is its key.
func signer(seed byte) (string, Sign) {
	k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{seed}, 32))
	name := hex.EncodeToString(k.Public().(ed25519.PublicKey))
	return name, func(m []byte) (string, []byte, error) { return name, ed25519.Sign(k, m), nil }
}

func verify(peer string, message, signature []byte) error {
	k, err := hex.DecodeString(peer)
	if err != nil || len(k) != ed25519.PublicKeySize || !ed25519.Verify(k, message, signature) {
		return errors.New("not signed")
	}
	return nil
}

func fresh() *Ledger { return New(chaintest.Network, &Memory{}, verify) }

func TestAnchor(t *testing.T) {
	chaintest.Run(t, chaintest.Harness{
		New: func(*testing.T) chain.Anchor { return fresh().Anchor() },
		Reopen: func(t *testing.T, a chain.Anchor) chain.Anchor {
			l, ok := a.(Anchor)
			if !ok {
				t.Fatalf("an anchor of type %T", a)
			}
			return New(l.network, l.store, l.verify).Anchor()
		},
	})
}

func sample() *Signed {
	s := &Signed{Entry: Entry{Batch: chaintest.Batch(3, 9, 4), Previous: [32]byte{7}}, Signer: "peer", Signature: []byte("sig"), Reference: "ledger:1"}
	s.At = -5
	return s
}

func TestGoldenEntry(t *testing.T) {
	const file = "testdata/entry.hex"
	got := hex.EncodeToString(sample().Encode())
	if *rewrite {
		if err := os.WriteFile(file, []byte(got+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || strings.TrimSpace(string(want)) != got {
		t.Fatalf("the permanent format has changed: %v\n%s", err, got)
	}
	raw, err := hex.DecodeString(got)
	if err != nil {
		t.Fatal(err)
	}
	back, err := Decode(raw)
	if err != nil || !reflect.DeepEqual(back, sample()) {
		t.Errorf("%+v, %v", back, err)
	}
}

func TestEntriesReadBack(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := &Signed{Signer: rapid.StringN(0, 20, 60).Draw(t, "signer"), Reference: rapid.StringN(0, 20, 60).Draw(t, "reference")}
		s.Seq, s.Term, s.First = rapid.Uint64Min(1).Draw(t, "seq"), rapid.Uint64().Draw(t, "term"), rapid.Uint64().Draw(t, "first")
		s.Count, s.At, s.Shard = rapid.Uint64().Draw(t, "count"), rapid.Int64().Draw(t, "at"), rapid.Uint32().Draw(t, "shard")
		copy(s.Root[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "root"))
		for i := range rapid.IntRange(0, 5).Draw(t, "members") {
			s.Members = append(s.Members, fmt.Sprint("p", i))
		}
		raw := s.Encode()
		back, err := Decode(raw)
		if err != nil || !reflect.DeepEqual(back, s) {
			t.Fatalf("%+v came back as %+v: %v", s, back, err)
		}
		at := rapid.IntRange(0, len(raw)-1).Draw(t, "at")
		raw[at] ^= 1 << rapid.IntRange(0, 7).Draw(t, "bit")
		if hurt, err := Decode(raw); err == nil && reflect.DeepEqual(hurt, s) {
			t.Fatalf("a flipped bit at %d changes nothing", at)
		}
	})
}

func TestDecodeRefuses(t *testing.T) {
	good := sample().Encode()
	many := sample()
	for range MaxMembers + 1 {
		many.Members = append(many.Members, "p")
	}
	zero := sample()
	zero.Seq = 0
	for name, raw := range map[string][]byte{
		"nothing": nil, "short": good[:len(good)-1], "long": append(bytes.Clone(good), 0), "huge": make([]byte, maxEntry+1),
		"version": append([]byte("ciro-entry\x02"), good[11:]...), "members": many.Encode(), "number 0": zero.Encode(),
	} {
		if _, err := Decode(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

// TestVotersAgree makes the same ledger on two voters under two leaders.
func TestVotersAgree(t *testing.T) {
	a, b := fresh(), fresh()
	nameA, signA := signer(1)
	_, signB := signer(2)
	for seq := uint64(1); seq <= 4; seq++ {
		batch := chaintest.Batch(0, seq, 1)
		ea, err := a.Append(batch)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := b.Append(batch); err != nil {
			t.Fatal(err)
		}
		r, err := a.Anchor().Find(t.Context(), chaintest.Network, 0, seq)
		if err != nil {
			t.Fatal(err)
		}
		seal, err := Sealed(ea, r, signA)
		if err != nil {
			t.Fatal(err)
		}
		if seq == 2 { // another leader tried as well; the log has the first one's
			if _, err := Sealed(ea, r, signB); err != nil {
				t.Fatal(err)
			}
		}
		for _, l := range []*Ledger{a, b} {
			if err := l.Seal(seal); err != nil {
				t.Fatal(err)
			}
		}
	}
	for seq := uint64(1); seq <= 4; seq++ {
		x, _, errX := a.Entry(0, seq)
		y, _, errY := b.Entry(0, seq)
		if errX != nil || errY != nil || !bytes.Equal(x.Encode(), y.Encode()) || x.Signer != nameA {
			t.Errorf("entry %d: %+v and %+v, %v %v", seq, x, y, errX, errY)
		}
	}
}

// TestMismatchIsAnAlarm has a leader anchor what a voter did not make.
func TestMismatchIsAnAlarm(t *testing.T) {
	l := fresh()
	name, sign := signer(1)
	e, err := l.Append(chaintest.Batch(0, 1, 1))
	if err != nil {
		t.Fatal(err)
	}
	good, err := Sealed(e, chain.Receipt{Reference: "r"}, sign)
	if err != nil {
		t.Fatal(err)
	}
	root, hash, forged, missing := good, good, good, good
	root.Root[3] ^= 1
	hash.Hash[3] ^= 1
	forged.Reference = "elsewhere"
	missing.Seq = 2
	for what, c := range map[string]struct {
		seal Seal
		want error
	}{"root": {root, ErrMismatch}, "hash": {hash, ErrMismatch}, "forged": {forged, ErrSignature}, "missing": {missing, chain.ErrUnknown}} {
		if err := l.Seal(c.seal); !errors.Is(err, c.want) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if err := l.Seal(good); err != nil {
		t.Error(err)
	}
	if e, ok, err := l.Entry(0, 1); err != nil || !ok || e.Signer != name {
		t.Errorf("%+v, %v, %v", e, ok, err)
	}
}

// grown is a ledger with n sealed entries; entry i names the member p<i>.
func grown(t *testing.T, n uint64) *Ledger {
	t.Helper()
	l := fresh()
	_, sign := signer(1)
	for seq := uint64(1); seq <= n; seq++ {
		b := chaintest.Batch(0, seq, 1)
		b.Members = []string{"founder", fmt.Sprint("p", seq)}
		e, err := l.Append(b)
		if err != nil {
			t.Fatal(err)
		}
		seal, err := Sealed(e, chain.Receipt{Reference: "r"}, sign)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Seal(seal); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// TestNewVoterFillsIn begins at a snapshot and takes the rest from another
// voter, newest first; a forged entry is not taken.
func TestNewVoterFillsIn(t *testing.T) {
	from, to := grown(t, 10), fresh()
	tip, hash, err := from.Tip(0)
	if err != nil || tip != 10 {
		t.Fatal(tip, err)
	}
	// What was here before it fell behind.
	for seq := uint64(1); seq <= 2; seq++ {
		e, _, err := from.Entry(0, seq)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := to.Append(e.Batch); err != nil {
			t.Fatal(err)
		}
		if err := to.Seal(Seal{Seq: seq, Root: e.Root, Hash: e.Hash(), Signer: e.Signer, Signature: e.Signature, Reference: e.Reference}); err != nil {
			t.Fatal(err)
		}
	}
	if err := to.Base(0, tip, hash); err != nil {
		t.Fatal(err)
	}
	next := chaintest.Batch(0, 11, 2)
	if _, err := to.Append(next); err != nil {
		t.Fatalf("the ledger does not go on behind a snapshot: %v", err)
	}
	filled := 0
	for {
		seq, want, missing, err := to.Want(0)
		if err != nil {
			t.Fatal(err)
		}
		if !missing {
			break
		}
		e, ok, err := from.Entry(0, seq)
		if err != nil || !ok || e.Hash() != want {
			t.Fatalf("entry %d: %v, %v", seq, ok, err)
		}
		forged := *e
		forged.Root[5] ^= 1
		if err := to.Fill(&forged); !errors.Is(err, ErrMismatch) {
			t.Fatalf("a forged entry: %v", err)
		}
		unsigned := *e
		unsigned.Signature = nil
		if err := to.Fill(&unsigned); !errors.Is(err, ErrSignature) {
			t.Fatalf("an unsigned entry: %v", err)
		}
		if err := to.Fill(e); err != nil {
			t.Fatal(err)
		}
		filled++
	}
	if filled != 8 {
		t.Errorf("%d entries were filled in, want 3 to 10", filled)
	}
	if seq, ok, err := to.Named(0, "p5"); err != nil || !ok || seq != 5 {
		t.Errorf("p5 is first named by %d, %v, %v", seq, ok, err)
	}
	if seq, ok, err := to.Named(0, "founder"); err != nil || !ok || seq != 1 {
		t.Errorf("the founder is first named by %d, %v, %v", seq, ok, err)
	}
	if err := to.Fill(sample()); err == nil {
		t.Error("an entry that nobody wants is taken")
	}
	again := New(to.network, to.store, to.verify)
	if tip, _, err := again.Tip(0); err != nil || tip != 11 {
		t.Errorf("reopened: tip %d, %v", tip, err)
	}
	if err := again.Base(0, 5, [32]byte{}); err != nil {
		t.Error(err)
	}
}

// entries makes a ledger of n signed entries.
func entries(t *testing.T, n uint64) *Ledger {
	t.Helper()
	l := fresh()
	_, sign := signer(1)
	for seq := uint64(1); seq <= n; seq++ {
		e, err := l.Append(chaintest.Batch(0, seq, 1))
		if err != nil {
			t.Fatal(err)
		}
		s, err := Sealed(e, chain.Receipt{Reference: "r"}, sign)
		if err != nil {
			t.Fatal(err)
		}
		if err := l.Seal(s); err != nil {
			t.Fatal(err)
		}
	}
	return l
}

// audit reads a ledger from its tip down, n entries at a time.
func audit(l *Ledger, final uint64, n int) (at uint64, err error) {
	for {
		if at, err = l.Audit(0, at, final, n); err != nil || at == 0 {
			return at, err
		}
	}
}

// TestAuditFindsWhatIsLostOrChanged damages a ledger entry by entry: what is gone
// or was never signed is wanted again and comes back from another voter, what is
// changed is a mismatch.
func TestAuditFindsWhatIsLostOrChanged(t *testing.T) {
	const n = 9
	whole := entries(t, n)
	for _, step := range []int{1, 2, 4, 100} {
		if at, err := audit(whole, n, step); err != nil || at != 0 {
			t.Fatalf("by %d: a whole ledger has an audit of %d, %v", step, at, err)
		}
		if _, _, missing, err := whole.Want(0); missing || err != nil {
			t.Fatalf("a whole ledger wants something: %v", err)
		}
		for seq := uint64(1); seq <= n; seq++ {
			gone, unsigned, changed := entries(t, n), entries(t, n), entries(t, n)
			delete(gone.store.(*Memory).m, string(entryKey(0, seq)))
			e, _, err := whole.Entry(0, seq)
			if err != nil {
				t.Fatal(err)
			}
			bare, other := *e, *e
			bare.Signer, bare.Signature = "", nil
			other.Root[3] ^= 1
			if err := errors.Join(unsigned.store.Put(Pair{entryKey(0, seq), bare.Encode()}), changed.store.Put(Pair{entryKey(0, seq), other.Encode()})); err != nil {
				t.Fatal(err)
			}
			if at, err := audit(changed, n, step); !errors.Is(err, ErrMismatch) || at != seq {
				t.Errorf("by %d: entry %d was changed and the audit says %d, %v", step, seq, at, err)
			}
			if _, err := audit(unsigned, seq-1, step); err != nil {
				t.Error(err)
			}
			if _, _, missing, err := unsigned.Want(0); missing || err != nil {
				t.Errorf("by %d: entry %d is not final and not signed, and is wanted: %v", step, seq, err)
			}
			for name, l := range map[string]*Ledger{"gone": gone, "unsigned": unsigned} {
				if at, err := audit(l, n, step); err != nil || at != 0 {
					t.Fatalf("%s: %d, %v", name, at, err)
				}
				wanted, _, missing, err := l.Want(0)
				if err != nil || !missing || wanted != seq {
					t.Fatalf("by %d: entry %d is %s, and %d is wanted (%v), %v", step, seq, name, wanted, missing, err)
				}
				if err := l.Fill(e); err != nil {
					t.Fatal(err)
				}
				if _, _, missing, _ := l.Want(0); missing {
					t.Errorf("by %d: entry %d came back and there is more wanted", step, seq)
				}
			}
		}
	}
}

// TestForget takes a ledger back down to an entry and below what is here.
func TestForget(t *testing.T) {
	l := entries(t, 4)
	if err := errors.Join(l.Forget(0, 2), l.Forget(0, 1), l.Forget(0, 0)); err != nil {
		t.Fatal(err)
	}
	if seq, _, missing, err := New(l.network, l.store, l.verify).Want(0); seq != 2 || !missing || err != nil {
		t.Errorf("%d is wanted, %v, %v", seq, missing, err)
	}
	if err := l.Forget(0, 99); err != nil {
		t.Fatal(err)
	}
	if seq, _, missing, err := l.Want(0); seq != 4 || !missing || err != nil {
		t.Errorf("%d is wanted, %v, %v", seq, missing, err)
	}
	if next, err := l.Append(chaintest.Batch(0, 5, 1)); err != nil || next.Seq != 5 {
		t.Errorf("the ledger does not go on: %v", err)
	}
}

// broken is a store that fails on demand.
type broken struct {
	Memory
	get, put error
}

func (b *broken) Get(k []byte) ([]byte, bool, error) {
	if b.get != nil {
		return nil, false, b.get
	}
	return b.Memory.Get(k)
}

func (b *broken) Put(p ...Pair) error {
	if b.put != nil {
		return b.put
	}
	return b.Memory.Put(p...)
}

func TestBrokenStore(t *testing.T) {
	no := errors.New("disk")
	s := &broken{put: no}
	l := New(chaintest.Network, s, verify)
	if _, err := l.Append(chaintest.Batch(0, 1, 1)); !errors.Is(err, no) {
		t.Errorf("append: %v", err)
	}
	if err := l.Base(0, 3, [32]byte{1}); !errors.Is(err, no) {
		t.Errorf("base: %v", err)
	}
	if tip, _, err := l.Tip(0); tip != 0 || err != nil {
		t.Errorf("what failed is remembered: %d, %v", tip, err)
	}
	s.put = nil
	if _, err := l.Append(chaintest.Batch(0, 1, 1)); err != nil {
		t.Fatal(err)
	}
	s.get = no
	cold := New(chaintest.Network, s, verify)
	_, errAppend := cold.Append(chaintest.Batch(0, 2, 1))
	_, _, errTip := cold.Tip(0)
	_, _, _, errWant := cold.Want(0)
	_, errAudit := cold.Audit(0, 0, 1, 9)
	_, errHead := cold.Anchor().Head(t.Context(), chaintest.Network, 0)
	_, errFind := cold.Anchor().Find(t.Context(), chaintest.Network, 0, 1)
	for i, err := range []error{errAppend, errTip, errWant, errHead, errFind, cold.Base(0, 9, [32]byte{}), cold.Seal(Seal{Seq: 1}), cold.Fill(sample()), cold.Forget(0, 1), errAudit} {
		if !errors.Is(err, no) {
			t.Errorf("%d: %v", i, err)
		}
	}
	s.get = nil
	if err := s.Put(Pair{key('x', 0), []byte("short")}, Pair{entryKey(0, 1), []byte("nonsense")}); err != nil {
		t.Fatal(err)
	}
	if _, _, err := cold.Tip(0); err == nil {
		t.Error("a damaged extent is taken")
	}
	if _, _, err := cold.Entry(0, 1); err == nil {
		t.Error("a damaged entry is taken")
	}
	other := chaintest.Batch(1, 1, 1)
	other.Network[5]++
	if _, err := cold.Append(other); err == nil {
		t.Error("another network's batch is taken")
	}
	if _, err := Sealed(sample(), chain.Receipt{}, func([]byte) (string, []byte, error) { return "", nil, no }); !errors.Is(err, no) {
		t.Errorf("a signer that fails: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(sample().Encode())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := Decode(raw); err == nil && !bytes.Equal(s.Encode(), raw) {
			t.Errorf("%x is accepted but encodes as %x", raw, s.Encode())
		}
	})
}

// BenchmarkAppend is what a batch costs a voter beside its tree: entry, hash,
// seal with its signature's check, in memory.
func BenchmarkAppend(b *testing.B) {
	l := fresh()
	_, sign := signer(1)
	for seq := uint64(1); b.Loop(); seq++ {
		e, err := l.Append(chaintest.Batch(0, seq, 1))
		if err != nil {
			b.Fatal(err)
		}
		seal, err := Sealed(e, chain.Receipt{Reference: "r"}, sign)
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Seal(seal); err != nil {
			b.Fatal(err)
		}
	}
}
