package shard

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/codec"
	"github.com/ciro-network/ciro/scheduler/job"
)

// snapshotPatience is how long the leader waits for word of a snapshot before it
// sends the manifest again; its receiver goes on with what it has.
const snapshotPatience = 2 * time.Second

// holdFactor bounds how long the log grows while a follower fetches the last
// snapshot: until it is this often as long as Params.SnapshotEvery.
const holdFactor = 8

// images are a replica's snapshots: the last one, one in the making, and one
// that is being fetched. The last two exclude each other.
type images struct {
	snapIndex, snapTerm uint64
	asked               bool // raft has asked for one that is not there
	making              *making
	incoming            *incoming
}

// making is a snapshot of the state at one index, written a piece per Step.
type making struct {
	index, term uint64
	conf        *raftpb.ConfState
	enc         *job.Encoder
	buf         []byte // written, not in a chunk yet
	man         manifest
}

// manifest stands for the state in a Raft snapshot: the state itself is kept
// and travels in chunks, in their order, each known by its hash.
type manifest struct {
	size uint64
	sums [][sha256.Size]byte
}

// Bounds of a manifest.
const (
	manifestVersion = 1
	maxChunks       = 1 << 16
	maxSnapshot     = 1 << 30
)

// MaxChunk bounds the bytes of one chunk.
const MaxChunk = 1 << 20

func (m *manifest) encode() []byte {
	var w codec.Writer
	w.Uint(manifestVersion)
	w.Uint(m.size)
	w.Uint(uint64(len(m.sums)))
	for _, s := range m.sums {
		w.Fixed(s[:])
	}
	return w.Data()
}

func readManifest(b []byte) (manifest, error) {
	r := codec.NewReader(b)
	if v := r.Uint(); v != manifestVersion && r.Err() == nil {
		return manifest{}, fmt.Errorf("manifest version %d is not known here; update this node", v)
	}
	m := manifest{size: r.Uint()}
	for range r.Count(maxChunks) {
		var sum [sha256.Size]byte
		copy(sum[:], r.Fixed(sha256.Size))
		m.sums = append(m.sums, sum)
	}
	if m.size > maxSnapshot || m.size > uint64(len(m.sums))*MaxChunk || m.size < uint64(len(m.sums)) || len(m.sums) == 0 {
		r.Fail(errors.New("its size is out of bounds"))
	}
	if err := r.Close(); err != nil {
		return manifest{}, fmt.Errorf("manifest: %w", err)
	}
	return m, nil
}

// decode checks chunks and reads the state out of them.
func (m *manifest) decode(chunks [][]byte) (*job.State, error) {
	if len(chunks) != len(m.sums) {
		return nil, fmt.Errorf("%d of %d chunks are there", len(chunks), len(m.sums))
	}
	for i, c := range chunks {
		if sha256.Sum256(c) != m.sums[i] {
			return nil, fmt.Errorf("chunk %d is damaged", i)
		}
	}
	return job.DecodeState(slices.Concat(chunks...))
}

// logStore is raft's view of the log. A snapshot that does not name the replica
// that needs it as a member would be refused by that replica's raft; so raft
// gets the last one only if the configuration has not changed since, and
// otherwise a new one as soon as it is made.
type logStore struct {
	*raft.MemoryStorage
	r *Replica
}

// Snapshot implements raft.Storage.
func (s *logStore) Snapshot() (*raftpb.Snapshot, error) {
	snap, err := s.MemoryStorage.Snapshot()
	if err != nil || proto.Equal(snap.GetMetadata().GetConfState(), s.r.conf) {
		return snap, err
	}
	s.r.asked = true
	return nil, raft.ErrSnapshotTemporarilyUnavailable
}

// compact begins a snapshot when one is wanted or enough has been applied since
// the last one, and cuts the log when it is made.
func (r *Replica) compact() {
	if r.incoming != nil {
		return
	}
	if m := r.making; m != nil && r.asked && !proto.Equal(m.conf, r.conf) {
		r.stopMaking()
	}
	grown := r.state.Index - r.snapIndex
	every := r.snapshotEvery()
	held := r.lead != nil && len(r.lead.snapshots) > 0 && grown < holdFactor*every
	if r.making == nil && r.state.Index > r.snapIndex && (r.asked || grown >= every && !held) {
		term, err := r.store.Term(r.state.Index)
		if err != nil {
			panic(fmt.Sprintf("shard %d: term of applied index %d: %v", r.cfg.Shard, r.state.Index, err))
		}
		r.making = &making{index: r.state.Index, term: term, conf: r.conf, enc: r.state.StartEncoding()}
		r.asked = false
		r.makeSnapshot()
	}
}

