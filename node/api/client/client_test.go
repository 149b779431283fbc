package client_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/apitest"
	"github.com/ciro-network/ciro/node/api/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// connect serves b, with middleware between if given, and returns a client of it.
func connect(t *testing.T, b *apitest.Backend, between func(http.Handler) http.Handler) *client.Client {
	t.Helper()
	cfg := b.Config()
	cfg.Token = "t0ken"
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	h := s.Handler()
	if between != nil {
		h = between(h)
	}
	server := httptest.NewServer(h)
	c, err := client.New(server.URL, "t0ken")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		server.CloseClientConnections()
		server.Close()
	})
	return c
}

// wantCode checks that err is a refusal with this code.
func wantCode(t *testing.T, err error, code string) *api.Refusal {
	t.Helper()
	var r *api.Refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("got %v, want a refusal with code %s", err, code)
	}
	return r
}

func TestCalls(t *testing.T) {
	b := apitest.New()
	c := connect(t, b, nil)
	ctx := t.Context()
	accepted, err := c.Submit(ctx, api.Submission{Spec: []byte(`{"name":"a"}`), IdempotencyKey: "k"})
	if err != nil || !accepted.Created || string(accepted.Signature) != "signed" || !accepted.AcceptedAt.Equal(apitest.Epoch) {
		t.Fatalf("submit: %+v %v", accepted, err)
	}
	b.AddJob(apitest.Sample(1))
	job, err := c.Describe(ctx, apitest.JobID(1)[:10], true)
	if err != nil || job.Tasks[1].Progress != 0.25 || *job.Tasks[0].Exit != 0 || job.Gather.Index != -1 || string(job.Spec) != `{"name":"bunny","tasks":4}` {
		t.Fatalf("describe: %+v %v", job, err)
	}
	if short, err := c.JobStatus(ctx, apitest.JobID(1), false); err != nil || short.Counts.Total != 4 {
		t.Fatalf("status of a job: %+v %v", short, err)
	}
	page, err := c.List(ctx, api.ListQuery{Limit: 1})
	if err != nil || len(page.Jobs) != 1 || page.Next == "" {
		t.Fatalf("first page: %+v %v", page, err)
	}
	page, err = c.List(ctx, api.ListQuery{Limit: 1, Cursor: page.Next, Type: "render3d"})
	if err != nil || len(page.Jobs) != 1 || page.Jobs[0].ID != apitest.JobID(1) || page.Next != "" {
		t.Fatalf("second page: %+v %v", page, err)
	}
	if stats, err := c.Stats(ctx); err != nil || stats.Total != 2 {
		t.Fatalf("stats: %+v %v", stats, err)
	}
	if err := c.Cancel(ctx, accepted.Job, "no longer needed & so on"); err != nil {
		t.Fatal(err)
	}
	if reason, _ := b.Cancelled(accepted.Job); reason != "no longer needed & so on" {
		t.Errorf("reason %q", reason)
	}
	wantCode(t, c.Cancel(ctx, accepted.Job, ""), api.CodeConflict)
	if s, err := c.Status(ctx); err != nil || s.Peer != "12D3Self" || s.Total.Memory != 8<<30 {
		t.Errorf("status: %+v %v", s, err)
	}
	if h, err := c.Health(ctx); err != nil || !h.FullyReplicated {
		t.Errorf("health: %+v %v", h, err)
	}
	if w, err := c.Workers(ctx); err != nil || len(w.Workers) != 2 {
		t.Errorf("workers: %+v %v", w, err)
	}
	if p, err := c.Peers(ctx); err != nil || len(p) != 1 {
		t.Errorf("peers: %+v %v", p, err)
	}
	if s, err := c.Shards(ctx); err != nil || len(s.Shards) != 2 || len(s.Shards[0].Voters) != 3 {
		t.Errorf("shards: %+v %v", s, err)
	}
}

func TestRefusalsComeBack(t *testing.T) {
	b := apitest.New()
	c := connect(t, b, nil)
	_, err := c.Describe(t.Context(), "feedfeed", false)
	if r := wantCode(t, err, api.CodeUnknownJob); r.Status != 404 || r.Next != "see ciro job list" {
		t.Errorf("%+v", r)
	}
	full := api.Refuse(api.CodeBusy, "wait", "full")
	full.RetryAfter = 2500 * time.Millisecond
	b.Fail(full)
	_, err = c.Submit(t.Context(), api.Submission{Spec: []byte("{}")})
	if r := wantCode(t, err, api.CodeBusy); r.RetryAfter != 2500*time.Millisecond || r.Message != "full" {
		t.Errorf("%+v", r)
	}
}

