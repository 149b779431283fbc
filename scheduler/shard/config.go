package shard

import (
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
)

// Params are the times and bounds of a shard. The zero value of a field means
// its default.
type Params struct {
	TickEvery     time.Duration // Raft tick, default 100 ms
	ElectionTicks int           // default 10
	Lease         time.Duration // silence after which a worker's attempts lapse, default 4 s
	Attach        time.Duration // more of it after a change of leader, default 5 s
	Booking       time.Duration // patience with a booking, default 1500 ms
	Answer        time.Duration // patience of a client's request, default 2500 ms
	Turn          time.Duration // waiting passed over before busy workers are asked for a turn, default 500 ms
	Reserve       time.Duration // waiting passed over before a reservation, default 60 s
	DeadAfter     time.Duration // silence after which a voter is replaced, default 30 s
	CatchUp       time.Duration // time a learner has to catch up, default 2 min
	MoveAfter     time.Duration // least time between two moves of the leadership, default 60 s
	DriftAfter    time.Duration // least time between two moves of a replica to a better node, default 10 min
	Replication   int           // voters wanted, odd, default 3
	MaxWorkers    int           // attached workers, default 1000
	MaxWaiting    int           // client requests that wait, default 4096
	MaxTasks      int           // tasks of jobs that have not ended, default 100,000
	Client        Limits        // of each client key
	SnapshotEvery uint64        // entries between snapshots at least, default 4096; as many as there are jobs where those are more
	CutCount      int           // leaves of a batch for the anchor, default 1024, at most job.MaxBatch
	CutAge        time.Duration // how long leaves wait for a batch to fill, default 10 s
	SnapshotChunk int           // bytes of a snapshot that travel together, at most MaxChunk, default 512 KiB
	Weights       match.Weights // of the ranking; zero: match.DefaultWeights
	Seed          uint64        // of the sampling of candidates
}

// Limits bound what one client key may have in a shard; 0 is no limit.
type Limits struct {
	Jobs  int     // accepted and not ended
	Tasks int     // of those
	Rate  float64 // submissions per second; twice as many may come at once
}

func or[T comparable](v, def T) T {
	var zero T
	if v == zero {
		return def
	}
	return v
}

func (p Params) withDefaults() Params {
	p.TickEvery = or(p.TickEvery, 100*time.Millisecond)
	p.ElectionTicks = or(p.ElectionTicks, 10)
	p.Lease = or(p.Lease, 4*time.Second)
	p.Attach = or(p.Attach, 5*time.Second)
	p.Booking = or(p.Booking, 1500*time.Millisecond)
	p.Answer = or(p.Answer, 2500*time.Millisecond)
	p.Turn = or(p.Turn, 500*time.Millisecond)
	p.Reserve = or(p.Reserve, 60*time.Second)
	p.DeadAfter = or(p.DeadAfter, 30*time.Second)
	p.CatchUp = or(p.CatchUp, 2*time.Minute)
	p.MoveAfter = or(p.MoveAfter, 60*time.Second)
	p.DriftAfter = or(p.DriftAfter, 10*time.Minute)
	p.Replication = or(p.Replication, 3)
	p.MaxWorkers = or(p.MaxWorkers, 1000)
	p.MaxWaiting = or(p.MaxWaiting, 4096)
	p.MaxTasks = or(p.MaxTasks, 100_000)
	p.SnapshotEvery = or(p.SnapshotEvery, 4096)
	p.CutCount = min(or(p.CutCount, 1024), job.MaxBatch)
	p.CutAge = or(p.CutAge, 10*time.Second)
	p.SnapshotChunk = min(or(p.SnapshotChunk, 512<<10), MaxChunk)
	p.Weights = or(p.Weights, match.DefaultWeights())
	return p
}

// Now is a moment: a monotonic reading, of which only differences count, and
// the wall clock in unix milliseconds, which only steers shard time slowly.
type Now struct {
	Mono time.Duration
	Wall int64
}

// Config makes a replica. The stored parts are what Persist actions wrote; all
// empty means a replica that was just invited and gets its state from the
// leader.
type Config struct {
	Shard   uint32
	Network [32]byte
	ID      uint64 // replica id
	Self    string // this node's peer id
	Params  Params
	// Compile reads the constraint expressions of specs; nil reads none, and jobs
	// with constraints fit nowhere.
	Compile func(source string) (match.Constraint, error)

	HardState []byte
	Snapshot  []byte
	Chunks    [][]byte // of Snapshot's index, in order
	First     uint64   // index of Entries[0]
	Entries   [][]byte
}

// Found returns what the founder of a network stores to bootstrap a shard, once,
// in the same durable write as the genesis: a snapshot in which the founder is
// the only voter under replica id 1.
func Found(founder string, incarnation uint64) Persist {
	st := job.NewState(job.Member{ID: 1, Peer: founder, Incarnation: incarnation})
	st.Index = 1
	return imageOf(st, 1, &raftpb.ConfState{Voters: []uint64{1}})
}

