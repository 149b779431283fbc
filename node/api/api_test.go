package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/apitest"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve makes a server over a backend with one sample job; change may adjust its
// configuration.
func serve(t *testing.T, change func(*api.Config)) (*apitest.Backend, http.Handler) {
	t.Helper()
	b := apitest.New()
	b.AddJob(apitest.Sample(0))
	cfg := b.Config()
	if change != nil {
		change(&cfg)
	}
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b, s.Handler()
}

// ask sends one request with the given headers ("Name: value").
func ask(h http.Handler, method, target, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, strings.NewReader(body))
	r.Host = "127.0.0.1:8080"
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		if name == "Host" {
			r.Host = value
			continue
		}
		r.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// wantProblem checks a refusal's status, media type and code.
func wantProblem(t *testing.T, w *httptest.ResponseRecorder, status int, code string) api.Problem {
	t.Helper()
	var p api.Problem
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("not a problem document: %v\n%s", err, w.Body)
	}
	if w.Code != status || p.Status != status || p.Code != code || w.Header().Get("Content-Type") != api.ProblemType {
		t.Fatalf("got %d %s %+v; want %d %s", w.Code, w.Header().Get("Content-Type"), p, status, code)
	}
	return p
}

func TestReads(t *testing.T) {
	b, h := serve(t, nil)
	cid := b.AddFiles(map[string][]byte{"out.png": []byte("PNG"), "sub/a.txt": []byte("hello")})
	done := apitest.Sample(1)
	done.State, done.Result = api.JobCompleted, cid
	done.Tasks[0].Output = cid
	b.AddJob(done)
	id := done.ID
	for _, tt := range []struct{ target, want string }{
		{"/", "/jobs/{id}/events"},
		{"/health", `"status":"ok","fullyReplicated":true`},
		{"/status", `"peer":"12D3Self"`},
		{"/metrics", ""},
		{"/openapi.json", `"openapi":"3.1.0"`},
		{"/openapi.yaml", "openapi: 3.1.0"},
		{"/jobs", `"state":"completed"`},
		{"/jobs?state=completed&limit=1", id},
		{"/jobs/stats", `"total":2,"byState":{"completed":1,"running":1},"byType":{"render3d":2}`},
		{"/jobs/" + id, `"submitted":"2026-03-01T12:00:00.000Z"`},
		{"/jobs/" + id[:6], `"spec":{"name":"bunny","tasks":4}`},
		{"/jobs/" + id + "?stale=true", `"asOf"`},
		{"/jobs/" + id + "/status", `"counts":{"total":4,"queued":1,"assigned":0,"running":1,"done":1,"dead":1}`},
		{"/jobs/" + id + "/results", `{"path":"sub/a.txt","size":5}`},
		{"/jobs/" + id + "/results?task=0", `{"path":"sub/a.txt","size":5}`},
		{"/jobs/" + id + "/results/sub/a.txt", "hello"},
		{"/blobs/" + cid + "?list=true", `{"path":"out.png","size":3}`},
		{"/blobs/" + cid + "/out.png", "PNG"},
		{"/workers", `"id":"12D3Other"`},
		{"/network/peers", `"latency":0.012`},
		{"/network/shards", `"unanswered":[1]`},
		{"/network/health", `"status":"ok"`},
		{"/chain/status", `"anchored":6,"pending":1,"records":2048`},
		{"/blockchain/status", `"unanswered":[1]`},
		{"/chain/entries?shard=0", `"seq":6,"term":2,"records":12,"root":"0x01"`},
		{"/blockchain/transactions?shard=0&limit=5", `"signer":"12D3Self"`},
		{"/blockchain/metrics", `"batches":6,"records":2048,"pending":1,"open":3,"mismatches":0`},
		{"/jobs/" + id + "/proof", `{"job":"` + id + `"}`},
	} {
		w := ask(h, "GET", tt.target, "")
		if w.Code != 200 || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("GET %s = %d, lacks %q:\n%s", tt.target, w.Code, tt.want, w.Body)
		}
	}
	if w := ask(h, "GET", "/jobs/"+id+"/status", ""); strings.Contains(w.Body.String(), "tasks") {
		t.Errorf("the short status carries tasks: %s", w.Body)
	}
}

