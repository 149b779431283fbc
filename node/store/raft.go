package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/cockroachdb/pebble/v2"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"
)

// ReplicaData is everything stored of one replica, as the last commits left it.
type ReplicaData struct {
	Shard       uint32
	Replica     uint64 // replica id, never 0
	Incarnation uint64
	HardState   []byte   // encoded raftpb.HardState; nil: none yet
	Snapshot    []byte   // encoded raftpb.Snapshot; nil: none yet
	Chunks      [][]byte // of the snapshot's index, in order
	First       uint64   // index of Entries[0]; 0 without entries
	Entries     [][]byte
}

func shardKey(shard uint32, name string) []byte {
	return append(append(binary.BigEndian.AppendUint32([]byte("r/"), shard), '/'), name...)
}

func logKey(shard uint32, index uint64) []byte {
	return binary.BigEndian.AppendUint64(shardKey(shard, "log/"), index)
}

// be64 encodes numbers as fixed 8 bytes each.
func be64(ns ...uint64) []byte {
	var out []byte
	for _, n := range ns {
		out = binary.BigEndian.AppendUint64(out, n)
	}
	return out
}

// number reads a key that holds be64 numbers; an absent key is all zeros.
func (s *Store) number(r pebble.Reader, key []byte, n int) ([]uint64, error) {
	out := make([]uint64, n)
	val, ok, err := s.get(r, key)
	if err != nil || !ok {
		return out, err
	}
	if len(val) != 8*n {
		return out, s.damage(key, fmt.Sprintf("%d bytes instead of %d", len(val), 8*n))
	}
	for i := range out {
		out[i] = binary.BigEndian.Uint64(val[8*i:])
	}
	return out, nil
}

// PutHardState replaces a replica's encoded hard state.
func (b *Batch) PutHardState(shard uint32, hs []byte) { b.Set(shardKey(shard, "hs"), hs) }

// PutEntries writes log entries from index first on and drops whatever the log
// had behind them. Index 0 and a gap to the stored log are errors.
func (b *Batch) PutEntries(shard uint32, first uint64, entries [][]byte) {
	if len(entries) == 0 {
		return
	}
	if first == 0 || first > math.MaxUint64-uint64(len(entries)) {
		b.fail(fmt.Errorf("log of shard %d: no entry can have index %d", shard, first))
		return
	}
	last, err := b.lastIndex(shard)
	if err != nil {
		b.fail(err)
		return
	}
	if last != 0 && first > last+1 {
		b.fail(fmt.Errorf("log of shard %d: entries from %d on do not follow the last one, %d", shard, first, last))
		return
	}
	for i, e := range entries {
		b.Set(logKey(shard, first+uint64(i)), e)
	}
	end := first + uint64(len(entries))
	if last >= end {
		b.DeleteRange(logKey(shard, end), logKey(shard, math.MaxUint64))
	}
	b.noteLast(shard, end-1)
}

// lastIndex is the highest log index of a shard, 0 for an empty log. It is
// remembered, because range deletions and seeks are dear on the way of every commit.
func (b *Batch) lastIndex(shard uint32) (uint64, error) {
	b.s.mu.Lock()
	last, ok := b.s.last[shard]
	b.s.mu.Unlock()
	if ok {
		return last, nil
	}
	it, err := b.b.NewIter(&pebble.IterOptions{LowerBound: logKey(shard, 0), UpperBound: logKey(shard, math.MaxUint64)})
	if err != nil {
		return 0, fmt.Errorf("log of shard %d: %w", shard, err)
	}
	if it.Last() {
		last = indexOf(it.Key())
	}
	if err := errors.Join(it.Error(), it.Close()); err != nil {
		return 0, fmt.Errorf("log of shard %d: %w", shard, err)
	}
	b.noteLast(shard, last)
	return last, nil
}

func (b *Batch) noteLast(shard uint32, last uint64) {
	b.touched = append(b.touched, shard)
	b.s.mu.Lock()
	b.s.last[shard] = last
	b.s.mu.Unlock()
}