// imageOf makes a snapshot of a small state in one chunk.
func imageOf(st *job.State, term uint64, conf *raftpb.ConfState) Persist {
	data := st.Encode()
	man := manifest{size: uint64(len(data)), sums: [][sha256.Size]byte{sha256.Sum256(data)}}
	snap := &raftpb.Snapshot{
		Data:     man.encode(),
		Metadata: &raftpb.SnapshotMetadata{Index: &st.Index, Term: &term, ConfState: conf},
	}
	return Persist{Snapshot: encode(snap), SnapshotIndex: st.Index, Chunks: []Chunk{{Index: st.Index, Data: data}}}
}

// New restores or makes a replica. Damaged stored parts are an error that says
// which.
func New(cfg Config, now Now) (*Replica, error) {
	cfg.Params = cfg.Params.withDefaults()
	r := &Replica{
		cfg: cfg, p: cfg.Params, state: job.NewState(job.Member{}),
		conf: &raftpb.ConfState{}, routes: map[uint64]string{},
		rand:     rand.New(rand.NewPCG(cfg.Params.Seed, uint64(cfg.Shard)<<32|cfg.ID)),
		lastStep: now.Mono, nextTick: now.Mono + cfg.Params.TickEvery,
	}
	r.store = &logStore{MemoryStorage: raft.NewMemoryStorage(), r: r}
	r.state.Members, r.state.NextID = map[uint64]job.Member{}, 0
	if err := r.restore(); err != nil {
		return nil, fmt.Errorf("shard %d: %w", cfg.Shard, err)
	}
	rn, err := raft.NewRawNode(&raft.Config{
		ID: cfg.ID, ElectionTick: r.p.ElectionTicks, HeartbeatTick: max(1, r.p.ElectionTicks/5), Storage: r.store,
		Applied: r.state.Index, MaxSizePerMsg: 512 << 10, MaxCommittedSizePerReady: 8 << 20,
		MaxUncommittedEntriesSize: 16 << 20, MaxInflightMsgs: 256, CheckQuorum: true, PreVote: true,
		ReadOnlyOption: raft.ReadOnlySafe, Logger: quiet{}, DisableProposalForwarding: true, StepDownOnRemoval: true,
	})
	if err != nil {
		return nil, fmt.Errorf("shard %d: raft: %w", cfg.Shard, err)
	}
	r.rn = rn
	if len(r.conf.Voters) == 1 && r.conf.Voters[0] == cfg.ID {
		r.campaign = true // nobody else could: do not wait for the timeout
	} else if len(r.conf.Voters) > 0 {
		r.warnUntil = now.Mono + r.p.electionTimeout()
	}
	return r, nil
}

func (r *Replica) restore() error {
	if len(r.cfg.Snapshot) > 0 {
		snap := &raftpb.Snapshot{}
		if err := proto.Unmarshal(r.cfg.Snapshot, snap); err != nil {
			return fmt.Errorf("stored snapshot: %w", err)
		}
		man, err := readManifest(snap.GetData())
		if err != nil {
			return fmt.Errorf("stored snapshot: %w", err)
		}
		st, err := man.decode(r.cfg.Chunks)
		if err != nil {
			return fmt.Errorf("stored snapshot at %d: %w", snap.GetMetadata().GetIndex(), err)
		}
		if err := r.install(snap, st); err != nil {
			return err
		}
	}
	if len(r.cfg.HardState) > 0 || r.snapIndex > 0 {
		hs := &raftpb.HardState{Term: proto.Uint64(r.snapTerm), Commit: proto.Uint64(r.snapIndex)}
		if err := (proto.UnmarshalOptions{Merge: true}).Unmarshal(r.cfg.HardState, hs); err != nil {
			return fmt.Errorf("stored hard state: %w", err)
		}
		r.replayed = hs.GetCommit()
		if err := r.store.SetHardState(hs); err != nil {
			return fmt.Errorf("stored hard state: %w", err)
		}
	}
	var entries []*raftpb.Entry
	for i, b := range r.cfg.Entries {
		e := &raftpb.Entry{}
		if err := proto.Unmarshal(b, e); err != nil {
			return fmt.Errorf("stored log entry %d: %w", r.cfg.First+uint64(i), err)
		}
		if e.GetIndex() > r.state.Index {
			entries = append(entries, e)
		}
	}
	r.cfg.Entries, r.cfg.Snapshot, r.cfg.Chunks, r.cfg.HardState = nil, nil, nil, nil
	if len(entries) > 0 && entries[0].GetIndex() != r.state.Index+1 {
		return fmt.Errorf("stored log begins at %d, but the snapshot ends at %d: entries are missing", entries[0].GetIndex(), r.state.Index)
	}
	if err := r.store.Append(entries); err != nil {
		return fmt.Errorf("stored log: %w", err)
	}
	return nil
}

// quiet is raft's logger: silent, since the core has no log; a panic stays one.
type quiet struct{}

func (quiet) Debug(...any)            {}
func (quiet) Debugf(string, ...any)   {}
func (quiet) Error(...any)            {}
func (quiet) Errorf(string, ...any)   {}
func (quiet) Info(...any)             {}
func (quiet) Infof(string, ...any)    {}
func (quiet) Warning(...any)          {}
func (quiet) Warningf(string, ...any) {}
func (quiet) Fatal(v ...any)          { panic(fmt.Sprint(v...)) }
func (quiet) Fatalf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
func (quiet) Panic(v ...any) { panic(fmt.Sprint(v...)) }
func (quiet) Panicf(f string, v ...any) {
	panic(fmt.Sprintf(f, v...))
}