func TestWrites(t *testing.T) {
	b, h := serve(t, nil)
	w := ask(h, "POST", "/jobs", `{"name":"x"}`, "Content-Type: application/json", "Idempotency-Key: k1")
	var first, again api.Acceptance
	if err := json.Unmarshal(w.Body.Bytes(), &first); err != nil || w.Code != 200 || !first.Created {
		t.Fatalf("submit: %d %v %s", w.Code, err, w.Body)
	}
	w = ask(h, "POST", "/jobs", `{"name":"x"}`, "Content-Type: application/json", "Idempotency-Key: k1")
	if err := json.Unmarshal(w.Body.Bytes(), &again); err != nil || again.Created || again.Job != first.Job {
		t.Fatalf("submit again: %v %s", err, w.Body)
	}
	got := b.Submitted()
	if len(got) != 1 || string(got[0].Spec) != `{"name":"x"}` || got[0].IdempotencyKey != "k1" {
		t.Fatalf("the backend got %+v", got)
	}
	if w := ask(h, "DELETE", "/jobs/"+first.Job+"?reason=enough", ""); w.Code != 204 {
		t.Fatalf("cancel: %d %s", w.Code, w.Body)
	}
	if reason, ok := b.Cancelled(first.Job); !ok || reason != "enough" {
		t.Fatalf("cancelled with %q, %v", reason, ok)
	}
	wantProblem(t, ask(h, "DELETE", "/jobs/"+first.Job, ""), 409, api.CodeConflict)
	w = ask(h, "PUT", "/blobs", "content")
	var info api.BlobInfo
	if err := json.Unmarshal(w.Body.Bytes(), &info); err != nil || info.Size != 7 {
		t.Fatalf("put: %v %s", err, w.Body)
	}
	if w := ask(h, "GET", "/blobs/"+info.CID, ""); w.Body.String() != "content" {
		t.Fatalf("blob: %s", w.Body)
	}
	if w := ask(h, "HEAD", "/blobs/"+info.CID, ""); w.Code != 200 || w.Header().Get("Content-Length") != "7" {
		t.Fatalf("head: %d %v", w.Code, w.Header())
	}
	w = ask(h, "GET", "/blobs/"+info.CID, "", "Range: bytes=3-")
	if w.Code != 206 || w.Body.String() != "tent" {
		t.Fatalf("range: %d %q", w.Code, w.Body)
	}
	w = ask(h, "GET", "/blobs/"+info.CID, "", `If-None-Match: "`+info.CID+`/"`)
	if w.Code != 304 {
		t.Fatalf("known content: %d", w.Code)
	}
}

func TestRefusals(t *testing.T) {
	b, h := serve(t, nil)
	b.AddJob(api.Job{JobSummary: api.JobSummary{ID: apitest.JobID(0)[:8] + "ffff", State: api.JobRunning}})
	id := apitest.JobID(0)
	for _, tt := range []struct {
		method, target, body string
		status               int
		code                 string
	}{
		{"GET", "/nowhere", "", 404, api.CodeNotFound},
		{"POST", "/health", "", 404, api.CodeNotFound},
		{"GET", "/jobs/feedfeed", "", 404, api.CodeUnknownJob},
		{"GET", "/jobs/" + id[:8], "", 409, api.CodeAmbiguousID},
		{"GET", "/jobs/abc", "", 422, api.CodeInvalidRequest},
		{"GET", "/jobs?limit=1001", "", 422, api.CodeInvalidRequest},
		{"GET", "/jobs?limit=many", "", 422, api.CodeInvalidRequest},
		{"GET", "/jobs?state=asleep", "", 422, api.CodeInvalidRequest},
		{"GET", "/jobs/feedfeed/status", "", 404, api.CodeUnknownJob},
		{"GET", "/jobs/feedfeed/events", "", 404, api.CodeUnknownJob},
		{"GET", "/jobs/feedfeed/logs", "", 404, api.CodeUnknownJob},
		{"GET", "/jobs/" + id + "/logs?stream=stdin", "", 422, api.CodeInvalidRequest},
		{"GET", "/jobs/" + id + "/results", "", 409, api.CodeConflict},
		{"GET", "/jobs/" + id + "/results?task=9", "", 404, api.CodeNotFound},
		{"GET", "/jobs/" + id + "/results?task=2", "", 409, api.CodeConflict},
		{"GET", "/jobs/" + id + "/results?task=two", "", 422, api.CodeInvalidRequest},
		{"GET", "/jobs/" + id + "/results/a", "", 409, api.CodeConflict},
		{"GET", "/blobs/bafynothing", "", 404, api.CodeNotFound},
		{"GET", "/blobs/bafynothing?list=true", "", 404, api.CodeNotFound},
		{"POST", "/jobs", "name: yaml", 422, api.CodeInvalidSpec},
		{"POST", "/jobs", "{" + strings.Repeat(" ", api.MaxSpec), 413, api.CodeTooLarge},
		{"DELETE", "/jobs/feedfeed", "", 404, api.CodeUnknownJob},
	} {
		w := ask(h, tt.method, tt.target, tt.body, "Content-Type: application/json")
		if p := wantProblem(t, w, tt.status, tt.code); p.Detail == "" {
			t.Errorf("%s %s: no sentence", tt.method, tt.target)
		}
	}
}

