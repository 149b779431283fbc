package store

import (
	"errors"
	"fmt"

	"github.com/cockroachdb/pebble/v2"
)

// Batch is a set of writes that become durable together or not at all. It
// belongs to one goroutine and is ended by Commit or Close.
type Batch struct {
	s       *Store
	b       *pebble.Batch // indexed: it reads its own writes
	err     error
	touched []uint32 // shards whose known last index this batch changed
}

// NewBatch begins a batch.
func (s *Store) NewBatch() *Batch { return &Batch{s: s, b: s.db.NewIndexedBatch()} }

// fail keeps the first error for Commit.
func (b *Batch) fail(err error) {
	if b.err == nil {
		b.err = err
	}
}

// Set writes a value, with its checksum.
func (b *Batch) Set(key, val []byte) {
	if err := b.b.Set(key, seal(key, val), nil); err != nil {
		b.fail(fmt.Errorf("write %s: %w", keyName(key), err))
	}
}

// Delete removes a key; one that is not there is no error.
func (b *Batch) Delete(key []byte) {
	if err := b.b.Delete(key, nil); err != nil {
		b.fail(fmt.Errorf("delete %s: %w", keyName(key), err))
	}
}

// DeleteRange removes all keys from from, included, up to to, excluded.
func (b *Batch) DeleteRange(from, to []byte) {
	if err := b.b.DeleteRange(from, to, nil); err != nil {
		b.fail(fmt.Errorf("delete from %s: %w", keyName(from), err))
	}
}

// Commit writes everything, and with sync returns only when it is on disk. On
// an error nothing of the batch is written. The batch is ended either way.
func (b *Batch) Commit(sync bool) error {
	if b.b == nil {
		return errors.New("commit: the batch has ended")
	}
	if b.err == nil && !b.b.Empty() {
		how := pebble.NoSync
		if sync {
			how = pebble.Sync
		}
		if err := b.b.Commit(how); err != nil {
			b.fail(fmt.Errorf("commit: %w", err))
		}
	}
	err := b.err
	if err == nil {
		b.touched = nil
	}
	b.Close()
	return err
}

// Close drops the batch if it is not committed. It may be called again.
func (b *Batch) Close() {
	if b.b == nil {
		return
	}
	b.s.mu.Lock()
	for _, shard := range b.touched {
		delete(b.s.last, shard) // what was noted did not happen
	}
	b.s.mu.Unlock()
	_ = b.b.Close() // frees memory; pebble's batches have nothing to report here
	b.b = nil
}
