package store

import (
	"errors"
	"reflect"
	"testing"
)

// TestChain keeps batches, anchors and which jobs are in which batch, over a
// restart, and forgets them.
func TestChain(t *testing.T) {
	s := open(t, t.TempDir())
	a, b := [32]byte{1}, [32]byte{2}
	commit(t, s, func(w *Batch) {
		w.PutRecords(3, 7, []byte("seven"))
		w.PutRecords(3, 300, []byte("three hundred"))
		w.PutRecords(4, 7, []byte("another shard"))
		w.PutAnchor(3, 7, []byte("anchor"))
		w.PutJobBatch(a, 300)
		w.PutJobBatch(a, 7)
		w.PutJobBatch(b, 7)
	})
	s = reopen(t, s)
	if raw, ok, err := s.Records(3, 7); err != nil || !ok || string(raw) != "seven" {
		t.Errorf("%q, %v, %v", raw, ok, err)
	}
	if raw, ok, err := s.Anchor(3, 7); err != nil || !ok || string(raw) != "anchor" {
		t.Errorf("%q, %v, %v", raw, ok, err)
	}
	if got, err := s.JobBatches(a); err != nil || !reflect.DeepEqual(got, []uint64{7, 300}) {
		t.Errorf("%v, %v", got, err)
	}
	commit(t, s, func(w *Batch) { w.DropRecords(3, 7, [][32]byte{a, b}); w.DropAnchor(3, 7) })
	if _, ok, err := s.Records(3, 7); ok || err != nil {
		t.Errorf("a dropped batch: %v, %v", ok, err)
	}
	if _, ok, err := s.Anchor(3, 7); ok || err != nil {
		t.Errorf("a dropped anchor: %v, %v", ok, err)
	}
	if _, ok, err := s.Records(4, 7); !ok || err != nil {
		t.Errorf("the other shard's batch: %v, %v", ok, err)
	}
	if got, err := s.JobBatches(a); err != nil || !reflect.DeepEqual(got, []uint64{300}) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := s.JobBatches(b); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	commit(t, s, func(w *Batch) { w.Set(append([]byte("c/j/"), a[:]...), nil) })
	if _, err := s.JobBatches(a); !errors.As(err, new(*DamageError)) {
		t.Errorf("a damaged index: %v", err)
	}
}
