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
}

// logDisk holds what Persist actions wrote.
type logDisk struct {
	hard, snap []byte
	index      uint64   // of snap
	entries    [][]byte // from index+1 on
}

func (d *logDisk) write(p shard.Persist) {
	if p.Snapshot != nil && p.SnapshotIndex > commit(d.hard) {
		d.entries = nil // a leader's snapshot: what this log had beyond its commit is not what the leader's has
	}
	if p.HardState != nil {
		d.hard = p.HardState
	}
	if p.Snapshot != nil && p.SnapshotIndex > d.index {
		cut := min(p.SnapshotIndex-d.index, uint64(len(d.entries)))
		d.entries = slices.Clone(d.entries[cut:])
		d.snap, d.index = p.Snapshot, p.SnapshotIndex
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

// fill gives what is stored to a replica's configuration.
func (d *logDisk) fill(cfg *shard.Config) {
	cfg.HardState, cfg.Snapshot, cfg.First, cfg.Entries = d.hard, d.snap, d.index+1, d.entries
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
