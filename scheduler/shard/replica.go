package shard

import (
	"fmt"
	"math/rand/v2"
	"time"

	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
)

// Replica is one member of a shard's group. One owner steps it.
type Replica struct {
	cfg   Config
	p     Params
	rn    *raft.RawNode
	store *logStore
	state *job.State
	conf  *raftpb.ConfState
	rand  *rand.Rand

	images
	replayed uint64            // entries up to here were applied before the restart
	routes   map[uint64]string // replica id -> peer, for ids that the state does not name yet
	now      Now
	lastStep time.Duration
	nextTick time.Duration
	shardNow int64 // shard time as this replica would propose it
	campaign bool
	caution
	lead    *leading          // nil while another leads
	led     Led               // as last told
	told    *raftpb.ConfState // of which led names the members; a change makes a new one
	stirred bool              // raft has had something to do since led was told
	gone    bool
	out     []Action
}

// State returns the applied state. Only the owner may look, only between Steps,
// and must not change it.
func (r *Replica) State() *job.State { return r.state }

// ID returns the replica id.
func (r *Replica) ID() uint64 { return r.cfg.ID }

// Wake returns the monotonic time at which the next Step is wanted at the
// latest.
func (r *Replica) Wake() time.Duration {
	busy := r.making != nil || r.incoming != nil && r.incoming.dec != nil
	if busy || r.lead != nil && r.lead.ready && r.lead.dirty {
		return r.now.Mono
	}
	return r.nextTick
}

// Step takes one event at a moment that is not earlier than the last and
// returns what is to be done, in order. The slice is the caller's until the next
// Step.
func (r *Replica) Step(now Now, ev Event) (out []Action) {
	defer func() {
		if p := recover(); p != nil {
			out = r.contain(p)
		}
	}()
	r.out = r.out[:0]
	if r.gone {
		return nil
	}
	gap := now.Mono - r.lastStep
	r.now, r.lastStep = now, now.Mono
	r.passTime(gap)
	if gap > time.Second && r.lead != nil {
		r.lead.renew(now.Mono)
	}
	r.handle(ev)
	if now.Mono >= r.nextTick {
		r.nextTick = now.Mono + r.p.TickEvery
		r.rn.Tick()
		r.tick()
	}
	r.makeSnapshot()
	r.takeSnapshot()
	r.settle()
	if r.campaign { // only now, since raft refuses while stored changes of the configuration are not applied
		r.campaign = false
		if len(r.conf.GetVoters()) == 1 && r.conf.GetVoters()[0] == r.cfg.ID {
			r.try(r.rn.Campaign())
			r.settle()
		}
	}
	if r.lead != nil && r.lead.ready && r.lead.dirty {
		r.schedule()
		r.settle()
	}
	r.tellLed()
	return r.out
}

// passTime moves the proposer's shard time along the monotonic clock, at most
// five seconds per step, and towards the wall clock at no more than twice or
// half its pace.
func (r *Replica) passTime(gap time.Duration) {
	ms := min(max(gap, 0), 5*time.Second).Milliseconds()
	switch {
	case r.shardNow == 0:
		r.shardNow = r.now.Wall
	case r.shardNow < r.now.Wall:
		r.shardNow += ms + min(ms, r.now.Wall-r.shardNow)
	case r.shardNow > r.now.Wall+1:
		r.shardNow += ms / 2
	default:
		r.shardNow += ms
	}
	if r.state.Time > 0 {
		r.shardNow = max(r.shardNow, r.state.Time)
	}
}

// maxRoutes bounds the replicas that are known by their messages alone.
const maxRoutes = 64

func (r *Replica) handle(ev Event) {
	switch ev := ev.(type) {
	case Received:
		r.received(ev)
	case Submit:
		r.submit(ev)
	case Cancel:
		r.cancel(ev)
	case Retry:
		r.retry(ev)
	case Read:
		r.read(ev)
	case Heard:
		if r.lead != nil {
			r.heard(ev)
		}
	case Directory:
		r.directory(ev)
	case Probed:
		r.probed(ev)
	case InviteRefused:
		if r.lead != nil && r.state.Members[ev.ID].Peer == ev.Peer { // nobody speaks for another's replica
			r.lead.lost[ev.ID] = true
		}
	case HandOver:
		r.handTo(ev.Best, false)
	case Confirm:
		r.confirm(ev)
	case Fetched:
		r.fetched(ev)
	}
}

// betweenReplicas are the messages that replicas send each other. Raft knows
// others, which only a replica's own owner may give it (some end in a panic when
// they come from outside), and forwards proposals and reads, which this package
// does not: who is not the leader says so.
var betweenReplicas = map[raftpb.MessageType]bool{
	raftpb.MsgApp: true, raftpb.MsgAppResp: true, raftpb.MsgVote: true, raftpb.MsgVoteResp: true, raftpb.MsgPreVote: true,
	raftpb.MsgPreVoteResp: true, raftpb.MsgHeartbeat: true, raftpb.MsgHeartbeatResp: true, raftpb.MsgSnap: true, raftpb.MsgTimeoutNow: true,
}

