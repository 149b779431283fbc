package shard

import (
	"encoding/binary"
	"slices"
	"time"

	"go.etcd.io/raft/v3"

	"github.com/ciro-network/ciro/scheduler/job"
)

// waiter is a client's request that waits for the log.
type waiter struct {
	token    uint64
	job      job.ID
	cmd      *job.Command
	proposed bool
	until    time.Duration
}

func (r *Replica) notLeader(why string) Answer {
	return Answer{Reason: ReasonNotLeader, Leader: r.peerOf(r.rn.BasicStatus().Lead), Message: why}
}

func (r *Replica) refuse(token uint64, reason, text string) {
	r.do(Reply{Token: token, Answer: Answer{Reason: reason, Message: text}})
}

func (r *Replica) submit(ev Submit) {
	offer, err := job.DecodeOffer(ev.Offer)
	if err != nil {
		r.refuse(ev.Token, job.ReasonInvalid, err.Error())
		return
	}
	if offer.Network != r.cfg.Network {
		r.refuse(ev.Token, job.ReasonInvalid, "the offer is for another network; sign it for this one")
		return
	}
	spec, err := job.DecodeSpec(offer.Spec)
	if err != nil {
		r.refuse(ev.Token, job.ReasonInvalid, err.Error())
		return
	}
	id := offer.ID()
	if j := r.state.Jobs[id]; j != nil && r.lead != nil {
		// Accepted is accepted, whoever leads: this needs no place in the log.
		r.do(Reply{Token: ev.Token, Answer: answerOf(&job.Command{Job: id}, job.Outcome{Reason: job.ReasonExisting, Job: j})})
		return
	}
	if reason, text := r.admit(id, offer, spec); reason != "" {
		r.refuse(ev.Token, reason, text)
		return
	}
	r.enqueue(waiter{token: ev.Token, job: id, cmd: &job.Command{
		Op: job.OpAccept, Job: id, Offer: ev.Offer, Holders: ev.Holders,
	}})
}

func (r *Replica) cancel(ev Cancel) {
	r.enqueue(waiter{token: ev.Token, job: ev.Job, cmd: &job.Command{Op: job.OpCancel, Job: ev.Job, Detail: job.Clip(ev.Why)}})
}

func (r *Replica) retry(ev Retry) {
	round := ev.Round
	if j := r.state.Jobs[ev.Job]; round == 0 && j != nil {
		round = j.Round + 1
	}
	r.enqueue(waiter{token: ev.Token, job: ev.Job, cmd: &job.Command{Op: job.OpRetry, Job: ev.Job, Task: ev.Task, Attempt: round, Holders: ev.Holders}})
}

// enqueue takes a client's command. It waits until it is applied, for a short
// time also until this replica may propose.
func (r *Replica) enqueue(w waiter) {
	switch {
	case r.lead == nil:
		r.do(Reply{Token: w.token, Answer: r.notLeader("this node does not coordinate the shard")})
	case len(r.lead.waiting) >= r.p.MaxWaiting:
		r.refuse(w.token, job.ReasonBusy, "too many requests wait for the shard; try again in a second")
	default:
		w.until = r.now.Mono + r.p.Answer
		if r.lead.ready {
			w.proposed = r.underWay(&w) || r.propose(w.cmd)
		}
		r.lead.waiting = append(r.lead.waiting, w)
	}
}

// underWay says whether the same offer has been proposed already, as it often
// comes both straight and by gossip: one entry of the log answers both.
func (r *Replica) underWay(w *waiter) bool {
	return w.cmd.Op == job.OpAccept && slices.ContainsFunc(r.lead.waiting, func(o waiter) bool {
		return o.proposed && o.job == w.job && o.cmd.Op == job.OpAccept
	})
}

// proposeWaiting proposes what could not be proposed before.
func (r *Replica) proposeWaiting() {
	if !r.lead.ready {
		return
	}
	for i := range r.lead.waiting {
		w := &r.lead.waiting[i]
		if !w.proposed {
			w.proposed = r.propose(w.cmd)
		}
	}
}

// propose puts a command into the log, stamped with shard time; false when raft
// does not take it now.
func (r *Replica) propose(cmd *job.Command) bool {
	cmd.At = r.shardNow
	taken := r.rn.Propose(cmd.Encode()) == nil
	if !taken && r.lead != nil {
		r.lead.stalled = true
	}
	return taken
}

