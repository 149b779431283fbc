package sim

import (
	"slices"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// disk is what a node finds again after a crash.
type disk struct {
	shards []shardDisk // by shard
	kept   []worker.Restored
}

// shardDisk is one shard's part of it.
type shardDisk struct {
	id          uint64 // of the replica that is held; 0: none
	incarnation uint64 // as answered to the last probe; 0: none
	tomb        uint64 // no replica up to this id is ever held again
	log         *logDisk
	batches     map[uint64][]byte // as the owner has stored them for the anchor
	last        uint64            // the highest number of those
}

// logDisk holds what Persist actions wrote.
type logDisk struct {
	hard, snap []byte
	index      uint64              // of snap
	entries    [][]byte            // from index+1 on
	chunks     map[uint64][][]byte // by index of their snapshot
}

func (d *logDisk) write(p shard.Persist) {
	if p.Snapshot != nil && p.SnapshotIndex > commit(d.hard) {
		d.entries = nil // a leader's snapshot: what this log had beyond its commit is not what the leader's has
	}
	if p.HardState != nil {
		d.hard = p.HardState
	}
	for _, c := range p.Chunks {
		if c.N == 0 {
			d.keepChunks(c.Index)
		}
		d.chunks[c.Index] = append(d.chunks[c.Index][:c.N:c.N], c.Data)
	}
	if p.Snapshot != nil && p.SnapshotIndex > d.index {
		cut := min(p.SnapshotIndex-d.index, uint64(len(d.entries)))
		d.entries = slices.Clone(d.entries[cut:])
		d.snap, d.index = p.Snapshot, p.SnapshotIndex
		d.keepChunks(d.index)
	}
	for i, e := range p.Entries {
		at := p.First + uint64(i)
		if at <= d.index {
			continue
		}
		keep := at - d.index - 1
		if keep < uint64(len(d.entries)) {
			d.entries = slices.Clone(d.entries[:keep]) // a replica may have been given what is overwritten
		}
		d.entries = append(d.entries, e)
	}
}

// keepChunks drops the chunks of all indexes but this one and the snapshot's.
func (d *logDisk) keepChunks(index uint64) {
	kept := map[uint64][][]byte{}
	for _, i := range []uint64{index, d.index} {
		if c := d.chunks[i]; c != nil {
			kept[i] = c
		}
	}
	d.chunks = kept
}

// chunk returns one chunk of a snapshot, nil where it is not.
func (d *logDisk) chunk(index uint64, n uint32) []byte {
	if d == nil {
		return nil
	}
	if c := d.chunks[index]; int(n) < len(c) {
		return c[n]
	}
	return nil
}

// fill gives what is stored to a replica's configuration.
func (d *logDisk) fill(cfg *shard.Config) {
	cfg.HardState, cfg.Snapshot, cfg.Chunks = d.hard, d.snap, d.chunks[d.index]
	cfg.First, cfg.Entries = d.index+1, d.entries
}

// commit reads the commit index out of a stored hard state.
func commit(hard []byte) uint64 {
	hs := &raftpb.HardState{}
	if proto.Unmarshal(hard, hs) != nil {
		return 0
	}
	return hs.GetCommit()
}

func (d *disk) keep(r worker.Restored) {
	d.forget(r.Report.Key)
	d.kept = append(d.kept, r)
}

func (d *disk) forget(k work.Key) {
	for i := range d.kept {
		if d.kept[i].Report.Key == k {
			d.kept = append(d.kept[:i:i], d.kept[i+1:]...)
			return
		}
	}
}
