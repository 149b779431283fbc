package sim

import (
	"slices"
	"time"

	"go.etcd.io/raft/v3/raftpb"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// The planted bugs. Each breaks a rule that a core, its shell, its disk or its
// door must keep, and each is planted around the unchanged cores: in what a
// message says on its way, in what a disk keeps, in when and with what a core is
// stepped, or in a core's state right after it has applied an entry, alike in all
// replicas and in the oracle's own.
const (
	PersistBeforeSend  = "persistBeforeSend"  // messages leave before what they promise is synced
	VoteAfterLostState = "voteAfterLostState" // a node that lost its disk goes on under its old replica id
	ForgetVote         = "forgetVote"         // the hard state does not survive a crash
	StaleFence         = "staleFence"         // a report of an old attempt is passed off as the current one's
	UncommittedAssign  = "uncommittedAssign"  // a worker gets an assignment that is not in the log
	StaleLeaderAssigns = "staleLeaderAssigns" // a leader that was deposed, or is about to be, and does not know it assigns without the log
	ForgedAck          = "forgedAck"          // a voter that hears nothing acknowledges all the same
	LearnerCounts      = "learnerCounts"      // what a learner stores counts for a voter that cannot be reached
	SnapshotLoses      = "snapshotLoses"      // a stored snapshot lacks a command that was applied before it
	NoDedupe           = "noDedupe"           // a door signs a repeated submission anew
	RequeueSameAttempt = "requeueSameAttempt" // a task that is queued again keeps its attempt number
	GatherTooEarly     = "gatherTooEarly"     // the gather task is due when the first task is done
	ForgetEnded        = "forgetEnded"        // an ended job is forgotten at once, so that its offer may run again
	LeaseAfterPause    = "leaseAfterPause"    // after a pause a leader's missed ticks are made up for before its messages are read
	CutReplayed        = "cutReplayed"        // an owner takes the batches that come again after a restart for new ones
	CampaignSkewed     = "campaignSkewed"     // a node whose clock is far off its peers' coordinates all the same
	StaleRead          = "staleRead"          // a replica answers reads from what it has, leader or not
)

// Mutations returns the names of the planted bugs.
func Mutations() []string {
	return []string{
		PersistBeforeSend, VoteAfterLostState, ForgetVote, StaleFence, UncommittedAssign, StaleLeaderAssigns, ForgedAck, LearnerCounts,
		SnapshotLoses, NoDedupe, RequeueSameAttempt, GatherTooEarly, ForgetEnded, LeaseAfterPause, CutReplayed, CampaignSkewed, StaleRead,
	}
}

// store writes what a Persist action wants to the disk.
func (h *host) store(p shard.Persist) { h.n.disk.shards[h.shard].log.write(p) }

// loseCommand is the planted bug snapshotLoses: the state that a replica takes
// from its stored snapshot lacks the newest word that a task had started.
func loseCommand(st *job.State) {
	for _, j := range slices.Backward(st.SortedJobs()) {
		for i := range j.Tasks {
			if t := &j.Tasks[i]; t.Started > 0 {
				t.Started = 0
				return
			}
		}
	}
}

// tamper changes a state after an entry as a mutated Apply would.
func (w *world) tamper(st *job.State, events []job.Event) {
	for i := range events {
		e := &events[i]
		j := st.Jobs[e.Job]
		if j == nil {
			continue
		}
		switch {
		case w.cfg.Mutation == RequeueSameAttempt && e.Kind == job.EventRequeued && e.Cause != job.CauseOutputs:
			if t := j.Task(e.Task); t.Attempt > 0 {
				t.Attempt--
			}
		case w.cfg.Mutation == GatherTooEarly && e.Kind == job.EventDone && j.Gather() != nil && j.State == job.Running:
			j.State = job.Assembling
		case w.cfg.Mutation == ForgetEnded && j.State.Terminal():
			delete(st.Jobs, e.Job)
		}
	}
}

// catchUp is the planted bug leaseAfterPause: what a shell does that makes up
// for missed ticks, with the clock of each, before it looks into its queue.
func (h *host) catchUp(now shard.Now) {
	for late := now.Mono - h.stepped; late > time.Second; late -= 900 * time.Millisecond {
		at := shard.Now{Mono: now.Mono - late + 900*time.Millisecond, Wall: now.Wall - late.Milliseconds() + 900}
		acts := slices.Clone(h.rep.Step(at, shard.Tick{}))
		h.n.w.oracle.dropped(h)
		h.perform(acts)
		if h.syncing || !h.alive() {
			return
		}
	}
}

// learnerCounts is the planted bug of that name: the learner's acknowledgement
// reaches the leader once more, in the name of a voter that cannot speak.
func (w *world) learnerCounts(h *host, to *node, m *raftpb.Message) {
	if m.GetType() != raftpb.MsgAppResp || m.GetReject() || !slices.Contains(h.led.Learners, h.n.name) {
		return
	}
	for _, member := range h.rep.State().SortedMembers() {
		voter := w.byName(member.Peer)
		silent := !voter.up || voter.paused > w.now || w.cut(voter, to)
		if !silent || voter == to || !slices.Contains(h.led.Voters, member.Peer) {
			continue
		}
		m.From = &member.ID
		if data, err := (proto.MarshalOptions{Deterministic: true}).Marshal(m); err == nil {
			ev := shard.Received{From: voter.name, Data: data}
			w.send(KindRaft, h.n, to, len(data), func() { to.receive(h.shard, ev) })
		}
		return
	}
}

// forgeAck is the planted bug forgedAck: the leader hears that a replica which
// cannot be reached has stored what it was sent.
func (w *world) forgeAck(h *host, to string, m *raftpb.Message) {
	if m.GetType() != raftpb.MsgApp {
		return
	}
	last := m.GetIndex() + uint64(len(m.GetEntries()))
	ack := &raftpb.Message{
		Type: raftpb.MsgAppResp.Enum(), To: proto.Uint64(m.GetFrom()), From: proto.Uint64(m.GetTo()),
		Term: proto.Uint64(m.GetTerm()), Index: &last,
	}
	data, err := proto.MarshalOptions{Deterministic: true}.Marshal(ack)
	if err != nil {
		return
	}
	w.soon(h.n, time.Millisecond, func() { h.step(shard.Received{From: to, Data: data}) })
}

// forgeAssign makes an assignment of a booking, with the fence that it would
// probably get: the planted bugs uncommittedAssign and staleLeaderAssigns.
func (h *host) forgeAssign(k work.Key) (work.Message, bool) {
	st := h.rep.State()
	j := st.Jobs[k.Job]
	if j == nil {
		return nil, false
	}
	k.Fence = st.Index + 1
	return work.Assign{Key: k, Offer: j.Offer, Accepted: j.Accepted}, true
}

// deposed is the planted bug staleLeaderAssigns: a leader hears that a place is
// held and does not wait for the log, though another leads already or it has
// lost its majority.
func (w *world) deposed(h *host, ev shard.Heard) {
	b, ok := ev.Msg.(work.Booked)
	if !ok || !h.led.Mine || w.leader(h.shard) == h && w.reaches(h) {
		return
	}
	if m, ok := h.forgeAssign(b.Key); ok {
		w.toWorker(h, shard.Work{To: ev.From, Msg: m})
	}
}

// reaches says whether a leader is connected with a majority of its voters.
func (w *world) reaches(h *host) bool {
	near := 0
	for _, name := range h.led.Voters {
		if n := w.byName(name); n.up && n.paused <= w.now && !w.cut(n, h.n) && !w.cut(h.n, n) {
			near++
		}
	}
	return near > len(h.led.Voters)/2
}

// refence is the planted bug staleFence: a report of an attempt that was
// superseded is made to look like one of the attempt that stands.
func (o *oracle) refence(s uint32, r work.Report, from string) (work.Message, string) {
	j := o.shards[s].state.Jobs[r.Key.Job]
	if j == nil || r.Result == nil {
		return r, from
	}
	t := j.Task(r.Key.Task)
	if t == nil || t.Fence == r.Key.Fence || t.State != job.TaskRunning && t.State != job.Assigned {
		return r, from
	}
	r.Key.Attempt, r.Key.Fence = t.Attempt, t.Fence
	return r, t.Worker
}
