package blobs

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/boxo/blockstore"
	dshelp "github.com/ipfs/boxo/datastore/dshelp"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	"github.com/ipfs/go-datastore/query"
)

// ErrFull means that the quota is used up or the disk has no room; the text says
// which.
var ErrFull = errors.New("blobs: no room for more content")

// store is a blockstore that counts, keeps a quota, and notes when each block
// was last written, so that the collector can tell old from new. One lock makes
// a write and a deletion of the same block exclude each other; the writes below
// are buffered and take microseconds.
type store struct {
	blockstore.Blockstore // reads
	data                  ds.Batching
	quota                 int64 // 0: none
	room                  func(int64) error

	mu     sync.Mutex
	bytes  int64
	blocks int64
}

// newStore opens the blocks in data and counts them.
func newStore(ctx context.Context, data ds.Batching, quota int64, room func(int64) error) (*store, error) {
	s := &store{
		Blockstore: blockstore.NewBlockstore(data, blockstore.WriteThrough(true)),
		data:       data, quota: quota, room: room,
	}
	res, err := data.Query(ctx, query.Query{Prefix: blockstore.BlockPrefix.String(), KeysOnly: true, ReturnsSizes: true})
	if err != nil {
		return nil, fmt.Errorf("blobs: count blocks: %w", err)
	}
	for r := range res.Next() {
		if r.Error != nil {
			return nil, errors.Join(fmt.Errorf("blobs: count blocks: %w", r.Error), res.Close())
		}
		s.bytes, s.blocks = s.bytes+int64(r.Size), s.blocks+1
	}
	return s, res.Close()
}

func stampKey(c cid.Cid) ds.Key {
	return ds.NewKey("stamps").Child(dshelp.MultihashToDsKey(c.Hash()))
}

func timestamp(t time.Time) []byte { return binary.BigEndian.AppendUint64(nil, uint64(t.Unix())) }

// stampTime reads a timestamp; a damaged one is as old as can be.
func stampTime(b []byte) time.Time {
	if len(b) != 8 {
		return time.Unix(0, 0)
	}
	return time.Unix(int64(binary.BigEndian.Uint64(b)), 0)
}

// Put stores a block; see PutMany.
func (s *store) Put(ctx context.Context, b blocks.Block) error {
	return s.PutMany(ctx, []blocks.Block{b})
}

// PutMany stores blocks, or none of them and ErrFull. Blocks that are here
// already become new again.
func (s *store) PutMany(ctx context.Context, in []blocks.Block) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamps, err := s.data.Batch(ctx)
	if err != nil {
		return fmt.Errorf("blobs: write: %w", err)
	}
	now := timestamp(time.Now())
	var fresh []blocks.Block
	var size int64
	seen := map[string]bool{}
	for _, b := range in {
		if key := string(b.Cid().Hash()); seen[key] {
			continue
		} else {
			seen[key] = true
		}
		if err := stamps.Put(ctx, stampKey(b.Cid()), now); err != nil {
			return fmt.Errorf("blobs: write: %w", err)
		}
		has, err := s.Has(ctx, b.Cid())
		if err != nil {
			return fmt.Errorf("blobs: look up block: %w", err)
		}
		if !has {
			fresh, size = append(fresh, b), size+int64(len(b.RawData()))
		}
	}
	if s.quota > 0 && size > 0 && s.bytes+size > s.quota {
		return fmt.Errorf("%w: its quota is used up (%d of %d bytes, %d more asked for); free some by cleaning up old jobs, or raise it", ErrFull, s.bytes, s.quota, size)
	}
	if s.room != nil && size > 0 {
		if err := s.room(size); err != nil {
			return err
		}
	}
	if err := stamps.Commit(ctx); err != nil {
		return fmt.Errorf("blobs: write: %w", err)
	}
	if len(fresh) == 0 {
		return nil
	}
	if err := s.Blockstore.PutMany(ctx, fresh); err != nil {
		return fmt.Errorf("blobs: write: %w", err)
	}
	s.bytes, s.blocks = s.bytes+size, s.blocks+int64(len(fresh))
	return nil
}

// DeleteBlock removes a block whatever its age.
func (s *store) DeleteBlock(ctx context.Context, c cid.Cid) error {
	_, err := s.deleteOlder(ctx, c, time.Now().Add(time.Hour))
	return err
}

// deleteOlder removes a block that was not written since cutoff, and returns
// the bytes freed.
func (s *store) deleteOlder(ctx context.Context, c cid.Cid, cutoff time.Time) (int64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	stamp, err := s.data.Get(ctx, stampKey(c))
	if err != nil && !errors.Is(err, ds.ErrNotFound) {
		return 0, fmt.Errorf("blobs: read age of %s: %w", c, err)
	}
	if !stampTime(stamp).Before(cutoff) {
		return 0, nil
	}
	size, err := s.GetSize(ctx, c)
	if err != nil {
		return 0, fmt.Errorf("blobs: size of %s: %w", c, err)
	}
	if err := s.Blockstore.DeleteBlock(ctx, c); err != nil {
		return 0, fmt.Errorf("blobs: delete %s: %w", c, err)
	}
	s.bytes, s.blocks = s.bytes-int64(size), s.blocks-1
	if err := s.data.Delete(ctx, stampKey(c)); err != nil {
		return int64(size), fmt.Errorf("blobs: forget age of %s: %w", c, err)
	}
	return int64(size), nil
}

func (s *store) usage() (bytes, blocks int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes, s.blocks
}

// sync makes everything written so far durable.
func (s *store) sync(ctx context.Context) error {
	if err := s.data.Sync(ctx, ds.NewKey("/")); err != nil {
		return fmt.Errorf("blobs: sync: %w", err)
	}
	return nil
}

// below wraps d so that this package's keys do not meet others'.
func below(d ds.Batching) ds.Batching { return namespace.Wrap(d, ds.NewKey("blobs")) }

// lastName is the last part of a key.
func lastName(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }
