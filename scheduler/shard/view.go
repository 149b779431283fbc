package shard

import (
	"go.etcd.io/raft/v3"
	"go.etcd.io/raft/v3/tracker"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// WorkerView is an attached worker as its leader sees it.
type WorkerView struct {
	Peer       string
	Capability work.Capability
	Free       job.Resources
	FreeSlots  uint32
	Draining   bool
	Attempts   int // that stand with it in this shard
}

// Workers returns the attached workers by peer id; nil unless this replica
// leads.
func (r *Replica) Workers() []WorkerView {
	if r.lead == nil {
		return nil
	}
	held := map[string]int{}
	for _, a := range r.lead.standing(anyAttempt) {
		held[a.worker]++
	}
	out := make([]WorkerView, 0, len(r.lead.workers))
	for _, w := range r.lead.workers {
		out = append(out, WorkerView{
			Peer: w.view.ID, Capability: w.view.Cap, Free: w.view.Free, FreeSlots: w.view.FreeSlots, Draining: w.view.Draining, Attempts: held[w.view.ID],
		})
	}
	return out
}

// Attached says whether a worker is attached to this replica as leader.
func (r *Replica) Attached(peer string) bool {
	return r.lead != nil && r.lead.worker(peer) != nil
}

// Health says how complete the group is.
type Health struct {
	Voters    int
	Wanted    int  // voters that the known coordinators allow; 0 unless this replica leads
	Live      int  // voters not given up yet
	Mine      bool // this replica leads and is ready
	Leader    string
	Applied   uint64
	FirstKept uint64 // of the log
	Jobs      int
	Noops     uint64
}

// Health returns the group's completeness as this replica sees it.
func (r *Replica) Health() Health {
	first, err := r.store.FirstIndex()
	if err != nil {
		first = 0 // a memory store has no way to fail
	}
	h := Health{
		Voters: len(r.conf.GetVoters()), Leader: r.led.Leader, Applied: r.state.Index, FirstKept: first,
		Jobs: len(r.state.Jobs), Noops: r.state.Noops,
	}
	if r.lead == nil || !r.lead.ready {
		return h
	}
	h.Mine, h.Wanted = true, max(r.wanted(), h.Voters)
	for _, id := range r.conf.GetVoters() {
		if r.isLive(id) {
			h.Live++
		}
	}
	return h
}

// Behind says how many entries of this leader's log each replica of the group has
// not confirmed, by peer; nil unless this replica leads.
func (r *Replica) Behind() map[string]uint64 {
	if r.lead == nil || !r.lead.ready {
		return nil
	}
	match := map[uint64]uint64{}
	r.rn.WithProgress(func(id uint64, _ raft.ProgressType, pr tracker.Progress) { match[id] = pr.Match })
	last := match[r.cfg.ID]
	out := make(map[string]uint64, len(match))
	// any order: into a map
	for id, m := range match {
		out[r.peerOf(id)] = last - min(last, m)
	}
	return out
}

// Heard counts the voters that this leader has heard within two election
// timeouts, itself included: those that make a majority now. 0 unless it leads.
// A leader that stood still has not heard anybody when it goes on: what it
// forgives the others for its own silence is no word of theirs.
func (r *Replica) Heard() (n int) {
	if r.lead == nil || !r.lead.ready {
		return 0
	}
	for _, id := range r.conf.GetVoters() {
		at, heard := r.lead.replied[id]
		if id == r.cfg.ID || heard && !r.lead.lost[id] && r.now.Mono-at <= 2*r.p.electionTimeout() {
			n++
		}
	}
	return n
}
