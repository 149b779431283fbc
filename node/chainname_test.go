package node_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/nodetest"
)

// TestUnnamedLeader has nodes lead before any batch that names them is anchored,
// since the chain does not answer: they must not sign that one themselves, or
// nobody could ever follow the signatures back to the founder.
func TestUnnamedLeader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := &gate{tried: map[string]bool{}, held: map[string]chain.Batch{}}
		c := nodetest.New(t, 3, nodetest.Options{Shards: 4, Anchor: g, Adjust: func(_ int, cfg *config.Config) {
			cfg.Chain.BatchAge = time.Second
		}})
		defer c.Close()
		c.WaitReplicated()
		var ids []string
		seen := map[int]bool{}
		for len(seen) < 4 {
			j := c.Wait(0, c.Submit(0, job3).Job)
			ids, seen[j.Shard] = append(ids, j.ID), true
		}
		time.Sleep(70 * time.Second) // virtual: leaderships are spread again
		g.set(true)
		for _, id := range ids {
			data := proofOf(t, c, 0, id)
			if _, err := node.VerifyProof(data, node.ProofRules{Network: networkOf(t, c, 0)}); err != nil {
				t.Errorf("job %s: %v", id, err)
			}
		}
	})
}
