package shard

import (
	"fmt"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// maxClients bounds the client keys that a leader remembers.
const maxClients = 100_000

// clientMemory is how long a client is remembered that has nothing here.
const clientMemory = time.Minute

// admit says whether a new offer may enter the log, or why not now. It looks at
// what is applied, so what is just being committed may exceed a limit by as much
// as is under way at once. A repeated offer costs nothing and is always let
// through: its client must be able to learn that it was accepted.
func (r *Replica) admit(id job.ID, offer *job.Offer, spec *job.Spec) (reason, text string) {
	l, limit := r.lead, &r.p.Client
	if l == nil || !l.ready || r.state.Jobs[id] != nil {
		return "", ""
	}
	tasks := int(spec.Tasks)
	if spec.Gather != nil {
		tasks++
	}
	if n := l.queue.Tasks(); n+tasks > r.p.MaxTasks {
		return job.ReasonBusy, fmt.Sprintf("the shard's queue is full: %d tasks have not ended, and it takes %d", n, r.p.MaxTasks)
	}
	key := string(offer.ClientKey)
	if !l.queue.Knows(key) && l.queue.Clients() >= maxClients {
		return job.ReasonBusy, fmt.Sprintf("the shard already serves %d clients", maxClients)
	}
	c := l.queue.Client(key)
	switch {
	case limit.Jobs > 0 && c.Jobs >= limit.Jobs:
		return ReasonClientLimit, fmt.Sprintf("%d jobs of this client have not ended in the shard, and each client may have %d", c.Jobs, limit.Jobs)
	case limit.Tasks > 0 && c.Tasks+tasks > limit.Tasks:
		return ReasonClientLimit, fmt.Sprintf("%d tasks of this client have not ended in the shard; %d more would exceed its %d", c.Tasks, tasks, limit.Tasks)
	}
	if limit.Rate > 0 {
		if _, ok := c.Allow(r.now.Mono, limit.Rate, max(1, 2*limit.Rate)); !ok {
			return ReasonClientRate, fmt.Sprintf("this client submits more than %g jobs a second to the shard", limit.Rate)
		}
	}
	return "", ""
}
