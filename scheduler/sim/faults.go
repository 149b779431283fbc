package sim

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// stableFor is how long a group must have been complete before a disk of it may
// be lost for good: the promise G1 asks for a majority that survives.
const stableFor = 2 * time.Second

// steadyFor is how long a leader must have led before the promise on dead
// workers holds: workers that could not attach at once try again in that time.
const steadyFor = 6 * time.Second

// leaveTakes is how long a clean leave waits for hand-overs.
const leaveTakes = 300 * time.Millisecond

// plague lets everything of the script happen in its time.
func (w *world) plague() {
	for _, f := range w.cfg.Script {
		w.later(f.At-w.now, func() {
			if w.healed {
				return
			}
			w.printf("fault: %v", f)
			w.note("fault", int(f.At), len(f.Nodes), []byte(f.Kind))
			w.ills++
			if nemeses()[f.Kind].start(w, f) {
				w.fault(f.Kind)
			}
		})
	}
}

// fault counts a fault that happened, effect what it did.
func (w *world) fault(kind string) {
	if w.report.Faults == nil {
		w.report.Faults = map[string]uint64{}
	}
	w.report.Faults[kind]++
}

func (w *world) effect(what string) {
	if w.report.Effects == nil {
		w.report.Effects = map[string]uint64{}
	}
	w.report.Effects[what]++
}

// onNodes makes a start of a fault that lasts on the nodes named.
func onNodes(begin func(n *node, f Fault), end func(n *node)) func(*world, Fault) bool {
	return func(w *world, f Fault) bool {
		for _, i := range f.Nodes {
			begin(w.nodes[i], f)
		}
		w.ail(&ailment{f: f, end: func() {
			for _, i := range f.Nodes {
				end(w.nodes[i])
			}
		}})
		return true
	}
}

func (w *world) startCrash(f Fault) bool {
	hit := false
	for _, i := range f.Nodes {
		if n := w.nodes[i]; n.up {
			hit = true
			w.crashWriting(n, f, 400)
		}
	}
	return hit
}

// crashWriting crashes a node at a moment at which it writes, if one comes soon.
func (w *world) crashWriting(n *node, f Fault, tries int) {
	writing := slices.ContainsFunc(n.hosts, func(h *host) bool { return h != nil && len(h.unsynced) > 0 })
	if !writing && tries > 0 {
		w.later(250*time.Microsecond, func() { w.crashWriting(n, f, tries-1) })
		return
	}
	w.crash(n, f.For, f.Wipe)
}

// crash crashes a node that comes back after a while, without its disk if that
// is wanted and allowed.
func (w *world) crash(n *node, d time.Duration, wipe bool) {
	n.crash(w.wipes(n, wipe))
	w.later(d, n.start)
}

// wipes says whether a disk is lost that is meant to be.
func (w *world) wipes(n *node, wanted bool) bool {
	if !wanted || !w.mayWipe(n) {
		return false
	}
	w.fault("wipe")
	return true
}

// mayWipe says whether every group survives the loss of this node's disk: it has
// three voters or more and has been complete for a while, and every voter still
// has its state. (A planted bug wants only the first.)
func (w *world) mayWipe(n *node) bool {
	for s := range w.cfg.Shards {
		h := w.leader(uint32(s))
		if h == nil || w.now-h.ledAt < stableFor || len(h.led.Learners) > 0 || len(h.led.Voters) < 3 || h.rep.Health().Live < len(h.led.Voters) {
			return false
		}
		if !w.oracle.intact(uint32(s)) && w.cfg.Mutation != VoteAfterLostState {
			return false
		}
	}
	return true
}

