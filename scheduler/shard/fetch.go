package shard

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"

	"github.com/ciro-network/ciro/scheduler/job"
)

// Times of fetching a snapshot.
const (
	fetchPatience = 3 * time.Second        // with one chunk, before it is asked for again
	fetchAgain    = 300 * time.Millisecond // after a chunk that could not be had
	fetchGiveUp   = time.Minute            // without any chunk; the leader sends its snapshot again
)

// incoming is a leader's snapshot whose state is being fetched. Raft hears of it
// when the state is here: until then this replica follows, and neither its log
// nor its state has changed.
type incoming struct {
	from    string
	msg     *raftpb.Message
	index   uint64
	man     manifest
	chunks  [][]byte // that are here: what a manifest says of their size allocates nothing
	bytes   uint64   // in them
	askedAt time.Duration
	gotAt   time.Duration
	dec     *job.Decoder // once all chunks are here
	state   *job.State   // once it is read
}

// offered takes a leader's MsgSnap and begins to fetch the state behind it.
func (r *Replica) offered(from string, m *raftpb.Message) {
	snap := m.GetSnapshot()
	index := snap.GetMetadata().GetIndex()
	if index <= r.state.Index || m.GetTerm() < r.rn.BasicStatus().GetTerm() {
		r.try(r.rn.Step(m)) // raft answers with what is here
		return
	}
	man, err := readManifest(snap.GetData())
	if err != nil {
		return // of a newer release; the leader drops this replica if it stays behind
	}
	if in := r.incoming; in != nil {
		switch {
		case m.GetTerm() < in.msg.GetTerm() || m.GetTerm() == in.msg.GetTerm() && index < in.index:
			return // overtaken
		case index == in.index && slices.Equal(snap.GetData(), in.msg.GetSnapshot().GetData()):
			in.from, in.msg = from, m // go on with what is here
			if in.dec == nil && r.now.Mono-in.askedAt >= fetchAgain {
				r.fetch()
			}
			return
		}
	}
	r.stopMaking() // its chunks give way
	r.incoming = &incoming{from: from, msg: m, index: index, man: man, gotAt: r.now.Mono}
	r.fetch()
}

// fetch asks for the next chunk.
func (r *Replica) fetch() {
	in := r.incoming
	in.askedAt = r.now.Mono
	r.do(Fetch{From: in.from, Index: in.index, N: uint32(len(in.chunks))})
}

// fetched takes a chunk, or the word that it could not be had.
func (r *Replica) fetched(ev Fetched) {
	in := r.incoming
	if in == nil || in.dec != nil || ev.Index != in.index || int(ev.N) != len(in.chunks) {
		return
	}
	if len(ev.Data) == 0 || len(ev.Data) > MaxChunk || sha256.Sum256(ev.Data) != in.man.sums[ev.N] {
		in.askedAt = r.now.Mono - fetchPatience + fetchAgain
		return
	}
	in.chunks, in.bytes, in.gotAt = append(in.chunks, ev.Data), in.bytes+uint64(len(ev.Data)), r.now.Mono
	last := len(in.chunks) == len(in.man.sums)
	if in.bytes > in.man.size || last && in.bytes != in.man.size {
		r.incoming = nil // the manifest lies
		return
	}
	r.do(Persist{Chunks: []Chunk{{Index: in.index, N: ev.N, Data: ev.Data}}})
	if !last {
		r.fetch()
		return
	}
	data := make([]byte, 0, in.bytes)
	for i, c := range in.chunks {
		data, in.chunks[i] = append(data, c...), nil
	}
	in.dec = job.NewDecoder(data)
}

// takeSnapshot goes on with a snapshot that is being fetched: it repeats what
// was lost, reads one more piece of the state, and gives raft the snapshot when
// the state is whole.
func (r *Replica) takeSnapshot() {
	in := r.incoming
	switch {
	case in == nil:
	case in.dec != nil:
		st, err := in.dec.Next(max(1, r.p.SnapshotChunk/4))
		if err != nil {
			// A leader's committed state that is not damaged cannot be read: going on
			// without it would only hide that this node is too old.
			panic(fmt.Sprintf("shard %d: snapshot at %d: %v", r.cfg.Shard, in.index, err))
		}
		if st != nil {
			in.state = st
			r.try(r.rn.Step(in.msg))
			r.settle()
			r.incoming = nil // raft may have had no use for it
		}
	case r.now.Mono-in.gotAt > fetchGiveUp:
		r.incoming = nil
	case r.now.Mono-in.askedAt >= fetchPatience:
		r.fetch()
	}
}