// answerWaiting answers the clients of an applied command.
func (r *Replica) answerWaiting(cmd *job.Command, out job.Outcome) {
	if cmd.Op != job.OpAccept && cmd.Op != job.OpCancel && cmd.Op != job.OpRetry {
		return
	}
	r.lead.waiting = slices.DeleteFunc(r.lead.waiting, func(w waiter) bool {
		if w.job != cmd.Job || w.cmd.Op != cmd.Op || w.cmd.Attempt != cmd.Attempt || w.cmd.Task != cmd.Task {
			return false
		}
		r.do(Reply{Token: w.token, Answer: answerOf(cmd, out)})
		return true
	})
}

func answerOf(cmd *job.Command, out job.Outcome) Answer {
	a := Answer{Job: cmd.Job, Reason: out.Reason, Created: out.Reason == ""}
	if j := out.Job; j != nil {
		a.Term, a.Index, a.At, a.Round = j.Term, j.Index, j.Accepted, j.Round
	}
	switch out.Reason {
	case job.ReasonExisting:
		a.Reason = ""
	case job.ReasonExpired:
		a.Message = "the offer has expired; submit it again with a new nonce"
	case job.ReasonBusy:
		a.Message = "the shard's state is full; try again when jobs have ended"
	case job.ReasonUnknown:
		a.Message = "no job with this id is known here; it may have been forgotten after its retention"
	case job.ReasonEnded:
		a.Message = "the job has ended already"
	case job.ReasonNotFailed:
		a.Message = "only a failed job can be retried"
		if j := out.Job; j != nil {
			a.Message += "; this one is " + j.State.String()
		}
	case job.ReasonNotDead:
		a.Message = "the task is not dead, so there is nothing to retry; describe shows which are"
	case job.ReasonStale:
		a.Message = "the job is in another round already; describe it and name the next one"
	case job.ReasonInvalid:
		a.Message = "the offer is malformed"
	}
	return a
}

func (r *Replica) read(ev Read) {
	if r.lead == nil {
		r.do(Reply{Token: ev.Token, Answer: r.notLeader("this node does not coordinate the shard")})
		return
	}
	if len(r.lead.reads) >= r.p.MaxWaiting {
		r.refuse(ev.Token, job.ReasonBusy, "too many reads wait for the shard; try again in a second")
		return
	}
	r.lead.reads = append(r.lead.reads, reading{token: ev.Token, until: r.now.Mono + r.p.Answer})
	if r.lead.round == 0 {
		r.startRound()
	}
}

// reading is a client's read that waits for a ReadIndex round that began after
// it arrived.
type reading struct {
	token uint64
	round uint64        // 0: for the next round
	index uint64        // applied up to here it may be answered; 0: unknown
	until time.Duration // patience
}

// startRound asks raft for one ReadIndex for all reads that wait for a round.
func (r *Replica) startRound() {
	l := r.lead
	if !l.ready {
		return
	}
	wanted := false
	for i := range l.reads {
		if l.reads[i].index == 0 {
			l.reads[i].round = l.rounds + 1
			wanted = true
		}
	}
	if !wanted {
		l.round = 0
		return
	}
	l.rounds++
	l.round, l.roundAt = l.rounds, r.now.Mono
	r.rn.ReadIndex(binary.BigEndian.AppendUint64(nil, l.round))
}

func (r *Replica) readReady(rs raft.ReadState) {
	if r.lead == nil || len(rs.RequestCtx) != 8 {
		return
	}
	round := binary.BigEndian.Uint64(rs.RequestCtx)
	for i := range r.lead.reads {
		if rd := &r.lead.reads[i]; rd.index == 0 && rd.round != 0 && rd.round <= round {
			rd.index = rs.Index
		}
	}
	if round == r.lead.round {
		r.startRound()
	}
}

// answerReads answers the reads that applied state has reached and those whose
// patience has run out.
func (r *Replica) answerReads() {
	if r.lead == nil {
		return
	}
	r.lead.reads = slices.DeleteFunc(r.lead.reads, func(rd reading) bool {
		switch {
		case rd.index > 0 && r.state.Index >= rd.index:
			r.do(Reply{Token: rd.token})
		case r.now.Mono >= rd.until:
			r.refuse(rd.token, ReasonUnavailable, "no majority of the shard answered in time; try again")
		default:
			return false
		}
		return true
	})
}

// expireWaiting tells clients whose patience has run out, repeats lost reads.
func (r *Replica) expireWaiting() {
	l := r.lead
	l.waiting = slices.DeleteFunc(l.waiting, func(w waiter) bool {
		if r.now.Mono < w.until {
			return false
		}
		r.refuse(w.token, ReasonUnavailable, "no majority of the shard confirmed in time; the outcome is unknown: repeat the same request")
		return true
	})
	if len(l.reads) > 0 && (l.round == 0 || r.now.Mono-l.roundAt > 300*time.Millisecond) {
		r.startRound()
	}
	r.answerReads()
}