func TestStrangers(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	c, err := client.New(other.URL, "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Status(t.Context())
	if r := wantCode(t, err, api.CodeUnavailable); !strings.Contains(r.Message, "404") {
		t.Errorf("%+v", r)
	}
	c.Close()
	other.Close()
	_, err = c.Status(t.Context())
	if r := wantCode(t, err, api.CodeUnavailable); !strings.Contains(r.Error(), c.Addr()) || !strings.Contains(r.Next, "ciro start") {
		t.Errorf("%+v", r)
	}
	var op *net.OpError
	if !errors.As(err, &op) {
		t.Errorf("the cause is gone: %v", err)
	}
	for _, bad := range []string{"", "ftp://x", "http://", "http://[::1"} {
		if _, err := client.New(bad, ""); err == nil {
			t.Errorf("%q is an address", bad)
		}
	}
}

// cut breaks every event stream off after its n-th event.
func cut(n int, streams *atomic.Int64) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.URL.Path, "/events") {
				streams.Add(1)
				w = &scissors{ResponseWriter: w, left: n}
			}
			next.ServeHTTP(w, r)
		})
	}
}

type scissors struct {
	http.ResponseWriter
	left int
}

func (s *scissors) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("data: ")) {
		if s.left == 0 {
			panic(http.ErrAbortHandler)
		}
		s.left--
	}
	return s.ResponseWriter.Write(p)
}

func (s *scissors) Unwrap() http.ResponseWriter { return s.ResponseWriter }

func TestWatchSurvives(t *testing.T) {
	b := apitest.New()
	id := apitest.JobID(0)
	b.AddJob(apitest.Sample(0))
	kinds := []string{api.EventAccepted, api.EventAssigned, api.EventStarted, api.EventDone, api.EventCompleted}
	for _, kind := range kinds {
		b.Emit(api.Event{Job: id, Kind: kind})
	}
	var streams, retries atomic.Int64
	c := connect(t, b, cut(2, &streams))
	c.OnRetry(func(error, time.Duration) { retries.Add(1) })
	var got []string
	err := c.Watch(t.Context(), api.WatchQuery{Job: id}, func(e api.Event) error {
		got = append(got, e.Kind)
		return nil
	})
	if err != nil || strings.Join(got, " ") != strings.Join(kinds, " ") {
		t.Fatalf("watched %v, %v", got, err)
	}
	if streams.Load() != 3 || retries.Load() != 2 {
		t.Errorf("%d streams, %d retries", streams.Load(), retries.Load())
	}
}

func TestWatchOutlivesUnavailable(t *testing.T) {
	b := apitest.New()
	id := apitest.JobID(0)
	b.AddJob(apitest.Sample(0))
	b.Emit(api.Event{Job: id, Kind: api.EventAccepted})
	c := connect(t, b, nil)
	c.OnRetry(func(err error, _ time.Duration) {
		wantCode(t, err, api.CodeUnavailable)
		b.Fail(nil)
		b.Emit(api.Event{Job: id, Kind: api.EventFailed})
	})
	n := 0
	err := c.Watch(t.Context(), api.WatchQuery{Job: id}, func(e api.Event) error {
		if n++; e.Kind == api.EventAccepted {
			b.Fail(api.Refuse(api.CodeUnavailable, "", "no leader"))
		}
		return nil
	})
	if err != nil || n != 2 {
		t.Errorf("%d events, %v", n, err)
	}
}

