package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// moduleOf is a module whose _start has the given code, in hexadecimal.
func moduleOf(t *testing.T, code string) []byte {
	t.Helper()
	body, err := hex.DecodeString("00" + code + "0b")
	if err != nil {
		t.Fatal(err)
	}
	head, err := hex.DecodeString("0061736d01000000" + "010401600000" + "03020100" + "0503010001" +
		"07130206" + "6d656d6f7279" + "0200" + "06" + "5f7374617274" + "0000")
	if err != nil {
		t.Fatal(err)
	}
	return append(append(head, 0x0a, byte(len(body)+2), 1, byte(len(body))), body...)
}

// mesh is some processes of the program on loopback.
type mesh struct {
	t     *testing.T
	dir   string
	nodes []*demoNode
}

func startMesh(t *testing.T, n int) *mesh {
	t.Helper()
	t.Setenv(asProgram, "1")
	m := &mesh{t: t, dir: t.TempDir()}
	for i := range n {
		m.nodes = append(m.nodes, nil)
		m.start(i, "worker,coordinator")
	}
	t.Cleanup(func() {
		for _, n := range m.nodes {
			n.terminate()
		}
		for _, n := range m.nodes {
			if err := n.await(20 * time.Second); err != nil {
				t.Error(err)
			}
		}
	})
	m.healthy()
	return m
}

// start starts node i, or starts it again from its folder.
func (m *mesh) start(i int, roles string) {
	m.t.Helper()
	join := ""
	if i > 0 {
		join = m.nodes[0].join
	}
	n, err := startDemoNode(m.t.Context(), demoStart{name: fmt.Sprint("n", i), dir: m.dir, roles: roles, join: join, logs: m.dir})
	if err != nil {
		m.t.Fatal(err)
	}
	m.nodes[i] = n
}

// until polls for something, for at most a minute.
func (m *mesh) until(what string, ok func() bool) {
	m.t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for range 1200 {
		if ok() {
			return
		}
		<-tick.C
	}
	m.t.Fatalf("it did not come to pass: %s", what)
}

func (m *mesh) healthy() {
	m.t.Helper()
	m.until("full replication", func() bool {
		h, err := m.nodes[len(m.nodes)-1].client.Health(m.t.Context())
		return err == nil && h.FullyReplicated
	})
}

func (m *mesh) submit(c *client.Client, module []byte, more map[string]any) api.Acceptance {
	m.t.Helper()
	acc, err := c.Submit(m.t.Context(), m.submission(c, module, more))
	if err != nil {
		m.t.Fatal(err)
	}
	return acc
}

// submission uploads a module and makes a spec that runs it.
func (m *mesh) submission(c *client.Client, module []byte, more map[string]any) api.Submission {
	m.t.Helper()
	blob, err := c.Upload(m.t.Context(), bytes.NewReader(module), int64(len(module)))
	if err != nil {
		m.t.Fatal(err)
	}
	spec := map[string]any{"name": "test", "module": blob.CID, "timeout": "1s", "retries": 0, "resources": map[string]any{"cpu": 1, "memory": "16MiB"}}
	for k, v := range more {
		spec[k] = v
	}
	text, err := json.Marshal(spec)
	if err != nil {
		m.t.Fatal(err)
	}
	return api.Submission{Spec: text}
}

func (m *mesh) ended(c *client.Client, id string) api.Job {
	m.t.Helper()
	var j api.Job
	m.until("the end of the job", func() bool {
		d, err := c.Describe(m.t.Context(), id, false)
		j = d
		return err == nil && api.Terminal(d.State)
	})
	return j
}

