package shard

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// anchoring is what a leader does about the records that wait for the anchor.
type anchoring struct {
	openSince time.Duration // when this leader first saw open leaves; 0: there are none
	cutUntil  time.Duration // an order is under way until then
	confirmed uint64        // of the last batch whose anchor was proposed
	proposed  time.Duration // when
}

// orderPatience is how long a leader waits for its own order before it repeats
// it.
const orderPatience = time.Second

// pendingCuts is how many batches may wait for the anchor before no more are
// cut; leaves then wait in the state, and beyond job.MaxLeaves offers are
// answered busy.
const pendingCuts = 16

// cutIfDue orders a batch when enough leaves are open, when some have been for
// long enough, and when the group's members are others than the last batch
// names: a replica is named before it can lead, by a leader that was itself
// named, so that signatures can be followed back to the founder.
func (r *Replica) cutIfDue() {
	l, c := r.lead, &r.state.Anchoring
	open := c.Open()
	switch {
	case open == 0:
		l.openSince = 0
	case l.openSince == 0:
		l.openSince = r.now.Mono
	}
	members := r.memberPeers()
	renamed := !slices.Equal(members, c.Named)
	full := open >= r.p.CutCount
	old := open > 0 && r.now.Mono-l.openSince >= r.p.CutAge
	if !full && !old && !renamed || r.now.Mono < l.cutUntil || len(c.Cuts) >= pendingCuts {
		return
	}
	upTo := c.OpenFrom() + uint64(min(open, max(r.p.CutCount, 1)))
	if r.propose(&job.Command{Op: job.OpCut, Cut: &job.CutOrder{Seq: c.Seq + 1, UpTo: upTo, Members: members}}) {
		l.cutUntil = r.now.Mono + orderPatience
	}
}

// memberPeers returns the peers of all replicas, sorted.
func (r *Replica) memberPeers() []string {
	var out []string
	for _, m := range r.state.SortedMembers() {
		if !slices.Contains(out, m.Peer) {
			out = append(out, m.Peer)
		}
	}
	slices.Sort(out)
	return out
}

// confirm proposes what the anchor has confirmed. The owner repeats it until the
// batch is anchored.
func (r *Replica) confirm(ev Confirm) {
	l, c := r.lead, &r.state.Anchoring
	if l == nil || !l.ready || len(c.Cuts) == 0 || c.Cuts[0].Seq != ev.Anchor.Seq {
		return
	}
	if l.confirmed == ev.Anchor.Seq && r.now.Mono-l.proposed < orderPatience {
		return
	}
	if r.propose(&job.Command{Op: job.OpAnchored, Anchor: &ev.Anchor}) {
		l.confirmed, l.proposed = ev.Anchor.Seq, r.now.Mono
	}
}

// tellCut hands a batch to the owner.
func (r *Replica) tellCut(cut job.Cut) { r.do(Cut{Batch: r.state.Anchoring.Batch(cut)}) }

// chained tells the owner what an applied command did to the batches.
func (r *Replica) chained(out job.Outcome) {
	if out.Cut != nil {
		r.tellCut(*out.Cut)
		if r.lead != nil {
			r.lead.cutUntil, r.lead.openSince = 0, 0
		}
	}
	if out.Anchored != nil {
		r.do(Anchored{Anchor: *out.Anchored})
	}
}
