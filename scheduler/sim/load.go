package sim

import (
	"math/rand/v2"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// offerLife is how long the offers of a steady load are good for. Short, so that
// ended jobs leave the state within a long run.
const offerLife = 2 * time.Minute

// stream submits jobs of one task at Config.Rate until all is healed.
func (c *client) stream() {
	w := c.w
	if w.healed {
		return
	}
	spec := &job.Spec{
		Name: "job", Type: "custom", Executor: "wasm", Module: "module", Tasks: 1, Priority: 5,
		Need:   job.Resources{CPU: 500, Memory: 1 << 29, Disk: 1 << 29},
		Policy: job.Policy{Timeout: time.Minute, Retries: 3, RetryOn: job.AllClasses},
	}
	e := c.errand(spec, offerLife, w.rng)
	c.jobs = append(c.jobs, e)
	c.ask(e, askSubmit)
	w.later(time.Duration(float64(time.Second)/w.cfg.Rate), c.stream)
}

// errand makes an errand of a spec.
func (c *client) errand(spec *job.Spec, life time.Duration, rng *rand.Rand) *errand {
	w := c.w
	o := &job.Offer{
		Network: w.network, ClientKey: make([]byte, 32), NotAfter: epoch + (w.now + life).Milliseconds(), Spec: spec.Encode(),
		Signature: make([]byte, 64),
	}
	for i := range o.Nonce {
		o.Nonce[i] = byte(rng.Uint32())
	}
	e := &errand{id: o.ID(), offer: o.Encode()}
	e.shard = e.id.Shard(uint32(w.cfg.Shards))
	c.byID[e.id] = e
	return e
}

// overheard brings a gossiped offer to the leader of its shard. Nobody waits for
// the answer.
func (c *client) overheard(e *errand, h *host) {
	c.next++
	c.tokens[c.next] = &request{errand: e, kind: askOverheard, door: h.n, to: h, given: c.w.now}
	c.give(c.next, h)
}

// announce publishes the offer of a job to those who hold its shard,
// beside the straight way that it takes.
func (c *client) announce(door *node, e *errand) {
	w := c.w
	w.publish(KindOffers, door, len(e.offer), w.members[e.shard], func(m *node) {
		if h := m.hosts[e.shard]; h != nil && h.led.Mine {
			c.overheard(e, h)
		}
	})
}

// finished says whether every errand is over and every job has ended.
func (c *client) finished() bool {
	for ; c.ended < len(c.jobs); c.ended++ { // what has ended stays so
		e := c.jobs[c.ended]
		j := c.w.oracle.shards[e.shard].state.Jobs[e.id]
		if !e.done || j == nil && !c.w.oracle.mayForget(c.w.oracle.shards[e.shard], e.id) || j != nil && !j.State.Terminal() {
			return false
		}
	}
	return true
}