func TestWatchEnds(t *testing.T) {
	b := apitest.New()
	b.AddJob(apitest.Sample(0))
	b.Emit(api.Event{Job: apitest.JobID(0), Kind: api.EventAccepted})
	c := connect(t, b, nil)
	err := c.Watch(t.Context(), api.WatchQuery{Job: "feedfeed"}, func(api.Event) error { return nil })
	wantCode(t, err, api.CodeUnknownJob)
	enough := errors.New("enough")
	err = c.Watch(t.Context(), api.WatchQuery{Job: apitest.JobID(0)}, func(api.Event) error { return enough })
	if !errors.Is(err, enough) {
		t.Errorf("the caller's error: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	err = c.Watch(ctx, api.WatchQuery{}, func(api.Event) error { cancel(); return nil })
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled watch: %v", err)
	}
}

func TestLogs(t *testing.T) {
	b := apitest.New()
	b.AddJob(apitest.Sample(0))
	b.SetLog(apitest.JobID(0), -1, "stderr", []byte("a line of more than eight bytes\n"))
	c := connect(t, b, nil)
	var got []byte
	q := api.LogQuery{Job: apitest.JobID(0), Task: -1, Stream: "stderr", Offset: 2, Follow: true, Attempt: 1}
	err := c.Logs(t.Context(), q, func(chunk api.LogChunk) error {
		if chunk.Offset != int64(2+len(got)) {
			t.Errorf("chunk at %d after %d bytes", chunk.Offset, len(got))
		}
		got = append(got, chunk.Data...)
		return nil
	})
	if err != nil || string(got) != "line of more than eight bytes\n" {
		t.Errorf("%q %v", got, err)
	}
}

func TestUploadAndDownload(t *testing.T) {
	b := apitest.New()
	c := connect(t, b, nil)
	ctx := t.Context()
	source := filepath.Join(t.TempDir(), "in.bin")
	if err := os.WriteFile(source, bytes.Repeat([]byte("abc"), 1<<16), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := c.UploadFile(ctx, source)
	if err != nil || info.Size != 3<<16 {
		t.Fatalf("upload: %+v %v", info, err)
	}
	if ok, err := c.Has(ctx, info.CID); !ok || err != nil {
		t.Errorf("has: %v %v", ok, err)
	}
	if ok, err := c.Has(ctx, "bafynothing"); ok || err != nil {
		t.Errorf("has nothing: %v %v", ok, err)
	}
	checkUploadRefusals(t, c, filepath.Dir(source))

	cid := b.AddFiles(map[string][]byte{"a.png": []byte("PNG"), "deep/er/b c#.txt": []byte("text")})
	job := apitest.Sample(0)
	job.Result, job.Tasks[0].Output = cid, cid
	b.AddJob(job)
	dest := filepath.Join(t.TempDir(), "new", "folder")
	zero := 0
	if _, err := c.Results(ctx, job.ID, &zero); err != nil {
		t.Errorf("results of a task: %v", err)
	}
	list, err := c.Results(ctx, job.ID, nil)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second replaces what the first wrote
		names, err := c.Download(ctx, list, dest, "result")
		if err != nil || fmt.Sprint(names) != "[a.png deep/er/b c#.txt]" {
			t.Fatalf("download: %v %v", names, err)
		}
	}
	if data, err := os.ReadFile(filepath.Join(dest, "deep", "er", "b c#.txt")); err != nil || string(data) != "text" {
		t.Errorf("downloaded %q %v", data, err)
	}
	single, err := c.Files(ctx, info.CID)
	if err != nil {
		t.Fatal(err)
	}
	if names, err := c.Download(ctx, single, dest, "result"); err != nil || fmt.Sprint(names) != "[result]" {
		t.Errorf("single file: %v %v", names, err)
	}
	body, size, err := c.Open(ctx, cid, "a.png")
	if err != nil || size != 3 {
		t.Fatalf("open: %d %v", size, err)
	}
	defer body.Close()
	if data, err := io.ReadAll(body); err != nil || string(data) != "PNG" {
		t.Errorf("open: %q %v", data, err)
	}
}

// checkUploadRefusals uploads what is no file and what is too large.
func checkUploadRefusals(t *testing.T, c *client.Client, folder string) {
	t.Helper()
	if _, err := c.UploadFile(t.Context(), folder); err == nil {
		t.Error("a folder was uploaded")
	}
	_, err := c.Upload(t.Context(), bytes.NewReader(nil), 101<<20)
	wantCode(t, err, api.CodeTooLarge)
}

func TestDownloadStaysInside(t *testing.T) {
	b := apitest.New()
	c := connect(t, b, nil)
	outside, dest := t.TempDir(), t.TempDir()
	if err := os.Symlink(outside, filepath.Join(dest, "link")); err != nil {
		t.Fatal(err)
	}
	cid := b.AddFiles(map[string][]byte{"x": []byte("1234")})
	for _, file := range []api.BlobFile{{Path: "../x", Size: 4}, {Path: "/x", Size: 4}, {Path: "link/x", Size: 4},
		{Path: "x", Size: 3}, {Path: "x", Size: 5}} {
		if _, err := c.Download(t.Context(), api.BlobList{CID: cid, Files: []api.BlobFile{file}}, dest, "r"); err == nil {
			t.Errorf("%+v was written", file)
		}
	}
	for _, dir := range []string{outside, dest} {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.Name() != "link" {
				t.Errorf("%s was left in %s", e.Name(), dir)
			}
		}
	}
}
