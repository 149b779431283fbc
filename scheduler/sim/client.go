package sim

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// patience is how long a client waits for an answer before it asks again
// elsewhere, with the same id.
const patience = 3500 * time.Millisecond

// answerBound is the longest time in which a replica that runs must answer a
// request (G7).
const answerBound = 3 * time.Second

// client submits all jobs and sees to it that each is accepted or refused.
type client struct {
	w      *world
	jobs   []*errand
	byID   map[job.ID]*errand
	tokens map[uint64]*request
	next   uint64
	ended  int // of jobs, from the first on, that need no more looking at
}

// errand is one job that the client wants done.
type errand struct {
	id       job.ID
	shard    uint32
	offer    []byte
	accepted bool
	term     uint64 // of the first acceptance heard
	index    uint64
	cancel   time.Duration // when to cancel it; 0: never
	retry    bool          // ask for a second round if it has failed
	asking   uint64        // the token that is waited for; 0: none
	repeats  int           // submissions to make after the acceptance
	done     bool          // nothing more to ask
	at       time.Duration // of the first submission
	known    job.ID        // as which it was accepted
	asked    bool          // submitted at least once
	deeds    []*Deed
}

// request is one question that a replica was given.
type request struct {
	errand    *errand
	kind      askKind
	door      *node
	to        *host
	floor     uint64 // Read: the state must have been applied up to here
	given     time.Duration
	stood     time.Duration // how long the node was paused by then
	over      bool
	deed      *Deed
	sawIndex  uint64 // Read: the errand's job in the leader's state
	sawState  job.JobState
	forgotten bool // it may be gone from there
}

type askKind uint8

const (
	askSubmit askKind = iota
	askCancel
	askRead
	askRetry
	askOverheard // a submission that came by gossip: nobody waits for the answer
)

// String names the operation.
func (k askKind) String() string {
	return [...]string{"submit", "cancel", "read", "retry", "overheard"}[k]
}

func newClient(w *world) *client {
	c := &client{w: w, byID: map[job.ID]*errand{}, tokens: map[uint64]*request{}}
	for i := range w.cfg.Jobs {
		if w.cfg.Only == nil || slices.Contains(w.cfg.Only, i) {
			e := c.draw(rand.New(rand.NewPCG(w.cfg.Seed, 0x10b<<32|uint64(i))))
			c.jobs = append(c.jobs, e)
			c.byID[e.id] = e
		}
	}
	return c
}

// draw makes one random job. It has its own source, so that leaving out others
// does not change it.
func (c *client) draw(rng *rand.Rand) *errand {
	w := c.w
	chance := func(p float64) bool { return rng.Float64() < p }
	spec := &job.Spec{
		Name: "job", Type: "custom", Executor: "wasm", Module: "module", Tasks: 1 + uint32(rng.IntN(4)),
		Priority: uint8(1 + rng.IntN(10)), Need: job.Resources{CPU: 500, Memory: 1 << 29, Disk: 1 << 29},
		Policy: job.Policy{
			Timeout: time.Minute, Retries: uint32(rng.IntN(4)), RetryOn: retryOn(chance(0.7)), KeepGoing: chance(0.2),
		},
	}
	if chance(0.3) {
		spec.Gather = &job.Gather{}
	}
	if chance(0.05) {
		spec.Policy.Deadline = 6 * time.Second
	}
	e := c.errand(spec, 2*time.Hour, rng)
	e.repeats = max(0, rng.IntN(4)-1)
	if chance(0.12) {
		e.cancel = 1
	}
	e.retry = chance(0.5)
	e.at = 500*time.Millisecond + time.Duration(rng.Int64N(int64(max(500*time.Millisecond, w.cfg.Duration*3/4-500*time.Millisecond))))
	return e
}

// retryOn is one of the two policies that jobs have here.
func retryOn(all bool) job.Classes {
	if all {
		return job.AllClasses
	}
	return job.DefaultRetryOn
}

// begin spreads the submissions over the time of the faults.
func (c *client) begin() {
	w := c.w
	for _, e := range c.jobs {
		w.later(e.at, func() { c.ask(e, askSubmit) })
	}
	if w.cfg.Rate > 0 {
		w.later(3*time.Second, c.stream)
	}
	w.later(w.between(time.Second, 2*time.Second), c.look)
}

// look reads a random shard now and then.
func (c *client) look() {
	w := c.w
	if len(c.jobs) > 0 {
		c.ask(c.jobs[w.rng.IntN(len(c.jobs))], askRead)
	}
	if !w.healed {
		w.later(w.between(300*time.Millisecond, time.Second), c.look)
	}
}

// ask sends one request through a random node to the shard's leader, as far as
// that node knows, and asks again when no answer comes.
func (c *client) ask(e *errand, kind askKind) {
	w := c.w
	door := w.nodes[w.rng.IntN(len(w.nodes))]
	c.next++
	token := c.next
	deed := &Deed{Kind: kind.String(), Call: w.now}
	e.deeds = append(e.deeds, deed)
	if kind == askSubmit {
		if w.cfg.Mutation == NoDedupe && e.asked {
			e = c.anew(e)
		}
		e.asked = true
	}
	if kind != askRead {
		e.asking = token
		w.later(patience, func() {
			if e.asking == token {
				c.ask(e, kind)
			}
		})
	}
	if !door.up {
		return
	}
	if kind == askSubmit && !e.accepted {
		c.announce(door, e)
	}
	to := w.byName(door.dir[e.shard].leader)
	if to == nil {
		to = w.nodes[w.rng.IntN(len(w.nodes))]
	}
	floor := w.oracle.floor(e.shard)
	w.send(KindClient, door, to, len(e.offer)+64, func() {
		h := to.hosts[e.shard]
		if h == nil || c.tokens[token] != nil {
			return
		}
		c.tokens[token] = &request{errand: e, kind: kind, door: door, to: h, floor: floor, given: w.now, deed: deed}
		c.give(token, h)
		c.watch(token)
	})
}