// calm says whether nothing is amiss but, perhaps, one node.
func (w *world) calm(but *node) bool {
	if len(w.ails) > 0 {
		return false
	}
	for _, n := range w.nodes {
		if n != but && (!n.up || n.paused > w.now) {
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

// startPause stops the clocks and ears of nodes for a while.
func (w *world) startPause(f Fault) bool {
	hit := false
	for _, i := range f.Nodes {
		n := w.nodes[i]
		if !n.up || n.paused > w.now {
			continue
		}
		hit = true
		n.paused = w.now + f.For
		if f.For > longest {
			w.effect("pauses over every timeout")
		}
	}
	return hit
}

// longest is the longest timeout of a shard or a worker here: CatchUp of params.
const longest = 10 * time.Second

func (w *world) startDrift(f Fault) bool {
	for _, i := range f.Nodes {
		w.nodes[i].pace(f.Rate)
	}
	w.ail(&ailment{f: f, end: func() {
		for _, i := range f.Nodes {
			w.nodes[i].pace(1)
		}
	}})
	return f.Rate != 1
}

// startChurn lets nodes leave, crash and come back at a rate.
func (w *world) startChurn(f Fault) bool {
	a := &ailment{f: f}
	w.ail(a)
	mean := time.Duration(float64(time.Hour) / (max(f.Rate, 1e-6) * float64(len(w.nodes))))
	var next func()
	next = func() {
		if a.over {
			return
		}
		if n := w.nodes[w.rng.IntN(len(w.nodes))]; n.up {
			w.effect("churned")
			back := w.between(500*time.Millisecond, 6*time.Second)
			if w.chance(0.5) {
				w.leave(n, back, w.chance(0.5))
			} else {
				w.crash(n, back, w.chance(0.5))
			}
		}
		w.later(time.Duration(w.rng.ExpFloat64()*float64(mean)), next)
	}
	w.later(time.Duration(w.rng.ExpFloat64()*float64(mean)), next)
	return true
}

func (w *world) startLeave(f Fault) bool {
	hit := false
	for _, i := range f.Nodes {
		if n := w.nodes[i]; n.up {
			hit = true
			w.leave(n, f.For, f.Wipe)
		}
	}
	return hit
}

// leave lets a node leave cleanly: it hands over and back, then stops.
func (w *world) leave(n *node, d time.Duration, wipe bool) {
	for _, h := range n.hosts {
		if h != nil {
			h.step(shard.HandOver{})
		}
	}
	if n.up {
		n.stepWorker(worker.HandBack{})
	}
	w.soon(n, leaveTakes, func() {
		n.stop(w.wipes(n, wipe))
		w.later(d, n.start)
	})
}

// startMixed takes a node away for so long that it is replaced, and while a
// group is being changed hits others: the one that leads it, a learner, or one
// named.
func (w *world) startMixed(f Fault) bool {
	first := w.nodes[f.Nodes[0]]
	if !first.up {
		return false
	}
	w.leave(first, f.For, f.Wipe)
	a := &ailment{f: f}
	w.ail(a)
	left := f.Nodes[1:]
	var look func()
	look = func() {
		if a.over || len(left) == 0 {
			return
		}
		if n := w.changing(w.nodes[left[0]]); n != nil && n.up {
			left = left[1:]
			w.effect("hit while a group changed")
			if w.chance(0.5) {
				w.leave(n, w.between(200*time.Millisecond, 3*time.Second), false)
			} else {
				w.crash(n, w.between(200*time.Millisecond, 3*time.Second), false)
			}
		}
		w.later(w.between(20*time.Millisecond, 200*time.Millisecond), look)
	}
	w.later(time.Second, look)
	return true
}

// changing returns a node to hit if some group is being changed, else nil.
func (w *world) changing(other *node) *node {
	for s := range w.cfg.Shards {
		h := w.leader(uint32(s))
		if h == nil || len(h.led.Learners) == 0 {
			continue
		}
		return []*node{h.n, w.byName(h.led.Learners[0]), other}[w.rng.IntN(3)]
	}
	return nil
}

// heal ends all faults and sets the clocks right; a node that stands still does so to its own end.
func (w *world) heal() {
	w.healed = true
	for len(w.ails) > 0 {
		w.cure(w.ails[0])
	}
	w.printf("healed")
	for _, n := range w.nodes {
		n.skew = n.own
	}
	for _, n := range w.nodes {
		if !n.up {
			n.start()
		}
	}
}
