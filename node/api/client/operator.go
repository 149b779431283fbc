package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ciro-network/ciro/node/api"
)

// Drain has the node take nothing new (on), or take tasks again.
func (c *Client) Drain(ctx context.Context, on bool) (api.Worker, error) {
	path := "/workers/self/resume"
	if on {
		path = "/workers/self/drain"
	}
	return answer[api.Worker](c.do(ctx, request{method: http.MethodPost, path: path}))
}

// Offer changes what the node offers to jobs; nil goes back to its
// configuration.
func (c *Client) Offer(ctx context.Context, change *api.Offering) (api.Worker, error) {
	if change == nil {
		return answer[api.Worker](c.do(ctx, request{method: http.MethodPost, path: "/workers/self/reset"}))
	}
	body, err := json.Marshal(change)
	if err != nil {
		return api.Worker{}, fmt.Errorf("offer: %w", err)
	}
	return answer[api.Worker](c.do(ctx, request{method: http.MethodPost, path: "/workers", header: http.Header{"Content-Type": {"application/json"}},
		body: bytes.NewReader(body), size: int64(len(body))}))
}

// Usage is what content takes on the node, after a collection if wanted.
func (c *Client) Usage(ctx context.Context, collect bool) (api.BlobUsage, error) {
	if !collect {
		return get[api.BlobUsage](ctx, c, "/blobs", nil)
	}
	return answer[api.BlobUsage](c.do(ctx, request{method: http.MethodPost, path: "/blobs/collect"}))
}

// Worker is one worker, by its id or self for the node's own.
func (c *Client) Worker(ctx context.Context, id string) (api.Worker, error) {
	return get[api.Worker](ctx, c, "/workers/"+id, nil)
}