// snapshotEvery is after how many entries the next snapshot is due: as many as
// there are jobs in a large state, so that writing it costs each entry about one
// job's worth, and the log stays smaller than the state.
func (r *Replica) snapshotEvery() uint64 { return max(r.p.SnapshotEvery, uint64(len(r.state.Jobs))) }

func (r *Replica) stopMaking() {
	if r.making != nil {
		r.making.enc.Stop()
		r.making = nil
	}
}

// makeSnapshot writes one more piece of the snapshot in the making.
func (r *Replica) makeSnapshot() {
	m := r.making
	if m == nil {
		return
	}
	chunk := r.p.SnapshotChunk
	buf, more := m.enc.Next(m.buf, max(1, chunk/4))
	for len(buf) >= chunk || !more && len(buf) > 0 {
		n := min(len(buf), chunk)
		r.do(Persist{Chunks: []Chunk{{Index: m.index, N: uint32(len(m.man.sums)), Data: buf[:n:n]}}})
		m.man.sums, m.man.size = append(m.man.sums, sha256.Sum256(buf[:n])), m.man.size+uint64(n)
		buf = buf[n:]
	}
	if m.buf = buf; more {
		return
	}
	r.making = nil
	snap, err := r.store.CreateSnapshot(m.index, m.conf, m.man.encode())
	if err != nil {
		panic(fmt.Sprintf("shard %d: snapshot at %d: %v", r.cfg.Shard, m.index, err)) // the index is applied, so it is there
	}
	r.snapIndex, r.snapTerm = m.index, m.term
	r.do(Persist{Snapshot: encode(snap), SnapshotIndex: r.snapIndex})
	if keep := r.p.SnapshotEvery / 8; r.snapIndex > keep {
		r.try(r.store.Compact(r.snapIndex - keep)) // followers slightly behind need no snapshot
	}
	r.supersede()
}

// supersede tells raft to send the new snapshot to those who still fetch an
// older one: its chunks are gone.
func (r *Replica) supersede() {
	if r.lead == nil {
		return
	}
	for _, id := range sortedIDs(r.lead.snapshots) {
		delete(r.lead.snapshots, id)
		r.rn.ReportSnapshot(id, raft.SnapshotFailure)
	}
}

func sortedIDs(m map[uint64]time.Duration) []uint64 {
	out := make([]uint64, 0, len(m))
	// any order: sorted below
	for id := range m {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// awaitSnapshot notes that a snapshot was just sent.
func (r *Replica) awaitSnapshot(to uint64) {
	if r.lead != nil {
		r.lead.snapshots[to] = r.now.Mono + snapshotPatience
	}
}

// expireSnapshots forgets the receivers that have taken the snapshot or fallen
// silent, and has it sent again to those that have not been heard of.
func (r *Replica) expireSnapshots() {
	l := r.lead
	if len(l.snapshots) == 0 {
		return
	}
	progress := map[uint64]tracker.Progress{}
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) { progress[id] = pr })
	for _, id := range sortedIDs(l.snapshots) {
		pr, known := progress[id]
		if !known || pr.Match >= r.snapIndex || !pr.RecentActive {
			delete(l.snapshots, id)
		}
		if known && pr.State == tracker.StateSnapshot && r.now.Mono >= l.snapshots[id] {
			r.rn.ReportSnapshot(id, raft.SnapshotFailure)
		}
	}
}

// install puts a snapshot in the place of state and log.
func (r *Replica) install(snap *raftpb.Snapshot, st *job.State) error {
	r.stopMaking()
	if err := r.store.ApplySnapshot(snap); err != nil {
		return fmt.Errorf("snapshot at %d: %w", snap.GetMetadata().GetIndex(), err)
	}
	r.state, r.conf = st, snap.GetMetadata().GetConfState()
	r.state.Index = snap.GetMetadata().GetIndex()
	r.snapIndex, r.snapTerm = r.state.Index, snap.GetMetadata().GetTerm()
	return nil
}
