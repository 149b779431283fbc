package apitest

import (
	"context"

	"github.com/ciro-network/ciro/node/api"
)

// ChainStatus is that of two shards, one of which did not answer.
func (b *Backend) ChainStatus(context.Context) (api.ChainStatus, error) {
	return api.ChainStatus{Network: "n3tw0rk", Anchor: "ledger", Unanswered: []int{1}, AsOf: api.At(Epoch), Shards: []api.ShardChain{
		{Shard: 0, Open: 3, Cut: 7, Anchored: 6, Pending: 1, Records: 2048, Head: "abcd", HeadAt: api.At(Epoch), From: 1},
	}}, b.failure()
}

// LedgerEntries is the one entry of shard 0.
func (b *Backend) LedgerEntries(_ context.Context, q api.EntryQuery) (api.LedgerEntries, error) {
	if q.Shard != 0 {
		return api.LedgerEntries{}, api.Refuse(api.CodeUnavailable, "ask for shard 0", "shard %d has no reachable coordinator", q.Shard)
	}
	return api.LedgerEntries{Entries: []api.LedgerEntry{{
		Shard: 0, Seq: 6, Term: 2, Records: 12, Root: "0x01", Hash: "abcd", Members: []string{"12D3Self"}, Signer: "12D3Self",
		Reference: "ledger:abcd", At: api.At(Epoch),
	}}}, b.failure()
}

// Proof is a text about a known job.
func (b *Backend) Proof(ctx context.Context, id string) ([]byte, error) {
	j, err := b.Describe(ctx, id, false)
	if err != nil {
		return nil, err
	}
	if !api.Terminal(j.State) {
		return nil, api.Refuse(api.CodeNotAnchored, "try again", "records of job %s wait for their anchor", j.ID)
	}
	return []byte("{\"job\":\"" + j.ID + "\"}\n"), nil
}
