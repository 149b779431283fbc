package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
	"github.com/ciro-network/ciro/node/executor/executortest"
)

// buildGuests compiles the guests that do what they should not: the one of the
// conformance suite and the hostile one.
func buildGuests(t *testing.T) (probe, hostile []byte) {
	t.Helper()
	dir := t.TempDir()
	path, err := executortest.BuildProbe(dir, "wasip1", "wasm")
	if err != nil {
		t.Fatal(err)
	}
	other := filepath.Join(dir, "hostile.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", other, "../../node/executor/wasm/testdata/hostile")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the hostile guest: %v: %s", err, text)
	}
	read := func(name string) []byte {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	return read(path), read(other)
}

// printed is what a job's first task wrote to standard output.
func (m *mesh) printed(c *client.Client, job string) string {
	m.t.Helper()
	var out bytes.Buffer
	err := c.Logs(m.t.Context(), api.LogQuery{Job: job, Stream: "stdout"}, func(l api.LogChunk) error {
		out.Write(l.Data)
		return nil
	})
	if err != nil {
		m.t.Errorf("logs of %s: %v", job, err)
	}
	return out.String()
}

// latency measures how fast a node answers while something else goes on.
type latency struct {
	stop context.CancelFunc
	done sync.WaitGroup
	took []time.Duration
	errs []error
}

