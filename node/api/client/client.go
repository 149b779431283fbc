// Package client speaks to a node's HTTP interface (package api) from Go.
//
// A [Client] is one node's address and a token. It implements the same small
// interfaces as the node itself (api.Jobs, api.Logs, api.Mesh), so code written
// against them runs inside a node and outside alike. What the node refuses comes
// back as *api.Refusal; what cannot be reached, as a refusal with code
// unavailable that names the address.
//
// [Client.Watch] is the call that survives: it reconnects with its cursor, backs
// off between attempts, and ends with the job, with ctx, or with a refusal that
// trying again does not cure. Everything else is tried once; submit again with
// the same idempotency key when the outcome is unknown.
//
// A client holds no goroutine between calls and may be used by many at once.
package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// maxDocument bounds a JSON answer: a list of 1,000 jobs, a job of 10,000 tasks.
const maxDocument = 64 << 20

// Notice is told when Watch lost its connection and tries again after wait.
// It is called from the watching goroutine.
type Notice func(cause error, wait time.Duration)

// Client is one node's interface. Make it with [New].
type Client struct {
	base   *url.URL
	token  string
	http   *http.Client
	notice Notice
	first  time.Duration // Watch's first back-off
	last   time.Duration // and its longest
}

var (
	_ api.Jobs = (*Client)(nil)
	_ api.Logs = (*Client)(nil)
	_ api.Mesh = (*Client)(nil)

	_ api.Advice = (*Client)(nil)
	_ api.Rounds = (*Client)(nil)

	_ api.Operator = (*Client)(nil)
	_ api.Chain    = (*Client)(nil)
)

// New makes a client for the node at base ("http://127.0.0.1:8080", or just
// host:port). token may be empty. It does not connect.
func New(base, token string) (*Client, error) {
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u, err := url.Parse(base)
	if err != nil {
		return nil, fmt.Errorf("API address %q: %w", base, err)
	}
	if u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return nil, fmt.Errorf("API address %q is not an http address; give host:port", base)
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &Client{base: u, token: token, first: 100 * time.Millisecond, last: 5 * time.Second,
		http: &http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, MaxIdleConnsPerHost: 64,
			IdleConnTimeout: 30 * time.Second}}}, nil
}

// OnRetry sets who is told when Watch reconnects. Call it before the client is
// used.
func (c *Client) OnRetry(n Notice) { c.notice = n }

// DialWith sets how connections are made, for nodes that are reached through a
// tunnel or in another network namespace. Call it before the client is used.
func (c *Client) DialWith(dial func(ctx context.Context, network, address string) (net.Conn, error)) {
	c.http.Transport = &http.Transport{DialContext: dial, MaxIdleConnsPerHost: 64, IdleConnTimeout: 30 * time.Second}
}

// Close lets idle connections go. The client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Addr is the node's address as given, for messages.
func (c *Client) Addr() string { return c.base.Host }

// request is one call: path segments are escaped by who builds the path.
type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   io.Reader
	size   int64 // of body; -1 when unknown
}

// do sends a request and returns the answer if it is a success, or the refusal.
// The caller closes the body.
func (c *Client) do(ctx context.Context, q request) (*http.Response, error) {
	target := c.base.JoinPath().String()
	target = strings.TrimSuffix(target, "/") + q.path
	if len(q.query) > 0 {
		target += "?" + q.query.Encode()
	}
	r, err := http.NewRequestWithContext(ctx, q.method, target, q.body)
	if err != nil {
		return nil, fmt.Errorf("request %s: %w", q.path, err)
	}
	for name, values := range q.header {
		r.Header[name] = values
	}
	if q.body != nil {
		r.ContentLength = q.size
	}
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, c.unreachable(ctx, err)
	}
	if response.StatusCode < 300 {
		return response, nil
	}
	defer response.Body.Close()
	return nil, refusal(response)
}

// unreachable says which node did not answer; a context's end stays one.
func (c *Client) unreachable(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	var urlErr *url.Error
	if errors.As(err, &urlErr) {
		err = urlErr.Err
	}
	return &unreachableError{refusal: api.Refuse(api.CodeUnavailable, "start one with ciro start, or name it with --api",
		"no node answers at %s", c.base.Host), cause: err}
}

// unreachableError is a refusal of our own making with its cause.
type unreachableError struct {
	refusal *api.Refusal
	cause   error
}

func (e *unreachableError) Error() string   { return e.refusal.Error() }
func (e *unreachableError) Unwrap() []error { return []error{e.refusal, e.cause} }