// TestProcessPrograms runs good and bad programs on one node and checks what
// people are told.
func TestProcessPrograms(t *testing.T) {
	m := startMesh(t, 1)
	c := m.nodes[0].client
	if _, err := c.Submit(t.Context(), m.submission(c, []byte("a text"), nil)); err == nil || !strings.Contains(err.Error(), "is no WebAssembly module") {
		t.Errorf("a text as module: %v", err)
	}
	for _, p := range []struct {
		name         string
		module       []byte
		state, cause string
	}{
		{"no-op", moduleOf(t, ""), api.JobCompleted, ""},
		{"endless loop", moduleOf(t, "03400c000b"), api.JobFailed, "timeout"},
		{"trap", moduleOf(t, "00"), api.JobFailed, "trap"},
		{"damaged module", moduleOf(t, "ff"), api.JobFailed, "module"},
	} {
		j := m.ended(c, m.submit(c, p.module, nil).Job)
		if j.State != p.state {
			t.Errorf("%s: the job is %s, not %s: %+v", p.name, j.State, p.state, j.Reason)
			continue
		}
		if p.cause != "" && (j.Reason.Code != p.cause || j.Reason.Sentence == "") {
			t.Errorf("%s: the reason is %+v, not %s", p.name, j.Reason, p.cause)
		}
		if took := j.Ended.Sub(j.Started.Time); took > 10*time.Second {
			t.Errorf("%s: it took %v", p.name, took)
		}
	}
}

// TestProcessKilled kills all nodes while a job runs and starts them again: they
// are who they were and the job ends. A second daemon on a data directory, and a
// node of another network, are refused by name.
func TestProcessKilled(t *testing.T) {
	m := startMesh(t, 3)
	c := m.nodes[2].client
	acc := m.submit(c, moduleOf(t, ""), map[string]any{"tasks": 60})
	before := m.nodes[1].peer
	for _, n := range m.nodes {
		if err := n.kill(); err != nil {
			t.Fatal(err)
		}
	}
	for i := range m.nodes {
		m.start(i, "worker,coordinator")
	}
	m.healthy()
	if m.nodes[1].peer != before {
		t.Error("a node came back as somebody else")
	}
	if j := m.ended(m.nodes[2].client, acc.Job); j.State != api.JobCompleted || j.Counts.Done != 60 {
		t.Errorf("the job is %s with %d tasks done: %+v", j.State, j.Counts.Done, j.Reason)
	}
	refused := func(want string, args ...string) {
		t.Helper()
		program, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		out, err := exec.CommandContext(ctx, program, args...).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("%v answered %q, %v", args, out, err)
		}
	}
	quiet := []string{"--api-listen", "127.0.0.1:0", "--listen", "/ip4/127.0.0.1/tcp/0"}
	refused("another ciro uses", append([]string{"--data-dir", m.dir + "/n0", "start"}, quiet...)...)
	refused("join secret", append([]string{"--data-dir", m.dir + "/x", "start", "--join", strings.SplitN(m.nodes[0].join, "#", 2)[0]}, quiet...)...)
	refused("is no multiaddress", append([]string{"--data-dir", m.dir + "/y", "start", "--join", "/ip4/nowhere"}, quiet...)...)
	other := startOther(t, m)
	refused("belongs to network", append([]string{"--data-dir", other, "start", "--join", m.nodes[0].join}, quiet...)...)
}

// startOther founds another network in a folder of its own and stops it.
func startOther(t *testing.T, m *mesh) string {
	t.Helper()
	n, err := startDemoNode(t.Context(), demoStart{name: "other", dir: m.dir, roles: "coordinator", logs: m.dir})
	if err != nil {
		t.Fatal(err)
	}
	n.terminate()
	if err := n.await(20 * time.Second); err != nil {
		t.Fatal(err)
	}
	return m.dir + "/other"
}

// TestProcessBench measures a network of two nodes with a few jobs; what counts
// here is that every job is checked and the report is whole.
func TestProcessBench(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes")
	}
	t.Setenv(asProgram, "1")
	w := newWorld(t)
	got := w.ciro(t, "bench", "--nodes", "2", "--jobs", "12", "--clients", "3", "--warmup", "2", "-o", "json")
	if got.code != 0 {
		t.Fatalf("exit %d: %s", got.code, got.err)
	}
	var r benchReport
	if err := json.Unmarshal([]byte(got.out), &r); err != nil {
		t.Fatal(err)
	}
	if r.Jobs != 12 || r.Nodes != 2 || len(r.Processes) != 2 || r.JobsPerSec <= 0 || r.Submit.P50 <= 0 || r.EndToEnd.Max < r.Submit.P50 {
		t.Errorf("%+v", r)
	}
}
