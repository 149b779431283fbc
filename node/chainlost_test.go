package node_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/node/store"
)

// ledgerMesh is three coordinators and a door, one shard, and a batch every
// second; only the last three batches are kept whole.
func ledgerMesh(t *testing.T, logs *[6]journal, f func(t *testing.T, c *nodetest.Cluster)) {
	synctest.Test(t, func(t *testing.T) {
		join := ""
		c := nodetest.New(t, 4, nodetest.Options{
			Shards: 1,
			Log:    func(i int) *slog.Logger { return slog.New(slog.NewTextHandler(&logs[i], nil)) },
			Adjust: func(i int, cfg *config.Config) {
				cfg.Chain.BatchAge, cfg.Chain.KeepBatches = time.Second, 3
				switch {
				case i == 3:
					cfg.Roles = nil
				case i == 0:
					cfg.Network.Join = join
				}
			},
		})
		defer c.Close()
		c.WaitReplicated()
		_, join, _ = strings.Cut(c.Node(3).JoinCommand(), "--join ")
		join = strings.Trim(join, "'")
		f(t, c)
	})
}

// cutSome has some batches cut, anchored and taken by all.
func cutSome(t *testing.T, c *nodetest.Cluster, n int) {
	t.Helper()
	for range n {
		c.Wait(3, c.Submit(3, job3).Job)
		time.Sleep(2 * time.Second)
	}
	c.Until("everything is anchored", func() bool {
		s, err := c.Node(3).Chain().ChainStatus(t.Context())
		return err == nil && len(s.Shards) == 1 && s.Shards[0].Pending == 0 && s.Shards[0].Open == 0
	})
	time.Sleep(10 * time.Second) // followers take it a little later
}

// sameLedgers ends the nodes and compares what they have on disk, byte by byte.
func sameLedgers(t *testing.T, c *nodetest.Cluster, least int, nodes ...int) {
	t.Helper()
	for _, i := range nodes {
		c.Kill(i)
	}
	want := ledgerOf(t, c, nodes[0])
	if len(want) < least {
		t.Errorf("the ledger has %d entries, not %d: %q", len(want), least, want)
	}
	for _, i := range nodes {
		got := ledgerOf(t, c, i)
		for k := range max(len(want), len(got)) {
			if k >= len(got) || k >= len(want) || got[k] != want[k] || strings.HasSuffix(got[k], "missing") {
				t.Errorf("entry %d of node %d differs from node %d's; they have %d and %d entries\n%q\n%q", k+1, i, nodes[0], len(got), len(want), got[min(k, len(got)):min(k+1, len(got))], want[min(k, len(want)):min(k+1, len(want))])
				break
			}
		}
	}
}

// TestLedgerOfNewVoter lets a coordinator leave and another take its place after
// most batches are only entries any more: it has the same ledger, byte for byte.
func TestLedgerOfNewVoter(t *testing.T) {
	var logs [6]journal
	ledgerMesh(t, &logs, func(t *testing.T, c *nodetest.Cluster) {
		cutSome(t, c, 8)
		four := c.Add()
		time.Sleep(3 * time.Second)
		if d, err := c.Node(1).Network().Leave(t.Context()); err != nil || len(d.Kept) > 0 {
			t.Fatalf("%+v, %v", d, err)
		}
		c.Stop(1)
		c.WaitReplicated()
		cutSome(t, c, 2)
		sameLedgers(t, c, 10, 0, 2, four)
	})
}

// losses are ways in which a voter loses its ledger, or a part of it.
var losses = map[string]func(s *store.Store, l *ledger.Ledger, b *store.Batch){
	"all of it": func(_ *store.Store, _ *ledger.Ledger, b *store.Batch) {
		b.DeleteRange([]byte(shelfName), []byte("c/l0"))
	},
	"all of it and its batches": func(_ *store.Store, _ *ledger.Ledger, b *store.Batch) {
		b.DeleteRange([]byte("c/"), []byte("c0"))
	},
	"the newest entry": func(_ *store.Store, l *ledger.Ledger, b *store.Batch) {
		tip, _, _ := l.Tip(0) // checked by ledgerOf
		b.Delete(entryName(tip))
	},
	"one in the middle": func(_ *store.Store, _ *ledger.Ledger, b *store.Batch) { b.Delete(entryName(4)) },
	"the first":         func(_ *store.Store, _ *ledger.Ledger, b *store.Batch) { b.Delete(entryName(1)) },
}