func indexOf(key []byte) uint64 { return binary.BigEndian.Uint64(key[len(key)-8:]) }

// PutSnapshot replaces a replica's encoded raftpb.Snapshot, whose index must be
// the one given, and drops the log up to it. Entries behind it stay only when
// the stored log contains the snapshot's last entry.
func (b *Batch) PutSnapshot(shard uint32, index uint64, data []byte) {
	snap := &raftpb.Snapshot{}
	if err := proto.Unmarshal(data, snap); err != nil || snap.GetMetadata().GetIndex() != index {
		b.fail(fmt.Errorf("snapshot of shard %d: it does not say that it ends at %d (%v)", shard, index, err))
		return
	}
	same, err := b.covers(shard, index, snap.GetMetadata().GetTerm())
	if err != nil {
		b.fail(err)
		return
	}
	b.Set(shardKey(shard, "snap"), data)
	b.keepChunks(shard, index)
	last, err := b.lastIndex(shard)
	if err != nil {
		b.fail(err)
		return
	}
	if last == 0 {
		return
	}
	if !same || last <= index {
		b.DeleteRange(logKey(shard, 0), logKey(shard, math.MaxUint64))
		b.noteLast(shard, 0)
		return
	}
	b.DeleteRange(logKey(shard, 0), logKey(shard, index+1))
}

// covers says whether what is stored, log or snapshot, ends or passes the
// entry with this index and term.
func (b *Batch) covers(shard uint32, index, term uint64) (bool, error) {
	key := logKey(shard, index)
	raw, ok, err := b.s.get(b.b, key)
	if err != nil {
		return false, err
	}
	if ok {
		e := &raftpb.Entry{}
		if err := proto.Unmarshal(raw, e); err != nil {
			return false, b.s.damage(key, err.Error())
		}
		return e.GetTerm() == term, nil
	}
	key = shardKey(shard, "snap")
	raw, ok, err = b.s.get(b.b, key)
	if err != nil || !ok {
		return false, err
	}
	old := &raftpb.Snapshot{}
	if err := proto.Unmarshal(raw, old); err != nil {
		return false, b.s.damage(key, err.Error())
	}
	return old.GetMetadata().GetIndex() == index && old.GetMetadata().GetTerm() == term, nil
}

// PutInvite keeps the incarnation that this node offers for a replica, before
// the node speaks of it. A later offer replaces it.
func (b *Batch) PutInvite(shard uint32, incarnation uint64) {
	b.Set(shardKey(shard, "inv"), be64(incarnation))
}

// Invite returns the incarnation last offered for a shard and not used yet, 0
// for none, and the highest replica id that ended here.
func (s *Store) Invite(shard uint32) (incarnation, tombstone uint64, err error) {
	inv, err := s.number(s.db, shardKey(shard, "inv"), 1)
	if err != nil {
		return 0, 0, err
	}
	tomb, err := s.number(s.db, shardKey(shard, "tomb"), 1)
	return inv[0], tomb[0], err
}

// PutReplica records that a replica begins here and uses up the invitation. An
// id that ended here, and a second replica beside one of another id, are errors.
func (b *Batch) PutReplica(shard uint32, replica, incarnation uint64) {
	tomb, err := b.s.number(b.b, shardKey(shard, "tomb"), 1)
	if err != nil {
		b.fail(err)
		return
	}
	have, err := b.s.number(b.b, shardKey(shard, "id"), 2)
	if err != nil {
		b.fail(err)
		return
	}
	switch {
	case replica == 0 || replica <= tomb[0]:
		b.fail(fmt.Errorf("replica %d of shard %d cannot begin: ids up to %d have ended here", replica, shard, tomb[0]))
	case have[0] != 0 && (have[0] != replica || have[1] != incarnation):
		b.fail(fmt.Errorf("replica %d of shard %d cannot begin: replica %d is here", replica, shard, have[0]))
	}
	b.Set(shardKey(shard, "id"), be64(replica, incarnation))
	b.Delete(shardKey(shard, "inv"))
}

