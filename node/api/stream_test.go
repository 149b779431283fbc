package api_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/apitest"
)

// start runs a server on a free port until the test ends.
func start(t *testing.T, b *apitest.Backend, change func(*api.Config)) (addr string, stop func()) {
	t.Helper()
	cfg := b.Config()
	if change != nil {
		change(&cfg)
	}
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("server: %v", err)
		}
	}
	t.Cleanup(func() {
		stop()
		http.DefaultClient.CloseIdleConnections()
	})
	return s.Addr(), stop
}

// open starts a GET with headers.
func open(t *testing.T, url string, headers map[string]string) *http.Response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range headers {
		r.Header.Set(k, v)
	}
	response, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

// fields reads the id and event lines of a stream up to n events.
func fields(t *testing.T, r *http.Response, n int) []string {
	t.Helper()
	var got []string
	id := ""
	for lines := bufio.NewScanner(r.Body); len(got) < n && lines.Scan(); {
		if v, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			id = v
		}
		if v, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			got = append(got, strings.TrimSpace(id+" "+v))
			id = ""
		}
	}
	return got
}

func TestEventStream(t *testing.T) {
	b := apitest.New()
	job := apitest.Sample(0)
	b.AddJob(job)
	b.AddJob(apitest.Sample(1))
	b.Emit(api.Event{Job: job.ID, Kind: api.EventAccepted})
	b.Emit(api.Event{Job: apitest.JobID(1), Kind: api.EventAccepted})
	addr, _ := start(t, b, nil)
	r := open(t, "http://"+addr+"/jobs/"+job.ID+"/events", nil)
	if got := r.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Fatalf("content type %q", got)
	}
	b.Emit(api.Event{Job: job.ID, Kind: api.EventProgress, Progress: 0.5})
	b.Emit(api.Event{Job: job.ID, Kind: api.EventCompleted})
	if got := strings.Join(fields(t, r, 9), ","); got != "3:1:0 accepted,progress,3:4:0 completed,end" {
		t.Errorf("events %s", got)
	}
	// A reader that saw the first resumes after it; the header wins over the query.
	r = open(t, "http://"+addr+"/jobs/"+job.ID+"/events?after=3:0:0", map[string]string{"Last-Event-ID": "3:1:0"})
	if got := strings.Join(fields(t, r, 9), ","); got != "progress,3:4:0 completed,end" {
		t.Errorf("resumed events %s", got)
	}
	r = open(t, "http://"+addr+"/events", nil)
	if got := strings.Join(fields(t, r, 4), ","); got != "3:1:0 accepted,3:2:0 accepted,progress,3:4:0 completed" {
		t.Errorf("all events %s", got)
	}
}

func TestEventStreamFailsMidway(t *testing.T) {
	b := apitest.New()
	b.AddJob(apitest.Sample(0))
	b.Emit(api.Event{Job: apitest.JobID(0), Kind: api.EventAccepted})
	addr, _ := start(t, b, nil)
	r := open(t, "http://"+addr+"/jobs/"+apitest.JobID(0)+"/events", nil)
	if got := strings.Join(fields(t, r, 1), ","); got != "3:1:0 accepted" {
		t.Fatalf("events %s", got)
	}
	b.Fail(api.Refuse(api.CodeUnavailable, "", "no leader"))
	rest, err := io.ReadAll(r.Body)
	if err != nil || !strings.Contains(string(rest), "event: error\ndata: {") || !strings.Contains(string(rest), `"code":"unavailable"`) {
		t.Errorf("the rest: %v\n%s", err, rest)
	}
}

func TestStreamsAreBounded(t *testing.T) {
	b := apitest.New()
	b.Emit(api.Event{Job: "j", Kind: api.EventAccepted})
	addr, _ := start(t, b, func(c *api.Config) { c.MaxStreams = 1 })
	first := open(t, "http://"+addr+"/events", nil)
	if first.StatusCode != 200 {
		t.Fatalf("first stream: %s", first.Status)
	}
	second := open(t, "http://"+addr+"/events", nil)
	if second.StatusCode != 429 || second.Header.Get("Retry-After") == "" {
		t.Errorf("second stream: %s %v", second.Status, second.Header)
	}
}

func TestQuietStreamAnswersAndEndsWithTheServer(t *testing.T) {
	addr, stop := start(t, apitest.New(), nil)
	r := open(t, "http://"+addr+"/events", nil) // returns when the headers are there
	begun := time.Now()
	stop()
	if _, err := io.ReadAll(r.Body); err != nil {
		t.Errorf("end of the stream: %v", err)
	}
	if took := time.Since(begun); took > 4*time.Second {
		t.Errorf("an open stream held the server up for %v", took)
	}
}

func TestLogs(t *testing.T) {
	b := apitest.New()
	b.AddJob(apitest.Sample(0))
	id := apitest.JobID(0)
	b.SetLog(id, 0, "stdout", []byte("hello, this is task 0\n"))
	b.SetLog(id, -1, "stderr", []byte("gathering\n"))
	_, h := serve(t, func(c *api.Config) { c.Jobs, c.Logs = b, b })
	if w := ask(h, "GET", "/jobs/"+id+"/logs", ""); w.Body.String() != "hello, this is task 0\n" {
		t.Errorf("text: %d %q", w.Code, w.Body)
	}
	if w := ask(h, "GET", "/jobs/"+id+"/logs?task=-1&stream=stderr&offset=3&follow=true", ""); w.Body.String() != "hering\n" {
		t.Errorf("gather's stderr: %d %q", w.Code, w.Body)
	}
	w := ask(h, "GET", "/jobs/"+id+"/logs?offset=16", "", "Accept: text/event-stream")
	want := `event: log` + "\n" + `data: {"task":0,"attempt":1,"stream":"stdout","offset":16,"data":"YXNrIDAK","end":true}` + "\n\nevent: end\ndata: {}\n\n"
	if w.Body.String() != want {
		t.Errorf("chunks: %q", w.Body)
	}
}

// holes has a log whose beginning is gone.
type holes struct{}

func (holes) Logs(_ context.Context, _ api.LogQuery, each func(api.LogChunk) error) error {
	return each(api.LogChunk{Offset: 100, Gap: 100, Data: []byte("tail\n"), End: true})
}

func TestLogGapIsShown(t *testing.T) {
	_, h := serve(t, func(c *api.Config) { c.Logs = holes{} })
	if w := ask(h, "GET", "/jobs/abcd/logs", ""); w.Body.String() != "\n[ciro: 100 bytes are no longer kept]\ntail\n" {
		t.Errorf("gap: %q", w.Body)
	}
}
