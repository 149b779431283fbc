package sim

import (
	"slices"
	"time"
)

// stableFor is how long a group must have been complete before a disk of it may
// be lost for good: the promise G1 asks for a majority that survives.
const stableFor = 2 * time.Second

// steadyFor is how long a leader must have led before the promise on dead
// workers holds: workers that could not attach at once try again in that time.
const steadyFor = 6 * time.Second

// fault lets one thing go wrong and plans the next, until the world is healed.
func (w *world) fault() {
	if w.healed {
		return
	}
	f := w.cfg.Faults
	kinds := []func(){}
	if f.Crashes {
		kinds = append(kinds, w.crashOne, w.crashOne)
	}
	if f.Partitions {
		kinds = append(kinds, w.partition)
	}
	if f.Pauses {
		kinds = append(kinds, w.pauseOne)
	}
	if len(kinds) == 0 {
		return
	}
	kinds[w.rng.IntN(len(kinds))]()
	w.later(w.between(f.Gap, 6*f.Gap), w.fault)
}

func (w *world) anyUp() *node {
	n := w.nodes[w.rng.IntN(len(w.nodes))]
	if !n.up {
		return nil
	}
	return n
}

// crashOne crashes a node that comes back, now and then all that lead
// something, so that whole groups go down together.
func (w *world) crashOne() {
	n := w.anyUp()
	if n == nil {
		return
	}
	if w.chance(0.1) {
		for _, m := range w.nodes {
			if m.up && w.chance(0.6) {
				w.crash(m, false)
			}
		}
		return
	}
	wiped := w.chance(0.3) && (w.report.Wiped == 0 || w.cfg.Mutation == VoteAfterLostState) && w.mayWipe(n)
	w.crash(n, wiped)
}

func (w *world) crash(n *node, wiped bool) {
	n.crash(wiped)
	w.later(w.between(300*time.Millisecond, 6*time.Second), n.start)
}

// calm says whether nothing is amiss but, perhaps, one node.
func (w *world) calm(but *node) bool {
	for i, n := range w.nodes {
		if n != but && (!n.up || n.paused > w.now) || w.blocked != nil && slices.Contains(w.blocked[i], true) {
			return false
		}
	}
	return true
}

// mayWipe says whether every group survives the loss of this node's disk.
func (w *world) mayWipe(n *node) bool {
	for s := range w.cfg.Shards {
		h := w.leader(uint32(s))
		if h == nil || w.now-h.ledAt < stableFor || len(h.led.Learners) > 0 || len(h.led.Voters) < 3 || h.rep.Health().Live < len(h.led.Voters) {
			return false
		}
	}
	return true
}

// leader returns the host that leads a shard in the newest term, or nil.
func (w *world) leader(s uint32) *host {
	var best *host
	for _, n := range w.nodes {
		if n.up && n.hosts[s] != nil && n.hosts[s].led.Mine && (best == nil || best.led.Term < n.hosts[s].led.Term) {
			best = n.hosts[s]
		}
	}
	return best
}

// partition cuts the network for a while: into halves, a single node off, or
// one direction only.
func (w *world) partition() {
	w.report.Partitions++
	w.ills++
	side := make([]bool, len(w.nodes))
	if w.chance(0.5) {
		for i := range side {
			side[i] = w.chance(0.5)
		}
	} else {
		side[w.rng.IntN(len(side))] = true
	}
	oneWay := w.chance(0.3)
	for i := range side {
		for j := range side {
			w.blocked[i][j] = side[i] != side[j] && (!oneWay || side[i])
		}
	}
	w.note("partition", 0, 0, nil)
	w.printf("partition %v one way %v", side, oneWay)
	w.later(w.between(500*time.Millisecond, 5*time.Second), w.join)
}

func (w *world) join() {
	for i := range w.blocked {
		clear(w.blocked[i])
	}
	w.printf("the network is whole")
}

// pauseOne stops a node's clock and ears for a while.
func (w *world) pauseOne() {
	n := w.anyUp()
	if n == nil {
		return
	}
	w.report.Pauses++
	w.ills++
	d := w.between(200*time.Millisecond, 3*time.Second)
	if w.chance(0.2) {
		d = w.between(3*time.Second, 7*time.Second)
	}
	n.paused = w.now + d
	w.note("pause", n.index, int(d), nil)
	w.printf("%s pauses for %v", n.name, d)
}

// heal ends all faults.
func (w *world) heal() {
	w.healed = true
	w.join()
	w.printf("healed")
	for _, n := range w.nodes {
		n.paused = min(n.paused, w.now)
		if !n.up {
			n.start()
		}
	}
}
