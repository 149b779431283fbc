package node_test

import (
	"bytes"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
)

// journal keeps what one node logs.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

// count says how many lines hold a text.
func (j *journal) count(what string) (n int) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for line := range strings.Lines(j.text.String()) {
		if strings.Contains(line, what) {
			n++
		}
	}
	return n
}

// checkOf finds a check in a node's health.
func checkOf(t *testing.T, c *nodetest.Cluster, i int, name string) (api.Health, api.Check) {
	t.Helper()
	h, err := c.Node(i).Mesh().Health(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range h.Checks {
		if k.Name == name {
			return h, k
		}
	}
	t.Fatalf("node %d has no check %q: %+v", i, name, h.Checks)
	return h, api.Check{}
}

// leads says how many shards a node leads.
func leads(t *testing.T, c *nodetest.Cluster, i int) int {
	t.Helper()
	s, err := c.Node(i).Mesh().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return len(s.Leads)
}

// TestWrongClockDoesNotCoordinate sets the clock of a node that leads, forward
// and back: it gives its shards away, says why, does not campaign when their
// leader dies but votes for the next one, and leads again when its clock is
// right.
func TestWrongClockDoesNotCoordinate(t *testing.T) {
	for _, by := range []time.Duration{25 * time.Second, -time.Hour} {
		t.Run(by.String(), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { wrongClock(t, by) }) })
	}
}

func wrongClock(t *testing.T, by time.Duration) {
	var logs [4]journal
	c := nodetest.New(t, 4, nodetest.Options{
		Shards: 6,
		Log:    func(i int) *slog.Logger { return slog.New(slog.NewTextHandler(&logs[i], nil)) },
		Adjust: func(i int, cfg *config.Config) {
			if i == 3 {
				cfg.Roles = nil // the door; a clock to compare with
			}
		},
	})
	defer c.Close()
	c.WaitReplicated()
	order := []int{0, 1, 2} // who has the wrong clock and who dies lead something
	c.Until("two coordinators lead", func() bool {
		slices.SortFunc(order, func(x, y int) int { return leads(t, c, y) - leads(t, c, x) })
		return leads(t, c, order[1]) > 0
	})
	off, dies, right := order[0], order[1], order[2]
	c.Skew(off, by/5) // within bounds, or not
	time.Sleep(5 * time.Second)
	if _, k := checkOf(t, c, off, "clock"); k.OK != (by.Abs() < time.Minute) {
		t.Errorf("with a clock that is %v off: %+v", by/5, k)
	}
	c.Skew(off, by)
	c.Until("the node with the wrong clock knows how wrong it is", func() bool {
		_, k := checkOf(t, c, off, "clock")
		return strings.Contains(k.Detail, by.Abs().String())
	})
	c.Until("it leads nothing", func() bool { return leads(t, c, off) == 0 })
	h, k := checkOf(t, c, off, "clock")
	if h.Status != api.HealthDegraded || k.OK || !strings.Contains(k.Detail, "median of 4 nodes") {
		t.Errorf("health is %s, the clock %+v", h.Status, k)
	}
	if n := logs[off].count("this node's clock is wrong"); n != 1 {
		t.Errorf("it said %d times that its clock is wrong", n)
	}
	if _, k := checkOf(t, c, right, "clock"); !k.OK {
		t.Errorf("a node whose clock is right: %+v", k)
	}
	c.Kill(dies)
	for range 300 { // half a minute in which it might campaign
		if leads(t, c, off) > 0 {
			t.Fatal("a node with a wrong clock leads")
		}
		time.Sleep(100 * time.Millisecond)
	}
	if n := leads(t, c, right); n != 6 {
		t.Errorf("the node with the right clock leads %d of 6 shards", n)
	}
	if j := c.Wait(3, c.Submit(3, array).Job); j.State != api.JobCompleted {
		t.Errorf("the job is %s: %+v", j.State, j.Reason)
	}
	c.Skew(off, 0)
	c.Until("the clock is right again", func() bool { _, k := checkOf(t, c, off, "clock"); return k.OK })
	if n := logs[off].count("this node's clock is right again"); n != 1 {
		t.Errorf("it said %d times that its clock is right again", n)
	}
	c.Restart(dies)
	c.Heal()
	c.WaitReplicated()
	c.Kill(right)
	if logs[right].count("this node's clock is wrong") > 0 {
		t.Error("another took its own clock for wrong")
	}
	c.Skew(dies, by) // nobody else is left to lead
	c.Until("the node leads all", func() bool { return leads(t, c, off) == 6 })
}