// received steps a Raft message. It must be meant for this very replica and
// come from the node that holds the sending one.
func (r *Replica) received(ev Received) {
	m := &raftpb.Message{}
	if proto.Unmarshal(ev.Data, m) != nil || m.GetTo() != r.cfg.ID || !betweenReplicas[m.GetType()] {
		return
	}
	from := m.GetFrom()
	switch member, known := r.state.Members[from]; {
	case known && member.Peer != ev.From:
		return
	case !known && from < r.state.NextID:
		// A removed replica that has not heard of it.
		if r.lead != nil && r.lead.ready {
			r.do(Dismiss{To: ev.From, ID: from})
		}
		return
	case !known && r.beyond(m):
		return // a stranger's word proves nothing
	case !known:
		if len(r.routes) >= maxRoutes {
			clear(r.routes) // whoever is meant is heard again
		}
		r.routes[from] = ev.From
	case r.lead != nil:
		r.lead.alive[from], r.lead.replied[from] = r.now.Mono, r.now.Mono
	}
	if m.GetType() == raftpb.MsgSnap {
		r.offered(ev.From, m)
		return
	}
	if r.forgot(m) || r.early(m) || r.skewed && elects[m.GetType()] {
		return
	}
	r.try(r.rn.Step(m))
}

// try drops errors of raft that only say "not now": whoever asked asks again.
func (r *Replica) try(error) {}

func (r *Replica) do(a Action) { r.out = append(r.out, a) }

// settle drains raft: what is to be stored, sent and applied. Without any of that
// nothing about the group has changed either.
func (r *Replica) settle() {
	for r.rn.HasReady() {
		r.stirred = true
		rd := r.rn.Ready()
		r.followLeadership()
		r.persist(rd)
		for _, m := range rd.Messages {
			r.send(m)
		}
		for _, e := range rd.CommittedEntries {
			r.apply(e)
		}
		for _, rs := range rd.ReadStates {
			r.readReady(rs)
		}
		r.rn.Advance(rd)
	}
	if r.stirred {
		r.followLeadership()
	}
	r.answerReads()
	r.compact()
}

func (r *Replica) persist(rd raft.Ready) {
	p := Persist{}
	if !raft.IsEmptyHardState(rd.HardState) {
		p.HardState = encode(rd.HardState)
		r.try(r.store.SetHardState(rd.HardState))
	}
	if !raft.IsEmptySnap(rd.Snapshot) {
		p.Snapshot, p.SnapshotIndex = encode(rd.Snapshot), rd.Snapshot.GetMetadata().GetIndex()
	}
	if len(rd.Entries) > 0 {
		p.First = rd.Entries[0].GetIndex()
		for _, e := range rd.Entries {
			p.Entries = append(p.Entries, encode(e))
		}
	}
	if p.HardState == nil && p.Snapshot == nil && p.Entries == nil {
		return
	}
	r.do(p)
	if p.Snapshot != nil {
		if err := r.install(rd.Snapshot, r.incoming.state); err != nil {
			panic(err) // raft has checked that it is newer
		}
		r.do(Applied{Reset: true})
		for _, cut := range r.state.Anchoring.Cuts {
			r.tellCut(cut)
		}
	}
	r.try(r.store.Append(rd.Entries))
}

func encode(m proto.Message) []byte {
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(m)
	if err != nil {
		panic(fmt.Sprintf("encode a raft message: %v", err)) // only invalid UTF-8 could fail, and there are no strings
	}
	return b
}

func (r *Replica) send(m *raftpb.Message) {
	if r.skewed && bids[m.GetType()] {
		return
	}
	to, known := r.state.Members[m.GetTo()]
	peer := to.Peer
	if !known {
		peer = r.routes[m.GetTo()]
	}
	if peer == "" {
		return
	}
	r.do(Send{To: peer, Data: encode(m)})
	if m.GetType() == raftpb.MsgSnap {
		r.awaitSnapshot(m.GetTo())
	}
}

// apply runs one committed entry.
func (r *Replica) apply(e *raftpb.Entry) {
	r.state.Index = e.GetIndex()
	switch {
	case e.GetType() == raftpb.EntryConfChangeV2:
		r.applyConf(e)
	case len(e.GetData()) > 0:
		cmd, err := job.DecodeCommand(e.GetData())
		if err != nil {
			contradict("log index %d: %v", e.GetIndex(), err) // going on would fork the state
		}
		out := r.state.Apply(e.GetIndex(), e.GetTerm(), cmd)
		if len(out.Events) > 0 && e.GetIndex() > r.replayed {
			r.do(Applied{Events: out.Events})
		}
		r.chained(out)
		if r.lead != nil {
			r.decided(cmd, out)
		}
	}
	if r.lead != nil && !r.lead.ready && e.GetTerm() == r.lead.term {
		r.takeOffice()
	}
}

// followLeadership makes and drops the leader's soft state.
func (r *Replica) followLeadership() {
	st := r.rn.BasicStatus()
	leads := st.RaftState == raft.StateLeader
	switch {
	case leads && (r.lead == nil || r.lead.term != st.GetTerm()):
		r.stepDown()
		r.lead = newLeading(st.GetTerm(), r.now.Mono)
		r.lead.constraints.Compile = r.cfg.Compile
		r.lead.movedAt = r.now.Mono
		if st.GetTerm() <= foundingTerm {
			r.lead.movedAt -= r.p.MoveAfter // a new network spreads its leaders at once
		}
	case !leads && r.lead != nil:
		r.stepDown()
	}
}

// foundingTerm is the founder's first term: the founding snapshot has term 1.
const foundingTerm = 2

// stepDown drops all that a leader had in hand. Waiting clients hear that the
// outcome is unknown.
func (r *Replica) stepDown() {
	if r.lead == nil {
		return
	}
	l := r.lead
	r.lead = nil
	for _, w := range l.waiting {
		r.do(Reply{Token: w.token, Answer: r.notLeader("the coordinator of the shard has just changed")})
	}
	for _, rd := range l.reads {
		r.do(Reply{Token: rd.token, Answer: r.notLeader("the coordinator of the shard has just changed")})
	}
}
