// Package nodetest makes clusters of whole nodes for tests: in a testing/synctest
// bubble, on a simulated network, with real disks and a scripted executor.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := nodetest.New(t, 3, nodetest.Options{})
//		defer c.Close() // inside the bubble: nothing may outlive it
//		c.WaitReplicated()
//		...
//	})
//
// Node 0 founds the network and the others join through it. Use a Cluster from
// the test's goroutine. Runs do not repeat exactly, since libp2p and Raft draw
// from crypto/rand: assert properties, not traces.
package nodetest

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
)

// latency is what a packet takes one way.
const latency = 5 * time.Millisecond

// Options say what a cluster is like.
type Options struct {
	// Shards of the network; 0 is 2.
	Shards int
	// Executor runs the tasks of all nodes; nil prints "done" after a second.
	Executor *Executor
	// Anchor is the anchor of all nodes; nil is the embedded ledger.
	Anchor chain.Anchor
	// Log takes what node i logs; nil discards it.
	Log func(i int) *slog.Logger
	// FreeDisk is the room that node i finds on its disk; nil asks the machine.
	FreeDisk func(i int) uint64
	// Adjust changes the configuration of node i before each of its starts.
	Adjust func(i int, c *config.Config)
}

// Cluster is some nodes on one simulated network.
type Cluster struct {
	t    testing.TB
	net  *p2ptest.Net
	opts Options
	dir  string
	all  []*member
}

// member is one node over all its lives.
type member struct {
	skew   atomic.Int64 // of its wall clock, nanoseconds
	node   *node.Node   // nil while it is down
	host   *p2p.Host    // stands for the node's place in the network
	cancel context.CancelFunc
	ended  chan error
}

// New founds a network and joins n-1 nodes to it.
func New(t testing.TB, n int, opts Options) *Cluster {
	t.Helper()
	if opts.Shards == 0 {
		opts.Shards = 2
	}
	if opts.Executor == nil {
		opts.Executor = &Executor{}
	}
	c := &Cluster{t: t, net: p2ptest.New(t, latency), opts: opts, dir: t.TempDir()}
	for range n {
		c.Add()
	}
	return c
}

// Add joins one more node through node 0 and returns its number.
func (c *Cluster) Add() int {
	c.t.Helper()
	c.all = append(c.all, &member{})
	c.Restart(len(c.all) - 1)
	return len(c.all) - 1
}

// Node returns a running node.
func (c *Cluster) Node(i int) *node.Node { return c.all[i].node }

// DataDir is the data directory of node i.
func (c *Cluster) DataDir(i int) string { return filepath.Join(c.dir, strconv.Itoa(i)) }

// Restart starts node i from its disk; it must be down.
func (c *Cluster) Restart(i int) {
	c.t.Helper()
	if err := c.TryRestart(i); err != nil {
		c.t.Fatal(err)
	}
}