// DropReplica removes a replica with all its state and leaves a tombstone: no
// id up to it begins here again. A lower tombstone than the stored one is
// raised to that.
func (b *Batch) DropReplica(shard uint32, tombstone uint64) {
	tomb, err := b.s.number(b.b, shardKey(shard, "tomb"), 1)
	if err != nil {
		b.fail(err)
		return
	}
	for _, name := range []string{"hs", "snap", "id", "inv"} {
		b.Delete(shardKey(shard, name))
	}
	b.dropChunks(shard)
	last, err := b.lastIndex(shard)
	if err != nil {
		b.fail(err)
		return
	}
	if last > 0 {
		b.DeleteRange(logKey(shard, 0), logKey(shard, math.MaxUint64))
		b.noteLast(shard, 0)
	}
	b.Set(shardKey(shard, "tomb"), be64(max(tomb[0], tombstone)))
}

// LoadReplicas returns all replicas that are here, by shard. A damaged value, a gap
// in a log, and a log that does not meet its snapshot are a *DamageError.
func (s *Store) LoadReplicas() ([]ReplicaData, error) {
	var out []ReplicaData
	err := s.Scan([]byte("r/"), func(key, val []byte) error {
		if len(key) < 7 {
			return s.damage(key, "it is no key of a replica")
		}
		shard, name := binary.BigEndian.Uint32(key[2:]), string(key[7:])
		if len(out) == 0 || out[len(out)-1].Shard != shard {
			out = append(out, ReplicaData{Shard: shard})
		}
		return s.loadPart(&out[len(out)-1], key, name, val)
	})
	if err != nil {
		return nil, fmt.Errorf("load the replicas: %w", err)
	}
	kept := out[:0]
	for _, d := range out {
		if d.Replica == 0 {
			if d.HardState != nil || d.Snapshot != nil || d.Entries != nil {
				return nil, fmt.Errorf("load the replicas: %w", s.damage(shardKey(d.Shard, "id"), "it is missing, but its log is here"))
			}
			continue // an invitation or a tombstone
		}
		if err := s.checkMeets(d); err != nil {
			return nil, fmt.Errorf("load the replicas: %w", err)
		}
		kept = append(kept, d)
	}
	return kept, nil
}

func (s *Store) loadPart(d *ReplicaData, key []byte, name string, val []byte) error {
	val = append([]byte(nil), val...)
	switch {
	case name == "hs":
		d.HardState = val
	case name == "snap":
		d.Snapshot = val
		return s.loadChunks(d)
	case name == "id":
		if len(val) != 16 {
			return s.damage(key, "it is no replica id")
		}
		d.Replica, d.Incarnation = binary.BigEndian.Uint64(val), binary.BigEndian.Uint64(val[8:])
	case name == "inv" || name == "tomb":
	case len(name) == 19 && name[:6] == "chunk/": // loadChunks reads those that count
	case len(name) == 12 && name[:4] == "log/":
		index := indexOf(key)
		if len(d.Entries) == 0 {
			d.First = index
		}
		if want := d.First + uint64(len(d.Entries)); index != want {
			return s.damage(logKey(d.Shard, want), fmt.Sprintf("it is missing, the log goes on at %d", index))
		}
		d.Entries = append(d.Entries, val)
	default:
		return s.damage(key, "it is no key of a replica")
	}
	return nil
}

// checkMeets refuses a log that begins behind the end of its snapshot.
func (s *Store) checkMeets(d ReplicaData) error {
	if len(d.Entries) == 0 {
		return nil
	}
	var end uint64
	if d.Snapshot != nil {
		snap := &raftpb.Snapshot{}
		if err := proto.Unmarshal(d.Snapshot, snap); err != nil {
			return s.damage(shardKey(d.Shard, "snap"), err.Error())
		}
		end = snap.GetMetadata().GetIndex()
	}
	if d.First > end+1 {
		return s.damage(logKey(d.Shard, end+1), fmt.Sprintf("it is missing, the snapshot ends at %d and the log begins at %d", end, d.First))
	}
	return nil
}
