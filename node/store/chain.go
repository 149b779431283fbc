package store

import (
	"encoding/binary"
	"fmt"
)

func chainKey(kind byte, shard uint32, seq uint64) []byte {
	key := append([]byte("c/"), kind, '/')
	key = binary.BigEndian.AppendUint32(key, shard)
	return binary.BigEndian.AppendUint64(key, seq)
}

func jobBatchKey(job [32]byte, seq uint64) []byte {
	return binary.BigEndian.AppendUint64(append([]byte("c/j/"), job[:]...), seq)
}

// PutRecords keeps the encoded batch of a shard's ledger.
func (b *Batch) PutRecords(shard uint32, seq uint64, raw []byte) {
	b.Set(chainKey('b', shard, seq), raw)
}

// PutAnchor keeps a batch's anchor as the shard's log has it.
func (b *Batch) PutAnchor(shard uint32, seq uint64, raw []byte) {
	b.Set(chainKey('a', shard, seq), raw)
}

// PutJobBatch notes that a batch has records of a job.
func (b *Batch) PutJobBatch(job [32]byte, seq uint64) { b.Set(jobBatchKey(job, seq), nil) }

// DropRecords forgets a batch and that it has records of these jobs.
func (b *Batch) DropRecords(shard uint32, seq uint64, jobs [][32]byte) {
	b.Delete(chainKey('b', shard, seq))
	for _, j := range jobs {
		b.Delete(jobBatchKey(j, seq))
	}
}

// DropAnchor forgets a batch's anchor once the ledger has taken it.
func (b *Batch) DropAnchor(shard uint32, seq uint64) { b.Delete(chainKey('a', shard, seq)) }

// Records returns a kept batch.
func (s *Store) Records(shard uint32, seq uint64) ([]byte, bool, error) {
	return s.Get(chainKey('b', shard, seq))
}

// Anchor returns a batch's anchor that the ledger has not taken yet.
func (s *Store) Anchor(shard uint32, seq uint64) ([]byte, bool, error) {
	return s.Get(chainKey('a', shard, seq))
}

// JobBatches returns the kept batches that have records of a job, in order.
func (s *Store) JobBatches(job [32]byte) ([]uint64, error) {
	var out []uint64
	prefix := append([]byte("c/j/"), job[:]...)
	err := s.Scan(prefix, func(key, _ []byte) error {
		if len(key) != len(prefix)+8 {
			return s.damage(key, "it is no number of a batch")
		}
		out = append(out, binary.BigEndian.Uint64(key[len(prefix):]))
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("batches of a job: %w", err)
	}
	return out, nil
}