// TryRestart is Restart with an error when the node does not start.
func (c *Cluster) TryRestart(i int) error {
	m := c.all[i]
	cfg := config.Default("test")
	cfg.DataDir, cfg.Name, cfg.API.Listen = c.DataDir(i), "n"+strconv.Itoa(i), nil
	cfg.Network.Shards = c.opts.Shards
	cfg.Worker.CPUs, cfg.Worker.Memory, cfg.Worker.Disk, cfg.Worker.Slots = 4, 4<<30, 4<<30, 4
	if i > 0 && c.all[0].node != nil {
		_, address, _ := strings.Cut(c.all[0].node.JoinCommand(), "--join ")
		cfg.Network.Join = strings.Trim(address, "'")
	}
	if c.opts.Adjust != nil {
		c.opts.Adjust(i, &cfg)
	}
	var log *slog.Logger
	if c.opts.Log != nil {
		log = c.opts.Log(i)
	}
	parts := node.Parts{
		Version: "test", Log: log, Wall: func() time.Time { return time.Now().Round(0).Add(time.Duration(m.skew.Load())) },
		Executor: c.opts.Executor, Ask: c.ask, Anchor: c.opts.Anchor,
		P2P: func(p *p2p.Config) { m.host = c.place(p.Key, p) },
	}
	if c.opts.FreeDisk != nil {
		parts.FreeDisk = func(string) (uint64, error) { return c.opts.FreeDisk(i), nil }
	}
	n, err := node.NewWith(context.Background(), cfg, parts)
	if err != nil {
		return fmt.Errorf("start node %d: %w", i, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	m.node, m.cancel, m.ended = n, cancel, make(chan error, 1)
	go func(ended chan<- error) { ended <- n.Run(ctx) }(m.ended)
	return nil
}

// place gives a host's configuration an address and a transport of its own in
// the simulated network. The host that it returns has ended; it stands for the
// address in Cut.
func (c *Cluster) place(key crypto.PrivKey, p *p2p.Config) *p2p.Host {
	var made *p2p.Config
	h := c.net.HostWithKey(key, func(m *p2p.Config) { made = m })
	c.net.Stop(h)
	p.Listen, p.Options, p.TestTransport, p.MDNS = made.Listen, made.Options, true, false
	return h
}

// Stop ends node i cleanly, as SIGTERM does.
func (c *Cluster) Stop(i int) {
	c.t.Helper()
	c.all[i].cancel()
	c.join(i)
}

// Kill ends node i as SIGKILL does: nobody hears of it, nothing is handed over.
func (c *Cluster) Kill(i int) {
	c.t.Helper()
	c.net.Cut(c.all[i].host)
	c.all[i].node.Abort()
	c.join(i)
}

func (c *Cluster) join(i int) {
	c.t.Helper()
	if err := c.Ended(i); err != nil {
		c.t.Errorf("node %d: %v", i, err)
	}
}

// Ended waits for the end of node i, which ends by itself, and returns what its
// Run returned.
func (c *Cluster) Ended(i int) error {
	m := c.all[i]
	err := <-m.ended
	m.cancel()
	m.node = nil
	return err
}

// Cut separates nodes from all others; what crosses is lost silently.
func (c *Cluster) Cut(nodes ...int) {
	for _, i := range nodes {
		c.net.Cut(c.all[i].host)
	}
}

// Skew sets the wall clock of node i off by d, also for its later lives.
func (c *Cluster) Skew(i int, d time.Duration) { c.all[i].skew.Store(int64(d)) }

// Heal ends every cut.
func (c *Cluster) Heal() { c.net.Heal() }

// Close ends all nodes and the network.
func (c *Cluster) Close() {
	c.t.Helper()
	for i, m := range c.all {
		if m.node != nil {
			c.Kill(i)
		}
	}
	c.net.Close()
}

// Until waits for something, for at most two minutes of virtual time.
func (c *Cluster) Until(what string, ok func() bool) {
	c.t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if ok() {
			return
		}
		<-tick.C
	}
	c.t.Fatalf("it did not come to pass: %s", what)
}

// WaitReplicated waits until every running node sees every shard with all the
// voters that it should have, which are three as soon as three coordinators run:
// a node alone cannot know how many others are about to join.
func (c *Cluster) WaitReplicated() {
	c.t.Helper()
	c.Until("full replication", func() bool {
		coordinators, fewest := 0, 3
		for _, m := range c.all {
			if m.node == nil {
				continue
			}
			h, err := m.node.Mesh().Health(c.t.Context())
			s, err2 := m.node.Mesh().Status(c.t.Context())
			l, err3 := m.node.Mesh().Shards(c.t.Context())
			if err != nil || err2 != nil || err3 != nil || !h.FullyReplicated {
				return false
			}
			if slices.Contains(s.Roles, config.RoleCoordinator) {
				coordinators++
			}
			for _, k := range l.Shards {
				fewest = min(fewest, k.Target)
			}
		}
		return fewest >= 3 || coordinators < 3
	})
}

// Submit stores a module on node i and submits a job through it. The text is
// the job's document in JSON with $MODULE for the module's CID.
func (c *Cluster) Submit(i int, text string) api.Acceptance {
	c.t.Helper()
	acc, err := c.TrySubmit(i, text, "")
	if err != nil {
		c.t.Fatalf("submit through node %d: %v", i, err)
	}
	return acc
}

// TrySubmit is Submit with an idempotency key, or "", and an error.
func (c *Cluster) TrySubmit(i int, text, key string) (api.Acceptance, error) {
	n := c.all[i].node
	b, err := n.Blobs().Put(c.t.Context(), strings.NewReader("\x00asm\x01\x00\x00\x00"))
	if err != nil {
		return api.Acceptance{}, err
	}
	text = strings.ReplaceAll(text, "$MODULE", b.CID)
	return n.Jobs().Submit(c.t.Context(), api.Submission{Spec: []byte(text), IdempotencyKey: key})
}

// Wait follows a job through node i until it has ended and describes it.
func (c *Cluster) Wait(i int, id string) api.Job {
	c.t.Helper()
	var j api.Job
	c.Until("the end of job "+id, func() bool {
		d, err := c.all[i].node.Jobs().Describe(c.t.Context(), id, false)
		j = d
		return err == nil && api.Terminal(d.State)
	})
	return j
}