func (c *client) give(token uint64, h *host) {
	r := c.tokens[token]
	switch r.kind {
	case askSubmit, askOverheard:
		h.step(shard.Submit{Token: token, Offer: r.errand.offer, Holders: []string{h.n.name}})
	case askCancel:
		h.step(shard.Cancel{Token: token, Job: r.errand.id, Why: "no longer wanted"})
	case askRetry:
		h.step(shard.Retry{Token: token, Job: r.errand.id, Task: job.AllTasks, Round: 2})
	case askRead:
		if c.w.cfg.Mutation == StaleRead {
			c.replied(h, shard.Reply{Token: token})
			return
		}
		h.step(shard.Read{Token: token})
	}
}

// watch sees to it that a request is answered in time (a node that stood still
// has that much longer).
func (c *client) watch(token uint64) {
	w := c.w
	r := c.tokens[token]
	w.soon(r.to.n, answerBound, func() {
		n := r.to.n
		late := w.now-r.given > answerBound+10*time.Millisecond // it was paused meanwhile
		slow := n.slow > 0 || n.slowEnd > r.given               // the promise is for disks that sync within 50 ms
		if !r.over && r.to.alive() && !late && !slow && !r.to.syncing {
			w.violate("G7", "%s shard %d has not answered a request (kind %d) within %v", r.to.n.name, r.to.shard, r.kind, answerBound)
		}
	})
}

// replied takes a replica's answer.
func (c *client) replied(h *host, a shard.Reply) {
	w := c.w
	r := c.tokens[a.Token]
	switch {
	case r == nil || r.to != h:
		w.violate("reply", "%s shard %d answers token %d, which it was not given", h.n.name, h.shard, a.Token)
		return
	case r.over:
		w.violate("reply", "%s shard %d answers token %d twice", h.n.name, h.shard, a.Token)
		return
	}
	r.over = true
	w.note("reply", h.n.index, int(r.kind), []byte(a.Answer.Reason))
	switch {
	case r.kind == askRead && a.Answer.Reason == "":
		r.forgotten = w.oracle.mayForget(w.oracle.shards[r.errand.shard], r.errand.id)
		if j := h.rep.State().Jobs[r.errand.id]; j != nil {
			r.sawIndex, r.sawState = j.Index, j.State
		}
		if at := h.rep.State().Index; at < r.floor {
			w.violate("read", "%s shard %d answers a read at index %d; %d was acknowledged before it", h.n.name, h.shard, at, r.floor)
		}
	case (r.kind == askSubmit || r.kind == askOverheard) && a.Answer.Reason == "":
		w.oracle.acknowledged(r.errand, a.Answer)
	}
	if r.kind == askOverheard {
		return
	}
	w.send(KindClient, h.n, r.door, 128, func() { c.hear(r, a) })
}

// hear is the client's end of an answer.
func (c *client) hear(r *request, a shard.Reply) {
	w, e := c.w, r.errand
	r.deed.learn(r, a.Answer, w.now)
	if e.asking != a.Token || r.kind == askRead {
		return
	}
	e.asking = 0
	again := func(kind askKind, d time.Duration) { w.later(d, func() { c.ask(e, kind) }) }
	reason := a.Answer.Reason
	switch {
	case r.kind == askSubmit && reason == "":
		c.accepted(e, a.Answer)
	case r.kind == askCancel && (reason == "" || reason == job.ReasonEnded):
		e.done = true
	case reason == shard.ReasonNotLeader || reason == shard.ReasonUnavailable || reason == job.ReasonBusy:
		again(r.kind, w.between(50*time.Millisecond, 400*time.Millisecond))
	case r.kind == askRetry && (reason == "" || reason == job.ReasonNotFailed):
		e.done = true
	case r.kind != askSubmit && reason == job.ReasonUnknown:
		w.violate("G1", "job %s was accepted and is unknown when it is cancelled or retried", e.id.Short())
	default:
		w.violate("client", "job %s: request %d was answered %q: %s", e.id.Short(), r.kind, reason, a.Answer.Message)
	}
}

func (c *client) accepted(e *errand, a shard.Answer) {
	w := c.w
	if e.accepted {
		w.report.Duplicates++
	} else {
		w.report.Accepted++
		e.accepted, e.term, e.index = true, a.Term, a.Index
	}
	switch {
	case e.repeats > 0:
		e.repeats--
		w.later(w.between(100*time.Millisecond, 3*time.Second), func() { c.ask(e, askSubmit) })
	case e.cancel > 0:
		w.later(w.between(10*time.Millisecond, 3*time.Second), func() { c.ask(e, askCancel) })
	case e.retry:
		w.later(w.between(2*time.Second, 12*time.Second), func() { c.ask(e, askRetry) })
	default:
		e.done = true
	}
}

// anew is the planted bug noDedupe: the door signs the client's job once more.
func (c *client) anew(e *errand) *errand {
	o, err := job.DecodeOffer(e.offer)
	if err != nil {
		return e
	}
	o.Nonce[0]++
	twin := *e
	twin.id, twin.offer = o.ID(), o.Encode()
	twin.shard = twin.id.Shard(uint32(c.w.cfg.Shards))
	c.byID[twin.id] = &twin
	return &twin
}
