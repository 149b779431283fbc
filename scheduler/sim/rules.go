package sim

import (
	"bytes"
	"slices"
	"time"

	"go.etcd.io/raft/v3/confchange"
	"go.etcd.io/raft/v3/quorum"
	"go.etcd.io/raft/v3/raftpb"
	"go.etcd.io/raft/v3/tracker"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// group is a shard's Raft group as the log makes it, and what its replicas have
// promised: rules that a look at the disks can judge before any harm is done.
type group struct {
	conf     tracker.ProgressTracker
	before   quorum.JointConfig  // voters before the last change
	logs     map[uint64]*logDisk // by replica id; a lost disk's last state stays
	holds    map[uint64]uint64   // highest committed index that a replica had on its disk
	votes    map[ballot]uint64
	bids     map[ballot]position // what a candidate says its log ends with
	granted  map[grant]bool      // places of which a leader has heard that they are held
	reported map[word]bool       // what workers have said of attempts
}

// ballot is a replica in a term; position an entry's term and index.
type ballot struct{ id, term uint64 }

type position struct{ term, index uint64 }

// grant is a place that a worker holds for an attempt, as the leader of a term
// knows.
type grant struct {
	term   uint64
	worker string
	key    work.Key
}

// word is how an attempt ended, as a worker says it: output or cause.
type word struct {
	worker string
	key    work.Key
	output string
	cause  job.Cause
}

func newGroup() group {
	return group{
		conf: tracker.MakeProgressTracker(1, 0), logs: map[uint64]*logDisk{}, holds: map[uint64]uint64{}, votes: map[ballot]uint64{},
		bids: map[ballot]position{}, granted: map[grant]bool{}, reported: map[word]bool{},
	}
}

// change applies a committed change of the configuration.
func (g *group) change(cc *raftpb.ConfChangeV2, index uint64) (err error) {
	ch := confchange.Changer{Tracker: g.conf, LastIndex: index}
	g.before = g.conf.Config.Clone().Voters
	var cfg tracker.Config
	var progress tracker.ProgressMap
	if cc.LeaveJoint() {
		cfg, progress, err = ch.LeaveJoint()
	} else if auto, joint := cc.EnterJoint(); joint {
		cfg, progress, err = ch.EnterJoint(auto, cc.Changes...)
	} else {
		cfg, progress, err = ch.Simple(cc.Changes...)
	}
	if err == nil {
		g.conf.Config, g.conf.Progress = cfg, progress
	}
	return err
}

// onDisks says whether a majority of a configuration has an entry on disk, and
// notes who has.
func (g *group) onDisks(c quorum.JointConfig, index uint64, e []byte) bool {
	votes := map[uint64]bool{}
	// any order: each replica alone
	for id := range c.IDs() {
		d := g.logs[id]
		votes[id] = d != nil && d.has(index, e)
		if votes[id] {
			g.holds[id] = max(g.holds[id], index)
		}
	}
	return c.VoteResult(votes) == quorum.VoteWon
}

// durable checks that what is called committed for the first time is on the
// disks of a majority.
func (o *oracle) durable(h *host, index uint64, e []byte) {
	g := &o.shards[h.shard].group
	if !g.onDisks(g.conf.Voters, index, e) && (len(g.before[0]) == 0 || !g.onDisks(g.before, index, e)) {
		o.w.violate("quorum", "%s shard %d commits index %d, which is not on the disks of a majority of %v", h.n.name, h.shard, index, g.conf.Voters)
	}
}

// intact says whether every voter of a shard still has its disk, and no change
// is under way.
func (o *oracle) intact(s uint32) bool {
	g := &o.shards[s].group
	// any order: all must hold
	for id := range g.conf.Voters.IDs() {
		if !slices.ContainsFunc(o.w.nodes, func(n *node) bool { d := n.disk.shards[s]; return d.id == id && d.log == g.logs[id] }) {
			return false
		}
	}
	return len(g.conf.Voters[1]) == 0
}

// sent checks what a Raft message promises: it is on the sender's disk.
func (o *oracle) sent(h *host, m *raftpb.Message) {
	g := &o.shards[h.shard].group
	d := h.n.disk.shards[h.shard].log
	id := h.rep.ID()
	if t := m.GetType(); h.skewed && (t == raftpb.MsgPreVote || t == raftpb.MsgVote) {
		o.w.violate("clock", "%s shard %d campaigns though its clock is wrong", h.n.name, h.shard)
	}
	switch m.GetType() {
	case raftpb.MsgVote:
		g.bids[ballot{id, m.GetTerm()}] = position{m.GetLogTerm(), m.GetIndex()}
	case raftpb.MsgHeartbeat:
		if to := g.logs[m.GetTo()]; to != nil && m.GetCommit() > to.index+uint64(len(to.entries)) {
			o.w.violate("ack", "%s shard %d tells replica %d of the commit %d, which that has neither stored nor acknowledged", h.n.name, h.shard, m.GetTo(), m.GetCommit())
		}
	case raftpb.MsgAppResp:
		if last := d.index + uint64(len(d.entries)); !m.GetReject() && m.GetIndex() > last {
			o.w.violate("ack", "%s shard %d acknowledges index %d and has stored %d", h.n.name, h.shard, m.GetIndex(), last)
		}
	case raftpb.MsgVoteResp:
		if !m.GetReject() {
			o.voted(h, m)
		}
	}
}

// voted checks a vote: it is stored, the only one of its term, and given to a
// log that holds everything committed that the voter has had.
func (o *oracle) voted(h *host, m *raftpb.Message) {
	l := o.shards[h.shard]
	id, term, to := h.rep.ID(), m.GetTerm(), m.GetTo()
	hs := &raftpb.HardState{}
	if proto.Unmarshal(h.n.disk.shards[h.shard].log.hard, hs) != nil || hs.GetTerm() < term || hs.GetTerm() == term && hs.GetVote() != to {
		o.w.violate("vote", "%s shard %d votes for replica %d in term %d and has not stored that", h.n.name, h.shard, to, term)
	}
	if old, ok := l.votes[ballot{id, term}]; ok && old != to {
		o.w.violate("vote", "replica %d of shard %d votes in term %d for replica %d and for %d", id, h.shard, term, old, to)
	}
	l.votes[ballot{id, term}] = to
	bid, known := l.bids[ballot{to, term}]
	held := l.holds[id]
	if !known || held < 2 {
		return
	}
	e := &raftpb.Entry{}
	if proto.Unmarshal(l.log[held-2], e) != nil {
		return // apply has complained
	}
	if bid.term < e.GetTerm() || bid.term == e.GetTerm() && bid.index < held {
		o.w.violate("vote", "replica %d of shard %d, which had stored the committed entry (%d, %d), votes for a log that ends at (%d, %d)",
			id, h.shard, e.GetTerm(), held, bid.term, bid.index)
	}
}

// heard notes what a leader hears from a worker: signs of life and places held.
func (o *oracle) heard(h *host, ev shard.Heard) {
	if h.rep.Attached(ev.From) {
		h.heard[ev.From] = h.n.mono()
	}
	if b, ok := ev.Msg.(work.Booked); ok {
		o.shards[h.shard].granted[grant{h.led.Term, ev.From, b.Key}] = true
	}
}

// said notes what a worker says to a leader on how an attempt ended.
func (o *oracle) said(n *node, s uint32, r work.Report) {
	o.shards[s].reported[wordOf(n.name, r)] = true
}

func wordOf(peer string, r work.Report) word {
	if r.Result != nil {
		return word{worker: peer, key: r.Key, output: r.Result.Output}
	}
	return word{worker: peer, key: r.Key, cause: r.Cause}
}

// dropped checks a leader's verdicts on silent workers at the moment at which it
// makes them: whose attempts lapse is not heard for a whole lease in which the
// leader listened. Leaders of many workers are not looked at.
func (o *oracle) dropped(h *host) {
	if len(h.heard) == 0 || len(h.heard) > 64 || !h.rep.Health().Mine {
		return
	}
	for _, n := range o.w.nodes {
		at, heard := h.heard[n.name]
		if !heard || h.rep.Attached(n.name) {
			continue
		}
		delete(h.heard, n.name)
		if silent := h.n.mono() - max(at, h.gapEnd); silent < lease {
			o.w.violate("lease", "%s shard %d gives %s up after listening for %v without a word from it", h.n.name, h.shard, n.name, silent)
		}
	}
}

// lease is the shards' default.
const lease = 4 * time.Second

// wanted checks that somebody wanted a command that the log holds: a client its
// job or its end, a worker its place, the attempt's own worker its report.
func (o *oracle) wanted(l *ledger, term uint64, cmd *job.Command) {
	k := work.Key{Job: cmd.Job, Task: cmd.Task, Attempt: cmd.Attempt, Fence: cmd.Fence}
	g := l.given[attemptRef{taskRef{k.Job, k.Task}, k.Attempt}]
	switch cmd.Op {
	case job.OpAccept:
		if o.w.client.byID[cmd.Job] == nil {
			o.w.violate("wanted", "job %s is accepted and nobody has submitted it", cmd.Job.Short())
		}
	case job.OpCancel:
		if e := o.w.client.byID[cmd.Job]; e == nil || e.cancel == 0 {
			o.w.violate("wanted", "job %s is cancelled and nobody has asked for that", cmd.Job.Short())
		}
	case job.OpAssign:
		if !l.granted[grant{term, cmd.Worker, k}] {
			o.w.violate("booking", "job %s task %d attempt %d is assigned to %s in term %d, whose leader has not heard that the place is held",
				k.Job.Short(), k.Task, k.Attempt, cmd.Worker, term)
		}
	case job.OpDone:
		if !l.reported[word{worker: g.worker, key: k, output: cmd.Result.Output}] {
			o.w.violate("G4", "the result %s was accepted for %s, whose worker %s has not reported it", cmd.Result.Output, keyText(k), g.worker)
		}
	case job.OpFail:
		if ofWorker[cmd.Cause] && !l.reported[word{worker: g.worker, key: k, cause: cmd.Cause}] {
			o.w.violate("G4", "the end %s was accepted for %s, whose worker %s has not reported it", cmd.Cause, keyText(k), g.worker)
		}
	}
}

// ofWorker are the causes that only a worker's report brings about.
var ofWorker = map[job.Cause]bool{
	job.CauseExit: true, job.CauseTrap: true, job.CauseRetry: true, job.CauseInputs: true, job.CauseDrained: true, job.CauseNode: true,
}

// has says whether an entry is on the disk, as itself or in the snapshot.
func (d *logDisk) has(index uint64, e []byte) bool {
	if index <= d.index {
		return true
	}
	at := index - d.index - 1
	return at < uint64(len(d.entries)) && bytes.Equal(d.entries[at], e)
}
