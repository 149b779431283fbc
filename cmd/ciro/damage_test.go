package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// text is what a node has logged since its last start.
func (m *mesh) text(i int) string {
	b, err := os.ReadFile(m.nodes[i].log.Name())
	if err != nil {
		m.t.Fatal(err)
	}
	return string(b)
}

// refuses starts node i, which must end by itself, soon, and say why.
func (m *mesh) refuses(i int, why ...string) {
	m.t.Helper()
	n, err := startDemoNode(m.t.Context(), demoStart{name: fmt.Sprint("n", i), dir: m.dir, roles: "worker,coordinator", join: m.nodes[0].join, logs: m.dir})
	if n == nil {
		m.t.Fatal(err)
	}
	m.nodes[i] = n
	select {
	case <-n.ended:
	case <-time.After(20 * time.Second):
		m.t.Fatalf("it runs on as if nothing had happened; its log: %s", m.text(i))
	}
	text := m.text(i)
	if n.cmd.ProcessState.ExitCode() != 1 {
		m.t.Errorf("it ended with %v; its log: %s", n.cmd.ProcessState, text)
	}
	for _, w := range why {
		if !strings.Contains(text, w) {
			m.t.Errorf("its log does not say %q: %s", w, text)
		}
	}
	m.t.Log(strings.ReplaceAll(lastLine(text), m.dir, "DIR"))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

// whole waits for three voters in every shard.
func (m *mesh) whole() {
	m.t.Helper()
	m.until("three voters in every shard", func() bool {
		list, err := m.nodes[0].client.Shards(m.t.Context())
		return err == nil && !slices.ContainsFunc(list.Shards, func(s api.Shard) bool { return !s.Complete || voters(s) != "3/3" })
	})
}

// replaceDir puts a copy in the place of a directory.
func replaceDir(t *testing.T, dir, copied string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(copied))); err != nil {
		t.Fatal(err)
	}
}

// TestProcessOlderCopy restores an older copy of a node's data directory: one
// made before its last start, which any peer tells by the count of starts, and
// one made since, which leaders tell that have its acknowledgements. It is
// refused by name, then and on every later start, and the others go on.
func TestProcessOlderCopy(t *testing.T) {
	m := startMesh(t, 3)
	dir := filepath.Join(m.dir, "n2")
	work := func() api.Job {
		return m.ended(m.nodes[0].client, m.submit(m.nodes[0].client, moduleOf(t, ""), map[string]any{"tasks": 30}).Job)
	}
	kill := func() {
		t.Helper()
		if err := m.nodes[2].kill(); err != nil {
			t.Fatal(err)
		}
	}
	copied := func() string {
		t.Helper()
		to := t.TempDir()
		if err := os.CopyFS(to, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		return to
	}
	m.whole()
	work()
	kill()
	before := copied()
	m.start(2, "worker,coordinator")
	m.whole()
	since := copied()
	led := map[int]bool{} // several: whose leader changes meanwhile can tell nothing
	m.until("jobs in shards that other nodes lead", func() bool {
		if j := work(); j.Coordinator != m.nodes[2].peer {
			led[j.Shard] = true
		}
		return len(led) >= 5
	})
	kill()
	newest := copied()

	const older = "is older than what this node has promised"
	replaceDir(t, dir, before)
	m.refuses(2, older, "join with a fresh one") // by its peers, or by a leader that is quicker
	m.refuses(2, older)
	replaceDir(t, dir, since)
	m.refuses(2, older, "its leader has its acknowledgement up to", "join with a fresh one")
	m.refuses(2, older)

	// The directory as it was, but without its newest log.
	replaceDir(t, dir, newest)
	err := filepath.WalkDir(filepath.Join(dir, "state"), func(path string, _ fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(path, ".log") {
			err = os.Remove(path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	m.refuses(2, older, "its state is that of start")
	if j := work(); j.State != api.JobCompleted {
		t.Errorf("a job is %s: %+v", j.State, j.Reason)
	}
}
