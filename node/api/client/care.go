package client

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"

	"github.com/ciro-network/ciro/node/api"
)

// DryRun checks a job spec (JSON) and says who could run it.
func (c *Client) DryRun(ctx context.Context, spec json.RawMessage) (api.DryRun, error) {
	return answer[api.DryRun](c.do(ctx, request{method: http.MethodPost, path: "/jobs/dry-run",
		header: http.Header{"Content-Type": {"application/json"}}, body: bytes.NewReader(spec), size: int64(len(spec))}))
}

// Retry opens the next round of a failed job. Name the round, so that repeating
// is safe.
func (c *Client) Retry(ctx context.Context, id string, q api.RetryQuery) (api.Round, error) {
	query := url.Values{}
	if q.Task != nil {
		query.Set("task", strconv.Itoa(*q.Task))
	}
	if q.Round > 0 {
		query.Set("round", strconv.Itoa(q.Round))
	}
	return answer[api.Round](c.do(ctx, request{method: http.MethodPost, path: jobPath(id) + "/retry", query: query}))
}

// DeadLetters lists at most limit tasks that were given up.
func (c *Client) DeadLetters(ctx context.Context, limit int) (api.DeadLetterList, error) {
	return get[api.DeadLetterList](ctx, c, "/jobs/dead-letters", url.Values{"limit": {strconv.Itoa(limit)}})
}