func TestBackendErrors(t *testing.T) {
	b, h := serve(t, nil)
	b.Fail(errors.New("secret detail"))
	for _, target := range []string{"/status", "/jobs", "/jobs/stats", "/workers", "/network/peers", "/network/shards",
		"/jobs/" + apitest.JobID(0), "/jobs/" + apitest.JobID(0) + "/events", "/blobs/bafywhatever"} {
		w := ask(h, "GET", target, "")
		wantProblem(t, w, 500, api.CodeInternal)
		if strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s tells an internal error: %s", target, w.Body)
		}
	}
	if w := ask(h, "GET", "/health", ""); w.Code != 503 || !strings.Contains(w.Body.String(), `"failing"`) {
		t.Errorf("health of a failing node: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/network/health", ""); w.Code != 200 {
		t.Errorf("network health of a failing node: %d", w.Code)
	}
	for _, code := range []string{api.CodeBusy, api.CodeClientLimit, api.CodeClientRate} {
		if r := api.Refuse(code, "", ""); r.Status != 429 || !r.Passing() {
			t.Errorf("%s: status %d, passing %v", code, r.Status, r.Passing())
		}
	}
	full := api.Refuse(api.CodeBusy, "wait", "the shard's queue is full")
	full.RetryAfter = 1500 * time.Millisecond
	b.Fail(fmt.Errorf("submit: %w", full))
	w := ask(h, "POST", "/jobs", "{}")
	if p := wantProblem(t, w, 429, api.CodeBusy); p.Next != "wait" || w.Header().Get("Retry-After") != "2" {
		t.Errorf("busy: %+v, Retry-After %q", p, w.Header().Get("Retry-After"))
	}
	b.Fail(context.DeadlineExceeded)
	wantProblem(t, ask(h, "POST", "/jobs", "{}"), 503, api.CodeUnavailable)
}

// zeros yields n bytes and counts how many were taken.
type zeros struct{ left, taken int64 }

func (z *zeros) Read(p []byte) (int, error) {
	n := min(int64(len(p)), z.left)
	if n == 0 {
		return 0, io.EOF
	}
	z.left -= n
	z.taken += n
	return int(n), nil
}

// counter discards uploads.
type counter struct{ *apitest.Backend }

func (counter) Put(_ context.Context, r io.Reader) (api.BlobInfo, error) {
	n, err := io.Copy(io.Discard, r)
	return api.BlobInfo{CID: "bafycounted", Size: n}, err
}

func TestUploadLimit(t *testing.T) {
	_, h := serve(t, func(c *api.Config) { c.Blobs = counter{apitest.New()} })
	put := func(size, announced int64) (*httptest.ResponseRecorder, *zeros) {
		body := &zeros{left: size}
		r := httptest.NewRequest("PUT", "/blobs", body)
		r.Host, r.ContentLength = "localhost", announced
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w, body
	}
	if w, _ := put(api.MaxBlob, api.MaxBlob); w.Code != 200 {
		t.Errorf("100 MiB: %d %s", w.Code, w.Body)
	}
	w, body := put(101<<20, 101<<20)
	wantProblem(t, w, 413, api.CodeTooLarge)
	if body.taken != 0 {
		t.Errorf("read %d bytes of an upload that said it was too large", body.taken)
	}
	w, body = put(200<<20, -1)
	wantProblem(t, w, 413, api.CodeTooLarge)
	if body.taken > api.MaxBlob+1<<20 {
		t.Errorf("read %d bytes of a stream that was too large", body.taken)
	}
}

