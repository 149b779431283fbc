package shard

import (
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"

	"github.com/ciro-network/ciro/scheduler/job"
)

// snapshotPatience is how long a snapshot may be on its way, beside a second for
// every megabyte, before the leader probes its receiver again.
const snapshotPatience = 2 * time.Second

// logStore is raft's view of the log. Its snapshots are made when raft asks for
// one, from applied state: one that was made earlier would not name the replica
// that needs it as a member, and raft refuses to install such a snapshot.
type logStore struct {
	*raft.MemoryStorage
	r *Replica
}

// Snapshot implements raft.Storage.
func (s *logStore) Snapshot() (*raftpb.Snapshot, error) {
	index := s.r.state.Index
	if index == 0 {
		return s.MemoryStorage.Snapshot()
	}
	term, err := s.Term(index)
	if err != nil {
		return nil, raft.ErrSnapshotTemporarilyUnavailable
	}
	return &raftpb.Snapshot{
		Data:     s.r.state.Encode(),
		Metadata: &raftpb.SnapshotMetadata{Index: &index, Term: &term, ConfState: s.r.conf},
	}, nil
}

// expireSnapshots gives up waiting for receivers that a snapshot has not
// reached, so that they are probed again.
func (r *Replica) expireSnapshots() {
	l := r.lead
	late := make([]uint64, 0, len(l.snapshots))
	// any order: sorted below
	for id, until := range l.snapshots {
		if r.now.Mono >= until {
			late = append(late, id)
		}
	}
	slices.Sort(late)
	for _, id := range late {
		delete(l.snapshots, id)
		r.rn.ReportSnapshot(id, raft.SnapshotFailure) // of no effect once it has arrived
	}
}

// install puts a snapshot in the place of state and log.
func (r *Replica) install(snap *raftpb.Snapshot) error {
	st, err := job.DecodeState(snap.GetData())
	if err != nil {
		return fmt.Errorf("snapshot at %d: %w", snap.GetMetadata().GetIndex(), err)
	}
	if err := r.store.ApplySnapshot(snap); err != nil {
		return fmt.Errorf("snapshot at %d: %w", snap.GetMetadata().GetIndex(), err)
	}
	r.state, r.conf = st, snap.GetMetadata().GetConfState()
	r.state.Index = snap.GetMetadata().GetIndex()
	r.snapIndex, r.snapTerm = r.state.Index, snap.GetMetadata().GetTerm()
	return nil
}

// compact cuts the log once enough of it has been applied.
func (r *Replica) compact() {
	if r.state.Index < r.snapIndex+r.p.SnapshotEvery {
		return
	}
	snap, err := r.store.CreateSnapshot(r.state.Index, r.conf, r.state.Encode())
	if err != nil {
		panic(fmt.Sprintf("shard %d: snapshot at %d: %v", r.cfg.Shard, r.state.Index, err)) // the index is applied, so it is there
	}
	r.snapIndex, r.snapTerm = r.state.Index, snap.GetMetadata().GetTerm()
	r.do(Persist{Snapshot: encode(snap), SnapshotIndex: r.snapIndex})
	if keep := r.p.SnapshotEvery / 8; r.snapIndex > keep {
		r.try(r.store.Compact(r.snapIndex - keep)) // followers slightly behind need no snapshot
	}
}
