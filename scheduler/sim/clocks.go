package sim

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/shard"
)

// maxSkew is how far a wall clock may be off the median of its peers'.
const maxSkew = 10 * time.Second

func (n *node) moment() shard.Now {
	mono := n.mono()
	return shard.Now{Mono: mono, Wall: epoch + mono.Milliseconds() + n.skew}
}

// clock is a node's monotonic clock: it showed mono at a virtual time and runs
// at a rate since.
type clock struct {
	at, mono time.Duration
	rate     float64 // 0: 1
}

// mono reads the node's monotonic clock.
func (n *node) mono() time.Duration {
	past := n.w.now - n.clock.at
	if r := n.clock.rate; r != 0 {
		past = time.Duration(float64(past) * r)
	}
	return n.clock.mono + past
}

// when is the virtual time at which the clock will show mono, rounded up.
func (n *node) when(mono time.Duration) time.Duration {
	left := mono - n.clock.mono
	if r := n.clock.rate; r != 0 {
		left = time.Duration(float64(left)/r) + 1
	}
	return n.clock.at + left
}

// pace lets the clock run at another rate from now on.
func (n *node) pace(rate float64) { n.clock = clock{n.w.now, n.mono(), rate} }

// startJump sets wall clocks off, until everything is healed.
func (w *world) startJump(f Fault) bool {
	for _, i := range f.Nodes {
		w.nodes[i].skew += f.By.Milliseconds()
	}
	w.jumped = true
	return true
}

// compareClocks finds what the median of this node's and its peers' wall clocks
// shows, and whether this node's is too far off that. Before any has jumped all
// are right.
func (n *node) compareClocks() {
	w := n.w
	if !w.jumped {
		return
	}
	clocks := []int64{n.moment().Wall}
	for i, m := range n.peers {
		if m != n && !slices.Contains(n.peers[:i], m) && w.linked(n, m) {
			clocks = append(clocks, m.moment().Wall)
		}
	}
	slices.Sort(clocks)
	n.median, n.compared = clocks[len(clocks)/2]-w.now.Milliseconds(), len(clocks)
	n.wrong = n.off(n)
	if n.wrong {
		w.effect("clocks found wrong")
	}
}

// off says whether a node's clock is too far off the median that n has found.
func (n *node) off(m *node) bool {
	d := m.moment().Wall - n.w.now.Milliseconds() - n.median
	return n.compared >= 3 && max(d, -d) > maxSkew.Milliseconds()
}

// judged takes note of what a replica is about to hear of its clock, and keeps
// it from the replica if that is the planted bug.
func (h *host) judged(ev shard.Event) shard.Event {
	d, ok := ev.(shard.Directory)
	if !ok {
		return ev
	}
	h.skewed = d.Skewed
	if h.n.w.cfg.Mutation == CampaignSkewed {
		d.Skewed = false
	}
	return d
}
