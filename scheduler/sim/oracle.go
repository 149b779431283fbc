package sim

import (
	"bytes"
	"hash/maphash"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// oracle sees everything and holds it against the promises. It keeps one log
// per shard, made of what replicas said was committed, and the state that this
// log makes; whoever commits something else at an index that is known breaks
// the first promise.
type oracle struct {
	w      *world
	shards []*ledger
	seed   maphash.Seed
	buf    []byte           // of hash
	credit int              // jobs that may be scanned now; what a large shard has cost too much is owed
	next   int              // shard to be scanned next
	due    map[job.ID]int64 // when an ended job may be forgotten
}

// taskRef names a task; attemptRef one attempt, fence or not.
type taskRef struct {
	job  job.ID
	task int32
}

type attemptRef struct {
	taskRef
	attempt uint32
}

// ledger is what is known for certain of one shard.
type ledger struct {
	log     [][]byte          // committed entries from index 2 on
	state   *job.State        // after all of log; Members are not kept
	hashes  map[uint64]uint64 // of a replica's state by index, as first seen
	leaders map[uint64]string // by term
	given   map[attemptRef]standing
	done    map[taskRef]uint64 // fence of the accepted result
	judged  map[work.Key]bool  // reports that the log accepted
	acked   map[job.ID]shard.Answer
	floor   uint64                      // highest index that was acknowledged to a client
	down    *interruption               // of the leader of three voters, until the next one is ready
	mute    *interruption               // likewise, until something is assigned
	moving  map[attemptRef]interruption // attempts of crashed workers
	fresh   map[job.ID]time.Duration    // accepted, nothing assigned yet
	batches batches
	group
	made   uint64 // hash of state at index madeAt
	madeAt uint64
}

// interruption is something that a crash has interrupted.
type interruption struct {
	at   time.Duration
	calm bool   // nothing else was amiss
	ills uint64 // faults until then
}

func (i interruption) end(w *world, all, calm *[]time.Duration) {
	*all = append(*all, w.now-i.at)
	if i.calm && i.ills == w.ills {
		*calm = append(*calm, w.now-i.at)
	}
}

// standing is an assignment that is in the log.
type standing struct {
	fence  uint64
	worker string
}

func newOracle(w *world) *oracle {
	o := &oracle{w: w, seed: maphash.MakeSeed(), due: map[job.ID]int64{}}
	for range w.cfg.Shards {
		o.shards = append(o.shards, &ledger{
			state: job.NewState(job.Member{}), hashes: map[uint64]uint64{}, leaders: map[uint64]string{},
			given: map[attemptRef]standing{}, done: map[taskRef]uint64{}, judged: map[work.Key]bool{},
			acked: map[job.ID]shard.Answer{}, moving: map[attemptRef]interruption{}, fresh: map[job.ID]time.Duration{},
			batches: newBatches(), group: newGroup(),
		})
	}
	return o
}

// found takes the state that a shard begins with.
func (o *oracle) found(s uint32, state []byte) {
	st, err := job.DecodeState(state)
	if err != nil {
		o.w.violate("found", "%v", err)
		return
	}
	o.shards[s].state = st
	one := &raftpb.ConfChangeV2{Changes: []*raftpb.ConfChangeSingle{{Type: raftpb.ConfChangeAddNode.Enum(), NodeId: proto.Uint64(1)}}}
	if err := o.shards[s].change(one, 1); err != nil {
		o.w.violate("found", "%v", err)
	}
}

// persisted takes what a replica has stored, as it believes, and looks at what
// that makes committed.
func (o *oracle) persisted(h *host, p shard.Persist) {
	if p.Snapshot != nil && p.SnapshotIndex > h.commit {
		h.commit = p.SnapshotIndex
		clear(h.seen) // the leader's snapshot replaces the log
	}
	for i, e := range p.Entries {
		h.seen[p.First+uint64(i)] = e
	}
	if p.HardState == nil {
		return
	}
	l := o.shards[h.shard]
	for to := commit(p.HardState); h.commit < to; {
		h.commit++
		e := h.seen[h.commit]
		delete(h.seen, h.commit)
		if e == nil {
			o.w.violate("commit", "%s shard %d commits index %d, which it has not stored", h.n.name, h.shard, h.commit)
			return
		}
		switch at := h.commit - 2; {
		case at < uint64(len(l.log)):
			if !bytes.Equal(l.log[at], e) {
				o.w.violate("G1", "%s shard %d commits another entry at index %d than was committed before", h.n.name, h.shard, h.commit)
				return
			}
		case at == uint64(len(l.log)):
			o.durable(h, h.commit, e)
			l.log = append(l.log, e)
			o.apply(h.shard, e)
		default:
			o.w.violate("commit", "%s shard %d commits index %d, but %d entries are known", h.n.name, h.shard, h.commit, len(l.log))
			return
		}
	}
}

// apply runs a newly committed entry on the reference state and checks its
// moves.
func (o *oracle) apply(s uint32, data []byte) {
	l := o.shards[s]
	e := &raftpb.Entry{}
	if err := proto.Unmarshal(data, e); err != nil {
		o.w.violate("log", "shard %d: %v", s, err)
		return
	}
	l.state.Index = e.GetIndex()
	if e.GetType() == raftpb.EntryConfChangeV2 {
		cc := &raftpb.ConfChangeV2{}
		err := proto.Unmarshal(e.GetData(), cc)
		if err == nil {
			err = l.change(cc, e.GetIndex())
		}
		if err != nil {
			o.w.violate("log", "shard %d index %d: %v", s, e.GetIndex(), err)
		}
		return
	}
	if len(e.GetData()) == 0 {
		return
	}
	cmd, err := job.DecodeCommand(e.GetData())
	if err != nil {
		o.w.violate("log", "shard %d index %d: %v", s, e.GetIndex(), err)
		return
	}
	before := remember(l.state.Jobs[cmd.Job])
	out := l.state.Apply(e.GetIndex(), e.GetTerm(), cmd)
	if out.Reason == "" {
		o.wanted(l, e.GetTerm(), cmd)
	}
	before.compare(o, l.state.Jobs[cmd.Job])
	o.w.tamper(l.state, out.Events)
	for i := range out.Events {
		o.event(l, &out.Events[i])
	}
	if (cmd.Op == job.OpDone || cmd.Op == job.OpFail) && out.Reason == "" {
		l.judged[work.Key{Job: cmd.Job, Task: cmd.Task, Attempt: cmd.Attempt, Fence: cmd.Fence}] = true
	}
	if out.Cut != nil {
		o.cut(l, *out.Cut)
	}
	if out.Anchored != nil {
		o.anchored(l, out.Anchored)
	}
}

// event checks one move of the log.
func (o *oracle) event(l *ledger, e *job.Event) {
	w := o.w
	t := taskRef{e.Job, e.Task}
	at := attemptRef{t, e.Attempt}
	w.printf("index %d: %s %s task %d attempt %d %s %s", e.Index, e.Job.Short(), e.Kind, e.Task, e.Attempt, e.Worker, e.Cause)
	switch e.Kind {
	case job.EventAccepted:
		l.fresh[e.Job] = w.now
	case job.EventAssigned:
		if old, ok := l.given[at]; ok {
			w.violate("G2", "job %s task %d attempt %d is assigned at %d and again at %d", e.Job.Short(), e.Task, e.Attempt, old.fence, e.Index)
		}
		if f, ok := l.done[t]; ok {
			w.violate("G4", "job %s task %d is done at fence %d and assigned again", e.Job.Short(), e.Task, f)
		}
		if e.Task == job.GatherIndex {
			o.gathers(l, e)
		}
		if l.mute != nil {
			l.mute.end(w, &w.report.Resumed, &w.report.ResumedCalm)
			l.mute = nil
		}
		l.given[at] = standing{e.Index, e.Worker}
		if since, ok := l.fresh[e.Job]; ok {
			delete(l.fresh, e.Job)
			w.report.Assigned = append(w.report.Assigned, w.now-since)
		}
	case job.EventDone:
		if f, ok := l.done[t]; ok {
			w.violate("G4", "job %s task %d is done twice, at fences %d and %d", e.Job.Short(), e.Task, f, l.given[at].fence)
		}
		l.done[t] = l.given[at].fence
		delete(l.moving, at)
	case job.EventCompleted, job.EventFailed, job.EventCancelled:
		o.ended(l, e)
	case job.EventRetried:
		w.report.Retried++
	case job.EventRequeued, job.EventDead:
		w.report.Reassigned++
		if e.Cause == job.CauseOutputs {
			delete(l.done, t)
		}
		since, ok := l.moving[at]
		delete(l.moving, at)
		if ok && e.Cause == job.CauseLapse {
			since.end(w, &w.report.Moved, &w.report.MovedCalm)
		}
	}
}

// gathers checks that a gather task is assigned when all tasks are done.
func (o *oracle) gathers(l *ledger, e *job.Event) {
	for i := range l.state.Jobs[e.Job].Spec.Tasks {
		if _, ok := l.done[taskRef{e.Job, int32(i)}]; !ok {
			o.w.violate("gather", "job %s: the gather task is assigned and task %d is not done", e.Job.Short(), i)
			return
		}
	}
}

// acknowledged takes an answer to a submission on its way to the client.
func (o *oracle) acknowledged(e *errand, a shard.Answer) {
	l := o.shards[e.shard]
	if e.known != (job.ID{}) && e.known != a.Job {
		o.w.violate("G1", "one job of a client is accepted as %s and as %s", e.known.Short(), a.Job.Short())
		return
	}
	e.known = a.Job
	j := l.state.Jobs[e.id]
	if j == nil || j.Index != a.Index || j.Term != a.Term {
		o.w.violate("G1", "job %s is answered as accepted in term %d at index %d, which is not in the log", e.id.Short(), a.Term, a.Index)
		return
	}
	if old, ok := l.acked[e.id]; ok && (old.Index != a.Index || old.Term != a.Term) {
		o.w.violate("G1", "job %s is answered as accepted at index %d and at %d", e.id.Short(), old.Index, a.Index)
	}
	l.acked[e.id] = a
	l.floor = max(l.floor, a.Index)
}

// floor is what a read that begins now must see.
func (o *oracle) floor(s uint32) uint64 { return o.shards[s].floor }

// told checks what a leader says to a worker.
func (o *oracle) told(h *host, a shard.Work) {
	l := o.shards[h.shard]
	if m, ok := a.Msg.(work.Ack); ok {
		switch {
		case m.Accepted && !l.judged[m.Key]:
			o.w.violate("G4", "%s shard %d acknowledges %s, which the log has not accepted", h.n.name, h.shard, keyText(m.Key))
		case !m.Accepted:
			o.w.report.Refused++
		}
	}
}

// assigned checks an assignment that reaches a worker: it is in the log.
func (o *oracle) assigned(n *node, s uint32, m work.Assign) {
	k := m.Key
	if g := o.shards[s].given[attemptRef{taskRef{k.Job, k.Task}, k.Attempt}]; g.fence != k.Fence || g.worker != n.name {
		o.w.violate("G2", "%s gets the assignment %s, the log has fence %d for %q", n.name, keyText(k), g.fence, g.worker)
	}
}

// hash is of use within this run only.
func (o *oracle) hash(st *job.State) uint64 {
	o.buf = st.AppendTo(o.buf[:0])
	return maphash.Bytes(o.seed, o.buf)
}
