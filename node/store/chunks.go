package store

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// maxChunks bounds the chunks of one snapshot.
const maxChunks = 1 << 16

func chunkKey(shard uint32, index uint64, n uint32) []byte {
	key := append(binary.BigEndian.AppendUint64(shardKey(shard, "chunk/"), index), '/')
	return binary.BigEndian.AppendUint32(key, n)
}

// PutChunk keeps chunk n of the state at an index, for a snapshot that PutSnapshot
// will name. Chunk 0 drops the chunks of all other indexes but that of the stored
// snapshot: theirs was given up.
func (b *Batch) PutChunk(shard uint32, index uint64, n uint32, data []byte) {
	if n == 0 {
		b.keepChunks(shard, index)
	}
	b.Set(chunkKey(shard, index, n), data)
}

// keepChunks drops all chunks but those of the stored snapshot and of an index.
func (b *Batch) keepChunks(shard uint32, index uint64) {
	stored, err := b.s.snapshotIndex(b.b, shard)
	if err != nil {
		b.fail(err)
		return
	}
	first, second := min(stored, index), max(stored, index)
	b.DeleteRange(chunkKey(shard, 0, 0), chunkKey(shard, first, 0))
	if first < second {
		b.DeleteRange(chunkKey(shard, first+1, 0), chunkKey(shard, second, 0))
	}
	b.DeleteRange(chunkKey(shard, second+1, 0), chunkKey(shard, math.MaxUint64, math.MaxUint32))
}

// snapshotIndex is where the stored snapshot of a shard ends, 0 without one.
func (s *Store) snapshotIndex(r pebble.Reader, shard uint32) (uint64, error) {
	key := shardKey(shard, "snap")
	raw, ok, err := s.get(r, key)
	if err != nil || !ok {
		return 0, err
	}
	snap := &raftpb.Snapshot{}
	if err := proto.Unmarshal(raw, snap); err != nil {
		return 0, s.damage(key, err.Error())
	}
	return snap.GetMetadata().GetIndex(), nil
}

func (b *Batch) dropChunks(shard uint32) {
	b.DeleteRange(chunkKey(shard, 0, 0), chunkKey(shard, math.MaxUint64, math.MaxUint32))
}

// Chunk returns one chunk of a snapshot, nil where there is none. It may be
// called from any goroutine.
func (s *Store) Chunk(shard uint32, index uint64, n uint32) ([]byte, error) {
	data, _, err := s.Get(chunkKey(shard, index, n))
	return data, err
}

// loadChunks reads the chunks of a replica's snapshot, in order. Whether they are
// all there is for their reader to say, who knows their hashes.
func (s *Store) loadChunks(d *ReplicaData) error {
	snap := &raftpb.Snapshot{}
	if err := proto.Unmarshal(d.Snapshot, snap); err != nil {
		return s.damage(shardKey(d.Shard, "snap"), err.Error())
	}
	for n := range uint32(maxChunks) {
		data, ok, err := s.Get(chunkKey(d.Shard, snap.GetMetadata().GetIndex(), n))
		if err != nil {
			return fmt.Errorf("shard %d: %w", d.Shard, err)
		}
		if !ok {
			break
		}
		d.Chunks = append(d.Chunks, data)
	}
	return nil
}
