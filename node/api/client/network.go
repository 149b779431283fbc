package client

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"

	"github.com/ciro-network/ciro/node/api"
)

// post sends a JSON body.
func post(path string, v any) request {
	body, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("encode %T: %v", v, err)) // strings and numbers only
	}
	return request{method: http.MethodPost, path: path, header: http.Header{"Content-Type": {"application/json"}},
		body: bytes.NewReader(body), size: int64(len(body))}
}

// Recover looks at a shard whose voters in lost are gone for good, and with
// confirm begins it anew.
func (c *Client) Recover(ctx context.Context, shard int, lost []string, confirm bool) (api.Recovery, error) {
	return answer[api.Recovery](c.do(ctx, post(fmt.Sprintf("/network/shards/%d/recover", shard), map[string]any{"lost": lost, "confirm": confirm})))
}

// Admission says which coordinators may vote.
func (c *Client) Admission(ctx context.Context) (api.Admission, error) {
	return answer[api.Admission](c.do(ctx, request{method: http.MethodGet, path: "/network/admission"}))
}

// Allow lets a coordinator vote, or no more.
func (c *Client) Allow(ctx context.Context, peer string, allow bool) (api.Admission, error) {
	return answer[api.Admission](c.do(ctx, post("/network/admission", map[string]any{"peer": peer, "remove": !allow})))
}

// Leave gives up the node's replicas of shards.
func (c *Client) Leave(ctx context.Context) (api.Departure, error) {
	return answer[api.Departure](c.do(ctx, request{method: http.MethodPost, path: "/network/leave"}))
}