func measure(ctx context.Context, c *client.Client) *latency {
	l := &latency{}
	ctx, l.stop = context.WithCancel(ctx)
	l.done.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for ctx.Err() == nil {
			began := time.Now()
			if _, err := c.Health(ctx); err == nil {
				l.took = append(l.took, time.Since(began))
			} else if ctx.Err() == nil {
				l.errs = append(l.errs, err)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return l
}

// end returns the median and the 99th percentile.
func (l *latency) end(t *testing.T) (p50, p99 time.Duration) {
	t.Helper()
	l.stop()
	l.done.Wait()
	if len(l.errs) > 0 || len(l.took) == 0 {
		t.Errorf("the node answered %d times and failed %d times: %v", len(l.took), len(l.errs), errors.Join(l.errs...))
		return 0, 0
	}
	slices.Sort(l.took)
	at := func(q float64) time.Duration {
		return l.took[int(q*float64(len(l.took)-1))].Round(10 * time.Microsecond)
	}
	return at(0.5), at(0.99)
}

// TestProcessHostile has a real node run what means harm, each beside a job that
// means none, and checks what people are told. How fast the node answers
// meanwhile is printed.
func TestProcessHostile(t *testing.T) {
	if testing.Short() {
		t.Skip("two guests to compile and a dozen jobs to run take half a minute")
	}
	probe, hostile := buildGuests(t)
	m := startMesh(t, 1)
	c := m.nodes[0].client
	half := func(memory, disk string) map[string]any {
		return map[string]any{"cpu": "500m", "memory": memory, "disk": disk}
	}
	quiet := measure(t.Context(), c)
	m.ended(c, m.submit(c, probe, map[string]any{"args": []string{"sleep"}, "resources": half("64MiB", "1MiB")}).Job)
	p50, p99 := quiet.end(t)
	t.Logf("%-22s answers p50 %v p99 %v", "a guest that sleeps", p50, p99)
	for _, p := range []struct {
		name, state, cause string
		module             []byte
		args               []string
	}{
		{"endless sleep", api.JobFailed, "timeout", probe, []string{"sleep"}},
		{"endless loop", api.JobFailed, "timeout", probe, []string{"loop"}},
		{"memory", api.JobFailed, "memory", probe, []string{"grow"}},
		{"bytes of /out", api.JobFailed, "outBytes", probe, []string{"write", "/out/f", "1048577"}},
		{"bytes of /tmp", api.JobFailed, "outBytes", hostile, []string{"fill", "/tmp/f"}},
		{"files of /out", api.JobFailed, "outFiles", hostile, []string{"files", "/out"}},
		{"links of its own", api.JobCompleted, "", hostile, []string{"ownLink"}},
		{"paths that climb", api.JobCompleted, "", hostile, []string{"dotdot"}},
		{"paths of the host", api.JobCompleted, "", hostile, []string{"absolute"}},
		{"foreign descriptors", api.JobCompleted, "", hostile, []string{"foreign"}},
		{"flood of output", api.JobFailed, "timeout", hostile, []string{"flood", "stdout"}},
		{"flood of progress", api.JobFailed, "timeout", hostile, []string{"progress"}},
	} {
		l := measure(t.Context(), c)
		timeout := "1m" // the first attempt compiles, which takes its time on a busy machine
		if p.cause == "timeout" {
			timeout = "3s"
		}
		harm := m.submit(c, p.module, map[string]any{"name": p.name, "args": p.args, "timeout": timeout, "resources": half("64MiB", "1MiB")})
		control := m.submit(c, moduleOf(t, ""), map[string]any{"timeout": "20s", "resources": half("16MiB", "1MiB")})
		good, bad := m.ended(c, control.Job), m.ended(c, harm.Job)
		p50, p99 := l.end(t)
		t.Logf("%-22s answers p50 %v p99 %v; the job beside it took %v", p.name, p50, p99, good.Ended.Sub(good.Submitted.Time).Round(time.Millisecond))
		if good.State != api.JobCompleted {
			t.Errorf("%s: the job beside it is %s: %+v", p.name, good.State, good.Reason)
		}
		if bad.State != p.state || p.cause != "" && (bad.Reason == nil || bad.Reason.Code != p.cause || bad.Reason.Sentence == "") {
			t.Errorf("%s: the job is %s: %+v; want %s, %s", p.name, bad.State, bad.Reason, p.state, p.cause)
		}
		if p.cause == "" {
			if out := m.printed(c, harm.Job); strings.Contains(out, "escaped") {
				t.Errorf("%s: it got out: %s", p.name, out)
			}
		}
	}
}

// TestProcessLargeInput brings an input of the largest size to a real node, and
// one that is larger: by the API, and by the command line, which need not send it.
func TestProcessLargeInput(t *testing.T) {
	if testing.Short() {
		t.Skip("100 MiB through a node take a quarter of a minute")
	}
	const mib = 1 << 20
	probe, err := executortest.BuildProbe(t.TempDir(), "wasip1", "wasm")
	if err != nil {
		t.Fatal(err)
	}
	module, err := os.ReadFile(probe)
	if err != nil {
		t.Fatal(err)
	}
	m := startMesh(t, 1)
	c := m.nodes[0].client
	large := make([]byte, 101*mib)
	for i := 0; i < len(large); i += mib {
		copy(large[i:], base64.StdEncoding.EncodeToString([]byte{byte(i >> 20)})) // no two chunks the same
	}
	blob, err := c.Upload(t.Context(), bytes.NewReader(large[:api.MaxBlob]), api.MaxBlob)
	if err != nil || blob.Size != api.MaxBlob {
		t.Fatalf("an input of the largest size: %+v, %v", blob, err)
	}
	acc := m.submit(c, module, map[string]any{"args": []string{"size", "/in/large"}, "timeout": "1m", "inputs": []any{map[string]any{"name": "large", "cid": blob.CID}},
		"resources": map[string]any{"memory": "64MiB"}})
	if j := m.ended(c, acc.Job); j.State != api.JobCompleted {
		t.Errorf("the job is %s: %+v", j.State, j.Reason)
	}
	if got := m.printed(c, acc.Job); got != "104857600\n" {
		t.Errorf("the guest sees %q bytes", got)
	}
	for _, length := range []int64{int64(len(large)), -1} { // announced, and not
		_, err := c.Upload(t.Context(), io.MultiReader(bytes.NewReader(large)), length)
		if refusal, ok := errors.AsType[*api.Refusal](err); !ok || refusal.Code != api.CodeTooLarge {
			t.Errorf("101 MiB, announced as %d: %v", length, err)
		}
	}
	dir := t.TempDir()
	for name, text := range map[string][]byte{ // any order: independent files
		"large": large, "m.wasm": module, "job.yaml": []byte("module: m.wasm\ninputs: [{name: large, path: large}]\n"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, errs bytes.Buffer
	console := newConsole()
	console.out, console.err = &out, &errs
	code := console.run(t.Context(), []string{"ciro", "--data-dir", filepath.Join(m.dir, "n0"), "job", "submit", filepath.Join(dir, "job.yaml")})
	if code == exitOK || !strings.Contains(errs.String(), "more than the") || !strings.Contains(errs.String(), "make it smaller") {
		t.Errorf("exit code %d: %s%s", code, errs.String(), out.String())
	}
	if h, err := c.Health(t.Context()); err != nil || !h.FullyReplicated {
		t.Errorf("afterwards the node says %+v, %v", h, err)
	}
}
