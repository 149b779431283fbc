package shard_test

import (
	"testing"
	"testing/cryptotest"
	"time"

	"github.com/ciro-network/ciro/scheduler/shard"
)

// TestHeardAfterStandstill stops a leader for a while after a voter has died. The
// dead one gets its whole patience again, since the leader was not there to hear
// it; but nobody may say for that that it is heard: who waits for a complete
// group before doing harm to another disk would lose a majority.
func TestHeardAfterStandstill(t *testing.T) {
	cryptotest.SetGlobalRandom(t, 1)
	b := newBus(t, shard.Params{})
	for _, c := range [][]string{{"found", "a"}, {"candidates", "a", "b", "c"}, {"nodes", "b", "c"}, {"run", "6s"}} {
		b.command(c)
	}
	lead := b.leader()
	if n := lead.rep.Heard(); n != 3 {
		t.Fatalf("%d of 3 voters are heard", n)
	}
	for _, n := range b.names {
		if n != lead.peer {
			b.boxes[n].down = true
			break
		}
	}
	b.run(3 * time.Second)
	lead.down = true
	b.run(8 * time.Second)
	lead.down = false
	for range 200 {
		b.run(hop)
		if n := lead.rep.Heard(); n > 2 {
			t.Fatalf("%d voters are said to be heard, and one is dead", n)
		}
	}
	if h := lead.rep.Health(); !h.Mine || lead.rep.Heard() != 2 || h.Live != 3 {
		t.Errorf("in the end %d voters are heard and %d counted on, leading: %v", lead.rep.Heard(), h.Live, h.Mine)
	}
}
