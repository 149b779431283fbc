package client

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ciro-network/ciro/node/api"
)

// ChainStatus says how far the shards' ledgers are.
func (c *Client) ChainStatus(ctx context.Context) (api.ChainStatus, error) {
	return get[api.ChainStatus](ctx, c, "/chain/status", nil)
}

// LedgerEntries reads a page of a shard's ledger.
func (c *Client) LedgerEntries(ctx context.Context, q api.EntryQuery) (api.LedgerEntries, error) {
	v := url.Values{"shard": {strconv.Itoa(q.Shard)}}
	if q.Before > 0 {
		v.Set("before", strconv.FormatUint(q.Before, 10))
	}
	if q.Limit > 0 {
		v.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[api.LedgerEntries](ctx, c, "/chain/entries", v)
}

// Proof fetches a job's proof file.
func (c *Client) Proof(ctx context.Context, id string) ([]byte, error) {
	response, err := c.do(ctx, request{method: http.MethodGet, path: jobPath(id) + "/proof"})
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, maxDocument+1))
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if len(data) > maxDocument {
		return nil, fmt.Errorf("the proof of job %s is over %d bytes", id, maxDocument)
	}
	return data, nil
}