func TestSecurity(t *testing.T) {
	_, h := serve(t, func(c *api.Config) { c.AllowedHosts = []string{"node.example"} })
	for _, tt := range []struct {
		name, method string
		headers      []string
		refused      bool
	}{
		{"plain", "GET", nil, false},
		{"localhost", "GET", []string{"Host: localhost:8080"}, false},
		{"IPv6", "GET", []string{"Host: [::1]:8080"}, false},
		{"allowed name", "GET", []string{"Host: NODE.example:8080"}, false},
		{"rebound name", "GET", []string{"Host: evil.example:8080"}, true},
		{"foreign origin reads", "GET", []string{"Origin: https://evil.example"}, false},
		{"foreign origin writes", "POST", []string{"Origin: https://evil.example"}, true},
		{"cross-site write", "POST", []string{"Sec-Fetch-Site: cross-site"}, true},
		{"same-site write", "POST", []string{"Sec-Fetch-Site: same-site"}, true},
		{"same-origin write", "POST", []string{"Sec-Fetch-Site: same-origin"}, false},
		{"own origin write", "POST", []string{"Origin: http://127.0.0.1:8080"}, false},
		{"null origin write", "POST", []string{"Origin: null"}, true},
	} {
		w := ask(h, tt.method, "/jobs", "{}", tt.headers...)
		if tt.refused {
			wantProblem(t, w, 403, api.CodeForbidden)
		} else if w.Code != 200 {
			t.Errorf("%s: %d %s", tt.name, w.Code, w.Body)
		}
		for name := range w.Header() {
			if strings.HasPrefix(name, "Access-Control-") {
				t.Errorf("%s: a CORS header: %s", tt.name, name)
			}
		}
	}
}

func TestToken(t *testing.T) {
	_, h := serve(t, func(c *api.Config) { c.Token = "s3cret" })
	for _, header := range []string{"", "Authorization: Bearer wrong", "Authorization: Basic s3cret", "Authorization: s3cret"} {
		w := ask(h, "GET", "/status", "", header)
		wantProblem(t, w, 401, api.CodeUnauthorized)
		if w.Header().Get("WWW-Authenticate") == "" || strings.Contains(w.Body.String(), "s3cret") {
			t.Errorf("%q: %v %s", header, w.Header(), w.Body)
		}
	}
	if w := ask(h, "GET", "/status", "", "Authorization: bearer s3cret"); w.Code != 200 {
		t.Errorf("right token: %d", w.Code)
	}
}

func TestRateLimit(t *testing.T) {
	_, h := serve(t, func(c *api.Config) { c.Rate = 0.001 })
	if w := ask(h, "GET", "/status", ""); w.Code != 200 {
		t.Fatalf("first request: %d", w.Code)
	}
	w := ask(h, "GET", "/status", "")
	wantProblem(t, w, 429, api.CodeBusy)
	if w.Header().Get("Retry-After") != "1000" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
}

// bomb panics.
type bomb struct{ *apitest.Backend }

func (bomb) Status(context.Context) (api.Status, error)                         { panic("boom") }
func (bomb) Watch(context.Context, api.WatchQuery, func(api.Event) error) error { panic("boom") }

func TestPanics(t *testing.T) {
	b := bomb{apitest.New()}
	_, h := serve(t, func(c *api.Config) { c.Mesh, c.Jobs = b, b })
	wantProblem(t, ask(h, "GET", "/status", ""), 500, api.CodeInternal)
	wantProblem(t, ask(h, "GET", "/events", ""), 500, api.CodeInternal)
}