// refusal reads the problem document of an answer, or makes one of its status.
func refusal(r *http.Response) *api.Refusal {
	var p api.Problem
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")) // an unreadable one is none
	data, err := io.ReadAll(io.LimitReader(r.Body, 1<<20))
	if err == nil && kind == api.ProblemType && json.Unmarshal(data, &p) == nil && p.Code != "" {
		out := p.Refusal()
		if out.Status == 0 {
			out.Status = r.StatusCode
		}
		return out
	}
	out := api.Refuse(api.CodeUnavailable, "check that the address is a node's", "the answer was %s", r.Status)
	out.Status = r.StatusCode
	if seconds, err := strconv.Atoi(r.Header.Get("Retry-After")); err == nil {
		out.RetryAfter = time.Duration(seconds) * time.Second
	}
	return out
}

// get asks for a JSON document.
func get[T any](ctx context.Context, c *Client, path string, query url.Values) (T, error) {
	return answer[T](c.do(ctx, request{method: http.MethodGet, path: path, query: query}))
}

// answer reads the JSON document of a response.
func answer[T any](r *http.Response, err error) (T, error) {
	var out T
	if err != nil {
		return out, err
	}
	defer r.Body.Close()
	if err := json.NewDecoder(io.LimitReader(r.Body, maxDocument)).Decode(&out); err != nil {
		return out, fmt.Errorf("answer of %s: %w", r.Request.URL.Path, err)
	}
	return out, nil
}

// Submit hands a job spec (JSON, local files already uploaded) to the mesh.
func (c *Client) Submit(ctx context.Context, s api.Submission) (api.Acceptance, error) {
	header := http.Header{"Content-Type": {"application/json"}}
	if s.IdempotencyKey != "" {
		header.Set("Idempotency-Key", s.IdempotencyKey)
	}
	return answer[api.Acceptance](c.do(ctx, request{method: http.MethodPost, path: "/jobs", header: header,
		body: bytes.NewReader(s.Spec), size: int64(len(s.Spec))}))
}

// Cancel cancels a job; reason may be empty.
func (c *Client) Cancel(ctx context.Context, id, reason string) error {
	query := url.Values{}
	if reason != "" {
		query.Set("reason", reason)
	}
	r, err := c.do(ctx, request{method: http.MethodDelete, path: jobPath(id), query: query})
	if err != nil {
		return err
	}
	return r.Body.Close()
}

// Describe gives one job with its tasks. With stale, the last known state will
// do when the job's shard does not answer.
func (c *Client) Describe(ctx context.Context, id string, stale bool) (api.Job, error) {
	return get[api.Job](ctx, c, jobPath(id), staleQuery(stale))
}

// JobStatus gives one job without its tasks.
func (c *Client) JobStatus(ctx context.Context, id string, stale bool) (api.JobSummary, error) {
	return get[api.JobSummary](ctx, c, jobPath(id)+"/status", staleQuery(stale))
}

// List gives one page of jobs.
func (c *Client) List(ctx context.Context, q api.ListQuery) (api.JobList, error) {
	query := url.Values{}
	setText(query, "state", q.State)
	setText(query, "type", q.Type)
	setText(query, "text", q.Text)
	setText(query, "cursor", q.Cursor)
	if q.Limit > 0 {
		query.Set("limit", strconv.Itoa(q.Limit))
	}
	return get[api.JobList](ctx, c, "/jobs", query)
}

// Stats counts jobs by state and type.
func (c *Client) Stats(ctx context.Context) (api.JobStats, error) {
	return get[api.JobStats](ctx, c, "/jobs/stats", nil)
}

// Status describes the node.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return get[api.Status](ctx, c, "/status", nil)
}

// Health is the node's verdict on the mesh, also when it is failing.
func (c *Client) Health(ctx context.Context) (api.Health, error) {
	return get[api.Health](ctx, c, "/network/health", nil)
}

// Workers lists the workers that the node has heard of.
func (c *Client) Workers(ctx context.Context) (api.WorkerList, error) {
	return get[api.WorkerList](ctx, c, "/workers", nil)
}

// Peers lists the nodes that the node knows.
func (c *Client) Peers(ctx context.Context) ([]api.Peer, error) {
	list, err := get[api.PeerList](ctx, c, "/network/peers", nil)
	return list.Peers, err
}

// Shards describes every shard of the network.
func (c *Client) Shards(ctx context.Context) (api.ShardList, error) {
	return get[api.ShardList](ctx, c, "/network/shards", nil)
}

// jobPath is the path of a job.
func jobPath(id string) string { return "/jobs/" + url.PathEscape(id) }

// staleQuery asks for a stale answer if wanted.
func staleQuery(stale bool) url.Values {
	if !stale {
		return nil
	}
	return url.Values{"stale": {"true"}}
}

// setText sets a parameter that is not empty.
func setText(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}
