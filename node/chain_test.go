package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/node/store"
)

// proofOf waits for the proof of a job through node i.
func proofOf(t *testing.T, c *nodetest.Cluster, i int, id string) []byte {
	t.Helper()
	var data []byte
	last := ""
	defer func() {
		if t.Failed() {
			t.Log("last refusal:", last)
		}
	}()
	c.Until("the proof of job "+id, func() bool {
		d, err := c.Node(i).Chain().Proof(t.Context(), id)
		if err != nil {
			last = err.Error()
			return false
		}
		data = d
		return true
	})
	return data
}

func networkOf(t *testing.T, c *nodetest.Cluster, i int) string {
	t.Helper()
	s, err := c.Node(i).Mesh().Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return s.Network
}

// entriesOf reads a shard's ledger as the leader has it, as text.
func entriesOf(t *testing.T, c *nodetest.Cluster, i, shard int) string {
	t.Helper()
	page, err := c.Node(i).Chain().LedgerEntries(t.Context(), api.EntryQuery{Shard: shard, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range page.Entries {
		fmt.Fprintf(&b, "%d %s %s %s\n", e.Seq, e.Hash, e.Signer, e.Reference)
	}
	return b.String()
}

func numberOf(t *testing.T, c *nodetest.Cluster, peer string, among ...int) int {
	t.Helper()
	for _, i := range among {
		if c.Node(i).PeerID().String() == peer {
			return i
		}
	}
	t.Fatalf("nobody is %s", peer)
	return 0
}

// ledgerOf reads the ledger that a node which is down has of shard 0, entry by
// entry, as it is stored.
func ledgerOf(t *testing.T, c *nodetest.Cluster, i int) (entries []string) {
	t.Helper()
	onDisk(t, c, i, func(l *ledger.Ledger, _ *store.Store) {
		tip, _, err := l.Tip(0)
		if err != nil {
			t.Fatal(err)
		}
		for seq := uint64(1); seq <= tip; seq++ {
			e, ok, err := l.Entry(0, seq)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				entries = append(entries, fmt.Sprintf("%d is missing", seq))
				continue
			}
			entries = append(entries, fmt.Sprintf("%d signer %q reference %s %x", seq, e.Signer, e.Reference, e.Encode()))
		}
	})
	return entries
}

// shelf is the part of a node's store in which its ledgers are.
type shelf struct{ s *store.Store }

const shelfName = "c/l/"

func (h shelf) Get(key []byte) ([]byte, bool, error) {
	return h.s.Get(append([]byte(shelfName), key...))
}

func (h shelf) Put(pairs ...ledger.Pair) error {
	b := h.s.NewBatch()
	for _, p := range pairs {
		b.Set(append([]byte(shelfName), p.Key...), p.Value)
	}
	return b.Commit(true)
}

// onDisk opens the store of a node that is down.
func onDisk(t *testing.T, c *nodetest.Cluster, i int, f func(*ledger.Ledger, *store.Store)) {
	t.Helper()
	s, err := store.Open(c.DataDir(i), store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f(ledger.New([32]byte{}, shelf{s}, nil), s)
}

const job3 = `{"name":"j","module":"$MODULE","tasks":3,"resources":{"cpu":1,"memory":"1MiB"}}`

// TestProofOutlivesTheCoordinator proves a job after the node that coordinated
// and anchored it is dead, through a node that never held the shard, and checks
// the proof without any node.
func TestProofOutlivesTheCoordinator(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := nodetest.New(t, 5, nodetest.Options{Shards: 2, Adjust: func(i int, cfg *config.Config) {
			cfg.Chain.BatchAge = 2 * time.Second
			if i == 4 {
				cfg.Roles = nil
			}
		}})
		defer c.Close()
		c.WaitReplicated()
		acc := c.Submit(4, job3)
		if j := c.Wait(4, acc.Job); j.State != api.JobCompleted {
			t.Fatalf("the job is %s", j.State)
		}
		if _, err := c.Node(4).Chain().Proof(t.Context(), acc.Job); err == nil || !strings.Contains(err.Error(), "wait for") {
			t.Errorf("a proof before the anchor: %v", err)
		}
		network := networkOf(t, c, 4)
		before := proofOf(t, c, 4, acc.Job)
		c.Kill(numberOf(t, c, acc.Coordinator, 0, 1, 2, 3))
		after := proofOf(t, c, 4, acc.Job)
		for name, data := range map[string][]byte{"before": before, "after": after} {
			v, err := node.VerifyProof(data, node.ProofRules{Network: network})
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(v.Records) != 6 || v.Job.String() != acc.Job {
				t.Errorf("%s: %d records of %v", name, len(v.Records), v.Job)
			}
		}
		after[len(after)/2] ^= 1
		if _, err := node.VerifyProof(after, node.ProofRules{Network: network}); err == nil {
			t.Error("a changed proof passes")
		}
		if _, err := node.VerifyProof(before, node.ProofRules{Network: strings.Repeat("ab", 32)}); err == nil {
			t.Error("another network's proof passes")
		}
	})
}

