package api

import (
	"context"
	"net/http"
	"strconv"

	"github.com/danielgtaylor/huma/v2"
)

// ProofType is the media type of a proof file.
const ProofType = "application/json"

type proofInput struct {
	ID string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
}

type entriesInput struct {
	Shard  int    `query:"shard" minimum:"0" maximum:"1023" doc:"The shard"`
	Before uint64 `query:"before" doc:"next of the page before; none begins with the newest"`
	Limit  int    `query:"limit" default:"50" minimum:"1" maximum:"1000" doc:"Page size"`
}

// chainRoutes registers the ledgers and proofs, and the names that earlier
// versions had for them.
func (s *Server) chainRoutes(desk huma.API) {
	for id, path := range map[string]string{"chain-status": "/chain/status", "blockchain-status": "/blockchain/status"} {
		call(s, desk, op(id, http.MethodGet, path, "How far the shards' ledgers are"), func(ctx context.Context, _ *nothing) (ChainStatus, error) {
			return s.cfg.Chain.ChainStatus(ctx)
		})
	}
	for id, path := range map[string]string{"chain-entries": "/chain/entries", "blockchain-transactions": "/blockchain/transactions"} {
		call(s, desk, op(id, http.MethodGet, path, "A shard's ledger, newest entries first"), func(ctx context.Context, in *entriesInput) (LedgerEntries, error) {
			return s.cfg.Chain.LedgerEntries(ctx, EntryQuery{Shard: in.Shard, Before: in.Before, Limit: in.Limit})
		})
	}
	call(s, desk, op("blockchain-metrics", http.MethodGet, "/blockchain/metrics", "The ledgers in numbers"), s.chainMetrics)
	raw(s, desk, answers(op("job-proof", http.MethodGet, "/jobs/{id}/proof", "The proof file of a job, for ciro chain verify"), ProofType, "The proof file"),
		func(w http.ResponseWriter, r *http.Request, in *proofInput) error {
			data, err := s.cfg.Chain.Proof(r.Context(), in.ID)
			if err != nil {
				return err
			}
			w.Header().Set("Content-Type", ProofType)
			w.Header().Set("Content-Length", strconv.Itoa(len(data)))
			_, _ = w.Write(data) // a failure means that the client is gone
			return nil
		})
}

// chainMetrics adds the shards up.
func (s *Server) chainMetrics(ctx context.Context, _ *nothing) (ChainMetrics, error) {
	status, err := s.cfg.Chain.ChainStatus(ctx)
	out := ChainMetrics{Mismatches: status.Local}
	for _, c := range status.Shards {
		out.Batches += c.Anchored
		out.Records += c.Records
		out.Pending += c.Pending
		out.Open += c.Open
	}
	return out, err
}
