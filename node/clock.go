package node

import (
	"fmt"
	"slices"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// maxSkew is how far a clock may be off the median of its peers' before its node
// asks for no votes and leads nothing.
const maxSkew = 10 * time.Second

// clockStep is by how much a wall clock must have moved against the monotonic
// one until its node tells the others what it shows now.
const clockStep = time.Second

// skew is what a node thinks of its own wall clock.
type skew struct {
	median time.Time     // origin of the clock in the middle; see Node.origin
	ahead  time.Duration // of that
	of     int           // clocks that were compared, its own included
}

// wrong says that the clock is too far off. Two clocks cannot say which of them
// is right.
func (s skew) wrong() bool { return s.of >= 3 && s.ahead.Abs() > maxSkew }

func (s skew) String() string {
	word := "ahead of"
	if s.ahead < 0 {
		word = "behind"
	}
	return fmt.Sprintf("%v %s the median of %d nodes", s.ahead.Abs().Round(time.Second), word, s.of)
}

// origin is what this node's wall clock would have shown at the monotonic
// moment at which the node started. Clocks are kept and compared so, which
// tells a clock that was set from time that has passed.
func (n *Node) origin() time.Time { return n.wall().Add(-time.Since(n.dir.start)) }

// wall reads the wall clock.
func (n *Node) wall() time.Time { return n.parts.Wall().Round(0) }

// judgeClock compares this node's clock with those of its peers, and says so
// when it is found wrong and when it is right again. When it was set, the others
// hear of it, and are believed only with what they then answer.
func (n *Node) judgeClock() {
	origin := n.origin()
	if d := origin.Sub(n.told); d.Abs() > clockStep {
		if !n.told.IsZero() {
			n.log.Info("the wall clock has moved against the monotonic one; comparing it with the peers'", "by", d)
		}
		n.told = origin
		n.greetAll()
		return
	}
	origins := []time.Time{origin}
	for _, m := range n.dir.members(true) {
		origins = append(origins, m.origin)
	}
	slices.SortFunc(origins, time.Time.Compare)
	median := origins[len(origins)/2]
	now := &skew{median, origin.Sub(median), len(origins)}
	switch before := n.skew.Swap(now); {
	case now.wrong() && !before.wrong():
		n.log.Warn("this node's clock is wrong: it coordinates nothing until that is mended", "clock", now.String())
	case before.wrong() && !now.wrong():
		n.log.Info("this node's clock is right again: it may coordinate", "clock", now.String())
	}
}

// clockCheck says in /health what judgeClock has found.
func (n *Node) clockCheck() api.Check {
	s := n.skew.Load()
	c := api.Check{Name: "clock", OK: !s.wrong(), Detail: "this node's clock agrees with its peers'"}
	switch {
	case !c.OK:
		c.Detail = fmt.Sprintf("this node's clock is %v; it leads no shard until the clock is set right, by NTP for example", s)
	case s.of < 3:
		c.Detail = "there are too few peers to compare this node's clock with"
	}
	return c
}