// gate is an anchor that takes nothing until it is opened; it remembers roots.
type gate struct {
	mu    sync.Mutex
	open  bool
	tried map[string]bool // by shard and number
	held  map[string]chain.Batch
}

func (g *gate) key(shard uint32, seq uint64) string { return fmt.Sprint(shard, "/", seq) }

func (g *gate) Submit(_ context.Context, b chain.Batch) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	k := g.key(b.Shard, b.Seq)
	g.tried[k] = true
	if !g.open {
		return errors.New("the chain does not answer")
	}
	if old, ok := g.held[k]; ok && old.Root != b.Root {
		return chain.ErrConflict
	}
	g.held[k] = b
	return nil
}

func (g *gate) Find(_ context.Context, _ [32]byte, shard uint32, seq uint64) (chain.Receipt, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	b, ok := g.held[g.key(shard, seq)]
	if !ok {
		return chain.Receipt{}, chain.ErrUnknown
	}
	return chain.Receipt{Seq: seq, Root: b.Root, Final: true, Reference: "gate:" + g.key(shard, seq)}, nil
}

func (g *gate) Head(context.Context, [32]byte, uint32) (chain.Receipt, error) {
	return chain.Receipt{}, chain.ErrUnknown
}

func (g *gate) set(open bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.open = open
}

// TestLeaderDiesBetweenCutAndAnchor kills the leader while a batch waits for a
// chain that does not answer: its successor has the same batch anchored, under
// the same entry, and every voter's ledger is the same.
func TestLeaderDiesBetweenCutAndAnchor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{open: true, tried: map[string]bool{}, held: map[string]chain.Batch{}}
		join := "" // of the first node when it comes back
		c := nodetest.New(t, 3, nodetest.Options{Shards: 1, Anchor: g, Adjust: func(i int, cfg *config.Config) {
			cfg.Chain.BatchAge = time.Second
			if i == 0 {
				cfg.Network.Join = join
			}
		}})
		defer c.Close()
		c.WaitReplicated()
		status := func(i int) api.ShardChain {
			s, err := c.Node(i).Chain().ChainStatus(t.Context())
			if err != nil || len(s.Shards) != 1 {
				return api.ShardChain{}
			}
			return s.Shards[0]
		}
		c.Until("the members' batches", func() bool { s := status(0); return s.Cut >= 2 && s.Pending == 0 })
		g.set(false)
		acc := c.Submit(0, job3)
		c.Wait(0, acc.Job)
		c.Until("a batch that waits", func() bool { s := status(0); return s.Pending > 0 && s.Open == 0 })
		waits := status(0)
		dead := numberOf(t, c, acc.Coordinator, 0, 1, 2)
		c.Kill(dead)
		door := (dead + 1) % 3
		c.Until("a successor with the same batch", func() bool { s := status(door); return s.Cut >= waits.Cut && s.Pending > 0 })
		g.set(true)
		c.Until("the anchor", func() bool { return status(door).Pending == 0 })
		data := proofOf(t, c, door, acc.Job)
		if _, err := node.VerifyProof(data, node.ProofRules{Network: networkOf(t, c, door)}); err != nil {
			t.Fatal(err)
		}
		want := entriesOf(t, c, door, 0)
		_, join, _ = strings.Cut(c.Node(door).JoinCommand(), "--join ")
		join = strings.Trim(join, "'")
		c.Restart(dead)
		c.WaitReplicated()
		// Each voter in turn is asked for the ledger as the only one to answer.
		for i := range 3 {
			c.Until(fmt.Sprintf("the same ledger on node %d", i), func() bool {
				got := entriesOf(t, c, i, 0)
				return strings.HasSuffix(got, want)
			})
			s, err := c.Node(i).Chain().ChainStatus(t.Context())
			if err != nil || s.Local != 0 {
				t.Errorf("node %d: %d mismatches, %v", i, s.Local, err)
			}
		}
	})
}
