package job

import (
	"bytes"
	"encoding/binary"
	"testing"
	"time"
)

// TestForgottenJobsNeverRunAgain forgets more jobs than there are tombstones and
// brings every offer again: with or without a tombstone the answer is expired. A
// replica that comes from a snapshot forgets the same.
func TestForgottenJobsNeverRunAgain(t *testing.T) {
	const rounds, perRound = 6, MaxTombstones/5 + 500
	s := NewState(Member{ID: 1, Peer: "founder"})
	var twin *State
	var offers [][]byte
	apply := func(c *Command) Outcome {
		out := s.Apply(s.Index+1, 1, c)
		if twin != nil {
			twin.Apply(twin.Index+1, 1, c)
		}
		return out
	}
	at := int64(1_000_000)
	o := sampleOffer(plainSpec(1), 0, 0)
	for round := range rounds {
		if round == 3 {
			var err error
			if twin, err = DecodeState(s.Encode()); err != nil {
				t.Fatal(err)
			}
		}
		o.NotAfter = at + time.Minute.Milliseconds()
		for i := range perRound {
			binary.BigEndian.PutUint64(o.Nonce[:], uint64(round*perRound+i))
			raw := o.Encode()
			offers = append(offers, raw)
			if out := apply(&Command{Op: OpAccept, At: at, Job: o.ID(), Offer: raw}); out.Reason != "" {
				t.Fatalf("round %d, job %d: %s", round, i, out.Reason)
			}
			apply(&Command{Op: OpCancel, At: at, Job: o.ID()})
		}
		at += (Retention + 2*time.Minute).Milliseconds()
		apply(&Command{Op: OpSweep, At: at})
	}
	if len(s.Jobs) != 0 || s.Bytes != 0 || len(s.Tombstones) != MaxTombstones {
		t.Fatalf("%d jobs of %d bytes are left and %d tombstones, want none and %d", len(s.Jobs), s.Bytes, len(s.Tombstones), MaxTombstones)
	}
	if !bytes.Equal(s.Encode(), twin.Encode()) {
		t.Error("a replica that began with a snapshot has other tombstones")
	}
	for i, raw := range offers {
		d, err := DecodeOffer(raw)
		if err != nil {
			t.Fatal(err)
		}
		round := i / perRound
		if _, ok := s.Tombstones[d.ID()]; ok && round == 0 || !ok && round > 1 {
			t.Fatalf("job %d of round %d: remembered %v; the oldest should have gone first", i, round, ok)
		}
		if out := apply(&Command{Op: OpAccept, At: at, Job: d.ID(), Offer: raw}); out.Reason != ReasonExpired {
			t.Fatalf("a replay of job %d is answered %q", i, out.Reason)
		}
	}
	apply(&Command{Op: OpSweep, At: at + TombstoneLife.Milliseconds() + 1})
	if len(s.Tombstones) != 0 {
		t.Errorf("%d tombstones outlive their time", len(s.Tombstones))
	}
}
