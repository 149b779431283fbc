package api_test

import (
	"bytes"
	"context"
	"net/http"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/apitest"
)

// browserPatience bounds one visit of a browser on a crowded machine; a visit
// takes three seconds.
const browserPatience = 2 * time.Minute

// visit opens an address in a headless Chromium, lets some virtual seconds pass,
// and returns the document as it is then, and what the browser complained of.
func visit(t *testing.T, chromium, address string) (document, complaints string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), browserPatience)
	defer cancel()
	cmd := exec.CommandContext(ctx, chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
		"--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--enable-logging=stderr", "--virtual-time-budget=4000", "--dump-dom", address)
	cmd.WaitDelay = 10 * time.Second
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", chromium, err, &stderr)
	}
	for line := range strings.Lines(stderr.String()) {
		if strings.Contains(line, "CONSOLE") {
			complaints += line
		}
	}
	return stdout.String(), complaints
}

// TestDashboardInBrowser: a real browser shows what the endpoints say, finds
// nothing to complain of, and takes a hostile job for text.
func TestDashboardInBrowser(t *testing.T) {
	if testing.Short() {
		t.Skip("a browser takes some seconds for each view")
	}
	chromium := ""
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil && chromium == "" {
			chromium = path
		}
	}
	if chromium == "" {
		t.Skip("no Chromium here")
	}
	const hostile = `<img src=x onerror="document.title='owned'"><script>document.title='owned'</script>`
	b := apitest.New()
	j := apitest.Sample(0)
	j.Name, j.WaitingFor.Sentence, j.Tasks[1].Message = hostile, hostile, hostile
	j.Tasks[3].Errors[0].Detail = hostile
	b.AddJob(j)
	b.SetLog(j.ID, 3, "stdout", []byte(hostile))
	s, err := api.New(b.Config())
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		http.DefaultClient.CloseIdleConnections()
	}()
	const shown = `&lt;img src=x onerror="document.title='owned'"&gt;&lt;script&gt;`
	for _, tt := range []struct {
		view string
		want []string
	}{
		{"overview", []string{"CIRO node self", "ok, fully replicated", shown, "1 complete, 1 no leader", "1 of 4"}},
		{"jobs", []string{shown, `href="#/job/` + j.ID, "1 of 4, 1 running, 1 queued, 1 dead", "Page 1"}},
		{"job/" + j.ID + "/3", []string{"Waits for task 0: " + shown, "(workers_busy)", "timeout: " + shown, `id="log"`, "4, 0", `"tasks": 4`}},
		{"workers", []string{"self (this node)", "1 of 4", "zone=a"}},
		{"ledger", []string{"Records anchored", "2048", "0x01"}},
	} {
		document, complaints := visit(t, chromium, "http://"+s.Addr()+"/#/"+tt.view)
		for _, want := range tt.want {
			if !strings.Contains(document, want) {
				t.Errorf("%s lacks %q", tt.view, want)
			}
		}
		if strings.Contains(document, "<img") || strings.Contains(document, "<title>owned") || complaints != "" {
			t.Errorf("%s: a datum became markup, or the browser complains: %s", tt.view, complaints)
		}
		if t.Failed() {
			_, shown, _ := strings.Cut(document, `<section id="`+strings.Split(tt.view, "/")[0]+`"`)
			shown, _, _ = strings.Cut(shown, "</section>")
			t.Fatalf("%s:\n%s", tt.view, shown)
		}
	}
}