func TestContentIsNotAPage(t *testing.T) {
	b, h := serve(t, nil)
	cid := b.AddFiles(map[string][]byte{"x.html": []byte("<script>"), "x.svg": []byte("<svg>"), "x.png": []byte("P")})
	for name, want := range map[string]string{"x.html": "application/octet-stream", "x.svg": "application/octet-stream", "x.png": "image/png"} {
		w := ask(h, "GET", "/blobs/"+cid+"/"+name, "")
		if got := w.Header(); got.Get("Content-Type") != want || !strings.HasPrefix(got.Get("Content-Security-Policy"), "sandbox") ||
			got.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestListen(t *testing.T) {
	b := apitest.New()
	for addr, token := range map[string]string{"0.0.0.0:0": "", ":0": "", "192.0.2.1:80": "", "8080": "t", "node.example:80": ""} {
		cfg := b.Config()
		cfg.Listen, cfg.Token = []string{addr}, token
		if _, err := api.New(cfg); err == nil || !strings.Contains(err.Error(), addr) {
			t.Errorf("listen on %s with token %q: %v", addr, token, err)
		}
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	cfg := b.Config()
	cfg.Listen = []string{"127.0.0.1:0", taken.Addr().String()}
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("taken port: %v", err)
	}
	cfg.Listen, cfg.FallbackPort = cfg.Listen[1:], true
	if s, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil || s.Addr() == taken.Addr().String() {
		t.Errorf("fallback: %v, at %s", err, s.Addr())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Run(ctx); err != nil {
		t.Errorf("run: %v", err)
	}
	if s, err = api.New(cfg); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Listen(), s.Close()); err != nil {
		t.Errorf("bind and let go: %v", err)
	}
}

func TestRequiredParts(t *testing.T) {
	if _, err := api.New(api.Config{}); err == nil {
		t.Error("a server of nothing was made")
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	count := prometheus.NewCounter(prometheus.CounterOpts{Name: "ciro_test_total", Help: "A test's."})
	registry.MustRegister(count)
	count.Add(3)
	_, h := serve(t, func(c *api.Config) { c.Gatherer = registry })
	if w := ask(h, "GET", "/metrics", ""); !strings.Contains(w.Body.String(), "ciro_test_total 3") {
		t.Errorf("metrics: %s", w.Body)
	}
}

func TestOpenAPI(t *testing.T) {
	_, h := serve(t, func(c *api.Config) { c.Version = "" })
	got := ask(h, "GET", "/openapi.yaml", "").Body.Bytes()
	if *rewrite {
		if err := os.WriteFile("openapi.yaml", got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("openapi.yaml is not what the server says; run go test ./node/api -rewrite and read the difference")
	}
}

func TestTime(t *testing.T) {
	var back struct {
		A, B, C api.Time `json:",omitzero"`
	}
	back.A = api.At(time.Date(2026, 1, 2, 3, 4, 5, 6_789_000, time.FixedZone("x", 3600)))
	data, err := json.Marshal(back)
	if err != nil || string(data) != `{"A":"2026-01-02T02:04:05.006Z"}` {
		t.Fatalf("%s %v", data, err)
	}
	if err := json.Unmarshal([]byte(`{"A":"2026-01-02T03:04:05+01:00","B":null,"C":""}`), &back); err != nil {
		t.Fatal(err)
	}
	if back.A.Format(time.RFC3339) != "2026-01-02T02:04:05Z" || !back.B.IsZero() || !back.C.IsZero() {
		t.Errorf("%+v", back)
	}
	if err := json.Unmarshal([]byte(`{"A":"noon"}`), &back); err == nil {
		t.Error("noon is a time")
	}
}

// TestOperator commands the answering node, and no other.
func TestOperator(t *testing.T) {
	b, h := serve(t, nil)
	for _, tt := range []struct{ method, target, body, want string }{
		{"POST", "/workers/self/drain", "", `"state":"draining"`},
		{"GET", "/workers/12D3Other", "", `"name":"other"`},
		{"GET", "/workers/self", "", `"self":true`},
		{"GET", "/workers/stats", "", `"total":2,"byState":{"busy":1,"online":1},"offered":{"cpu":6`},
		{"GET", "/blobs", "", `"quota":1073741824`},
		{"POST", "/blobs/collect", "", `"freed":1`},
		{"POST", "/workers", `{"cpus":1.5}`, `"total":{"cpu":1.5`},
	} {
		if w := ask(h, tt.method, tt.target, tt.body, "Content-Type: application/json"); w.Code != 200 || !strings.Contains(w.Body.String(), tt.want) {
			t.Errorf("%s %s = %d, lacks %q:\n%s", tt.method, tt.target, w.Code, tt.want, w.Body)
		}
	}
	if o := b.Offered(); !b.Drained() || o == nil || o.CPUs == nil || *o.CPUs != 1.5 || o.Memory != nil {
		t.Errorf("the backend was asked to drain %v and offer %+v", b.Drained(), o)
	}
	if w := ask(h, "POST", "/workers/12D3Self/reset", ""); w.Code != 200 || b.Offered() != nil {
		t.Errorf("reset: %d %s", w.Code, w.Body)
	}
	if w := ask(h, "POST", "/workers/12D3Self/resume", ""); w.Code != 200 || b.Drained() {
		t.Errorf("resume: %d %s", w.Code, w.Body)
	}
	for _, target := range []string{"/workers/12D3Other/drain", "/workers/12D3Other/resume", "/workers/12D3Other/reset"} {
		wantProblem(t, ask(h, "POST", target, ""), 403, api.CodeForbidden)
	}
	wantProblem(t, ask(h, "DELETE", "/workers/12D3Other", ""), 403, api.CodeForbidden)
	wantProblem(t, ask(h, "GET", "/workers/12D3None", ""), 404, api.CodeNotFound)
	wantProblem(t, ask(h, "POST", "/workers", `{"cpus":-1}`, "Content-Type: application/json"), 422, api.CodeInvalidRequest)
}