// entryName is the name of an entry of shard 0 in the store.
func entryName(seq uint64) []byte {
	return append([]byte(shelfName+"e\x00\x00\x00\x00"), byte(seq>>56), byte(seq>>48), byte(seq>>40), byte(seq>>32), byte(seq>>24), byte(seq>>16), byte(seq>>8), byte(seq))
}

// TestLostLedger takes a voter's ledger from its disk, wholly or in part: it has
// the same again, from the others, whether it then leads or follows.
func TestLostLedger(t *testing.T) {
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			var logs [6]journal
			ledgerMesh(t, &logs, func(t *testing.T, c *nodetest.Cluster) {
				cutSome(t, c, 7)
				acc := c.Submit(3, job3)
				loser := numberOf(t, c, acc.Coordinator, 0, 1, 2)
				if len(name)%2 == 0 { // some are the coordinator's, some a follower's
					loser = (loser + 1) % 3
				}
				c.Wait(3, acc.Job)
				time.Sleep(5 * time.Second)
				c.Kill(loser)
				onDisk(t, c, loser, func(l *ledger.Ledger, s *store.Store) {
					b := s.NewBatch()
					lose(s, l, b)
					if err := b.Commit(true); err != nil {
						t.Fatal(err)
					}
				})
				c.Restart(loser)
				c.Heal()
				c.WaitReplicated()
				cutSome(t, c, 2)
				if _, k := checkOf(t, c, loser, "ledger"); !k.OK {
					t.Errorf("a ledger that is only lost is called wrong: %s", k.Detail)
				}
				sameLedgers(t, c, 9, 0, 1, 2)
			})
		})
	}
}

// TestChangedLedger changes an entry on a voter's disk: the node says by name
// that its ledger is wrong, builds nothing on it, and the others go on.
func TestChangedLedger(t *testing.T) {
	for _, at := range []uint64{0, 4} { // the newest, and one in the middle
		t.Run(fmt.Sprint("entry ", at), func(t *testing.T) {
			var logs [6]journal
			ledgerMesh(t, &logs, func(t *testing.T, c *nodetest.Cluster) { changedLedger(t, c, &logs, at) })
		})
	}
}

func changedLedger(t *testing.T, c *nodetest.Cluster, logs *[6]journal, at uint64) {
	cutSome(t, c, 7)
	const bad = 1
	c.Kill(bad)
	onDisk(t, c, bad, func(l *ledger.Ledger, s *store.Store) {
		tip, _, err := l.Tip(0)
		if err != nil {
			t.Fatal(err)
		}
		seq := at
		if seq == 0 {
			seq = tip
		}
		e, ok, err := l.Entry(0, seq)
		if err != nil || !ok {
			t.Fatal(ok, err)
		}
		e.Root[31] ^= 1
		pairs := []ledger.Pair{{Key: entryName(seq)[len(shelfName):], Value: e.Encode()}}
		if seq == tip { // and what the ledger goes on from
			x, _, err := (shelf{s}).Get([]byte("x\x00\x00\x00\x00"))
			hash := e.Hash()
			if err != nil || len(x) != 48 {
				t.Fatal(len(x), err)
			}
			pairs = append(pairs, ledger.Pair{Key: []byte("x\x00\x00\x00\x00"), Value: append(slices.Clone(x[:16]), hash[:]...)})
		}
		if err := (shelf{s}).Put(pairs...); err != nil {
			t.Fatal(err)
		}
	})
	c.Restart(bad)
	c.Heal()
	c.Until("health names the ledger", func() bool {
		h, k := checkOf(t, c, bad, "ledger")
		return !k.OK && h.Status == api.HealthFailing && strings.Contains(k.Detail, "LEDGER MISMATCH") && strings.Contains(k.Detail, "shards 0")
	})
	s, err := c.Node(bad).Chain().ChainStatus(t.Context())
	if err != nil || s.Local == 0 || !slices.Equal(s.LocalShards, []int{0}) {
		t.Errorf("the chain's status has %d mismatches in shards %v, %v", s.Local, s.LocalShards, err)
	}
	if logs[bad].count("LEDGER MISMATCH") == 0 {
		t.Error("the log does not say so")
	}
	// Whoever leads, the shard's own ledger goes on, and the wrong one is never
	// what it is made of.
	for range 3 {
		cutSome(t, c, 1)
		if _, k := checkOf(t, c, bad, "ledger"); k.OK {
			t.Error("the mismatch is forgotten")
		}
	}
	for _, i := range []int{0, 2} {
		if _, k := checkOf(t, c, i, "ledger"); !k.OK {
			t.Errorf("node %d: %s", i, k.Detail)
		}
	}
	sameLedgers(t, c, 10, 0, 2)
}
