package job

import (
	"bytes"
	"encoding/hex"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func sampleLeaves() []Leaf {
	a := Leaf{Kind: LeafAssignment, Term: 3, Seq: 77, Job: ID{1, 2}, Task: 4, Attempt: 2, Worker: "worker", Spec: [32]byte{5}}
	b := a
	b.Kind, b.Task, b.Exit, b.Output, b.Prints = LeafCompletion, GatherIndex, 1, "bafyout", printsOf(sampleResult())
	return []Leaf{a, b}
}

func sampleAnchor() *Anchor {
	return &Anchor{Seq: 9, Root: [32]byte{1}, Hash: [32]byte{2}, Signer: "peer", Signature: []byte("sig"), Reference: "ledger:9"}
}

// cutSamples are the permanent formats of this file.
func cutSamples() map[string][]byte {
	b := Batch{Cut: Cut{Seq: 9, First: 100, Count: 2, Term: 4, At: 1_700_000_000_123, Members: []string{"a", "b"}}, Leaves: sampleLeaves()}
	return map[string][]byte{
		"batch": b.Encode(), "anchor": sampleAnchor().Encode(),
		"command-cut":      (&Command{Op: OpCut, At: 5, Cut: &CutOrder{Seq: 9, UpTo: 102, Members: []string{"a", "b"}}}).Encode(),
		"command-anchored": (&Command{Op: OpAnchored, At: 5, Anchor: sampleAnchor()}).Encode(),
	}
}

func TestGoldenBatches(t *testing.T) {
	for name, b := range cutSamples() {
		if *rewrite {
			if err := os.WriteFile(filepath.Join("testdata", name+".hex"), []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want := golden(t, name); !bytes.Equal(b, want) {
			t.Errorf("%s: the permanent format has changed:\n got %x\nwant %x", name, b, want)
		}
	}
	b, err := DecodeBatch(golden(t, "batch"))
	if err != nil || b.Seq != 9 || !reflect.DeepEqual(b.Leaves, sampleLeaves()) {
		t.Errorf("batch: %+v, %v", b, err)
	}
	a, err := DecodeAnchor(golden(t, "anchor"))
	if err != nil || !reflect.DeepEqual(a, sampleAnchor()) {
		t.Errorf("anchor: %+v, %v", a, err)
	}
	if c, err := DecodeCommand(golden(t, "command-cut")); err != nil || c.Cut == nil || c.Cut.UpTo != 102 {
		t.Errorf("command: %+v, %v", c, err)
	}
}

func TestDamagedBatches(t *testing.T) {
	for name, raw := range map[string][]byte{
		"version": {2}, "empty": nil, "kind": append(golden(t, "batch")[:0:0], 1, 9, 100, 1, 4, 0, 0, 3),
	} {
		if _, err := DecodeBatch(raw); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	if _, err := DecodeAnchor([]byte{0}); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no anchor: %v", err)
	}
	if _, err := DecodeAnchor([]byte{1, 1}); err == nil {
		t.Error("half an anchor is accepted")
	}
}

// TestCut follows records from the log into batches and out of the state.
func TestCut(t *testing.T) {
	l := newLog(t)
	j := l.accept(plainSpec(2))
	l.run(j, 0)
	l.run(j, 1)
	l.done(j, 0)
	c := &l.state.Anchoring
	if c.Open() != 2 {
		t.Fatalf("%d records before the job completes, want its two assignments", c.Open())
	}
	l.done(j, 1)
	if c.Open() != 4 || c.Leaves[2].Kind != LeafCompletion || c.Leaves[3].Task != 1 || c.Leaves[3].Seq != j.Tasks[1].Fence {
		t.Fatalf("records %+v", c.Leaves)
	}
	order := func(seq, upTo uint64, members ...string) Command {
		return Command{Op: OpCut, Cut: &CutOrder{Seq: seq, UpTo: upTo, Members: members}}
	}
	for name, c := range map[string]Command{
		"no order": {Op: OpCut}, "gap": order(2, 3, "founder"), "repeated": order(0, 3, "founder"), "beyond": order(1, 5, "founder"), "nothing": order(1, 0, "founder"),
		"no anchor": {Op: OpAnchored}, "nothing to anchor": {Op: OpAnchored, Anchor: &Anchor{Seq: 1}},
	} {
		before := l.state.Noops
		if why := l.put(c); why == "" || l.state.Noops != before+1 {
			t.Errorf("%s: %q, counted %v", name, why, l.state.Noops-before)
		}
	}
	l.must(order(1, 3, "founder"))
	first := c.Batch(*l.last.Cut)
	if len(first.Leaves) != 3 || c.Open() != 1 || first.Seq != 1 {
		t.Fatalf("batch %+v", first)
	}
	if why := l.put(order(1, 3, "founder")); why != ReasonStale {
		t.Errorf("the same order again: %q", why)
	}
	l.must(order(2, 4, "founder"))
	l.must(order(3, 4, "founder", "other")) // only names a member
	if why := l.put(Command{Op: OpAnchored, Anchor: &Anchor{Seq: 2}}); why != ReasonStale {
		t.Errorf("anchored out of order: %q", why)
	}
	l.must(Command{Op: OpAnchored, Anchor: &Anchor{Seq: 1, Hash: [32]byte{7}}})
	if l.last.Anchored == nil || c.Head != (Head{1, [32]byte{7}}) || c.First != 3 || len(c.Leaves) != 1 || len(c.Cuts) != 2 {
		t.Errorf("after the anchor: %+v", c)
	}
	if !bytes.Equal(first.Encode(), (&Batch{first.Cut, slices.Clone(first.Leaves)}).Encode()) {
		t.Error("the batch changed under its holder")
	}
}

// TestForgottenJobSettles records what a failed job's tasks had done only when
// the job is forgotten.
func TestForgottenJobSettles(t *testing.T) {
	l := newLog(t)
	spec := plainSpec(2)
	spec.Policy.Retries = 0
	j := l.accept(spec)
	l.run(j, 0)
	l.done(j, 0)
	l.run(j, 1)
	l.fail(j, 1, CauseExit)
	c := &l.state.Anchoring
	if j.State != Failed || c.Open() != 2 {
		t.Fatalf("job %v, %d records", j.State, c.Open())
	}
	l.must(Command{Op: OpSweep, At: j.KeptUntil() + 1})
	if last := c.Leaves[len(c.Leaves)-1]; c.Open() != 3 || last.Kind != LeafCompletion || last.Task != 0 || last.Job != j.ID {
		t.Errorf("records %+v", c.Leaves)
	}
}

// TestFullOfLeaves refuses offers while too much waits for the anchor.
func TestFullOfLeaves(t *testing.T) {
	l := newLog(t)
	l.state.Anchoring.Leaves = make([]Leaf, MaxLeaves)
	c := Command{Op: OpAccept, Offer: sampleOffer(plainSpec(1), 1, hour).Encode()}
	if why := l.put(c); why != ReasonBusy {
		t.Errorf("got %q", why)
	}
	l.must(Command{Op: OpCut, Cut: &CutOrder{Seq: 1, UpTo: MaxBatch, Members: []string{"founder"}}})
	l.must(Command{Op: OpAnchored, Anchor: &Anchor{Seq: 1}})
	l.must(c)
}

// TestBatchesHaveNoGap cuts random logs at random places and checks that the
// batches are all of the records, once and in order, whatever is restored from a
// snapshot in between, and that no task completes twice.
func TestBatchesHaveNoGap(t *testing.T) {
	cuts, completions := 0, 0
	rapid.Check(t, func(t *rapid.T) {
		s := NewState(Member{ID: 1, Peer: "p"})
		var in []Leaf // of all batches
		done := map[string]bool{}
		for range rapid.IntRange(1, 80).Draw(t, "entries") {
			cmd := drawCommand(t, s)
			c := &s.Anchoring
			switch rapid.IntRange(0, 5).Draw(t, "what") {
			case 0:
				cmd = &Command{Op: OpCut, Cut: &CutOrder{
					Seq:  c.Seq + rapid.Uint64Range(0, 2).Draw(t, "seq"),
					UpTo: c.OpenFrom() + rapid.Uint64Range(0, uint64(c.Open())+1).Draw(t, "upTo"), Members: []string{"p"},
				}}
			case 1:
				cmd = &Command{Op: OpAnchored, Anchor: &Anchor{Seq: c.Head.Seq + rapid.Uint64Range(0, 2).Draw(t, "final")}}
			}
			out := s.Apply(s.Index+1, 1, cmd)
			if out.Cut != nil {
				b := s.Anchoring.Batch(*out.Cut)
				if b.First != uint64(len(in)) {
					t.Fatalf("a batch begins at %d, the last ended at %d", b.First, len(in))
				}
				in = append(in, b.Leaves...)
				cuts++
			}
			if rapid.IntRange(0, 9).Draw(t, "restore") == 0 {
				again := restored(t, s.Encode())
				if !bytes.Equal(again.Encode(), s.Encode()) {
					t.Fatal("the state is restored as another one")
				}
				s = again
			}
		}
		c := &s.Anchoring
		all := append(in, c.Leaves[c.OpenFrom()-c.First:]...)
		if c.Next() != uint64(len(all)) {
			t.Fatalf("%d records are numbered, %d are there", c.Next(), len(all))
		}
		for i := range all {
			if l := &all[i]; l.Kind == LeafCompletion {
				key := string(l.Job[:]) + string(rune(l.Task+2))
				if done[key] {
					t.Fatalf("task %d of %v completes twice", l.Task, l.Job)
				}
				done[key] = true
				completions++
			}
		}
	})
	if (cuts == 0 || completions == 0) && !testing.Short() { // a short run draws too little to tell
		t.Errorf("%d cuts and %d completions: the draws are poor", cuts, completions)
	}
}

func FuzzDecodeBatch(f *testing.F) {
	f.Add(cutSamples()["batch"])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if b, err := DecodeBatch(raw); err == nil && !bytes.Equal(b.Encode(), raw) {
			t.Errorf("%x is accepted but encodes as %x", raw, b.Encode())
		}
	})
}

func FuzzDecodeAnchor(f *testing.F) {
	f.Add(cutSamples()["anchor"])
	f.Fuzz(func(t *testing.T, raw []byte) {
		if a, err := DecodeAnchor(raw); err == nil && !bytes.Equal(a.Encode(), raw) {
			t.Errorf("%x is accepted but encodes as %x", raw, a.Encode())
		}
	})
}
