package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestProcessOperator plays what an operator does on a network of one real node,
// line by line as it is typed: each line ends with the code that scripts rely on
// and says what a newcomer needs next.
func TestProcessOperator(t *testing.T) {
	if testing.Short() {
		t.Skip("starts a process")
	}
	m := startMesh(t, 1)
	w := newWorld(t)
	dir := filepath.Join(m.dir, "n0")
	self := m.nodes[0].peer
	good, bad := w.write(t, "good.wasm", string(moduleOf(t, ""))), w.write(t, "trap.wasm", string(moduleOf(t, "00")))
	w.write(t, "good.yaml", "name: good\nmodule: "+good+"\n")
	w.write(t, "bad.yaml", "name: bad\nmodule: "+bad+"\n")
	exported := filepath.Join(w.dir, "identity.json")
	w.stdin = "no\n"
	last := "" // the job submitted last
	for _, step := range []struct {
		line string
		code int
		says string // all of it, in what is written to either output; | stands between the parts
	}{
		{"network admission", 0, "open (every coordinator of the network may vote)|" + self},
		{"network allow nonsense", 1, `"nonsense" is no peer id; ciro network peers --output json shows peer ids`},
		{"network allow " + self, 1, `the rule of its founding is "open"; a list is chosen when a network is founded: ciro start --open`},
		{"network deny " + self, 1, "every coordinator of this network may vote"},
		{"network leave", 1, "could not be left: nobody else can hold them now; start another coordinator"},
		{"network recover-shard 0", 2, "name each voter that will never come back with --lost PEER; ciro network shards"},
		{"network recover-shard 0 --lost " + self, 1, "shard 0 has a coordinator|nothing is to be recovered"},
		{"network recover-shard 4096 --lost " + self, 2, `"4096" is no number of a shard; ciro network shards lists them`},
		{"worker drain --wait", 0, "draining|ciro worker resume, to take tasks again"},
		{"job submit DIR/good.yaml --dry-run", 0, "good is valid|nothing was submitted|0 of 1 could run a task now|1 is draining: resume one with ciro worker resume|(no_match)"},
		{"job submit DIR/none.yaml --dry-run", 1, "none.yaml: no such file"},
		{"job submit DIR/good.yaml -q", 0, ""},
		{"job describe JOB", 0, "Waiting for:|1 is draining: resume one with ciro worker resume"},
		{"job retry JOB", 1, "only a failed job can be retried; this one is pending; ciro job describe JOB shows its state"},
		{"worker resume", 0, "Offers:"},
		{"job wait JOB", 0, "completed"},
		{"job retry JOB", 1, "only a failed job can be retried; this one is completed"},
		{"job submit DIR/bad.yaml -q", 0, ""},
		{"job wait JOB", 1, "failed"},
		{"job dead-letters", 0, "bad|trap"},
		{"job retry JOB --task 7", 1, "the task is not dead, so there is nothing to retry"},
		{"job retry JOB", 0, "Round:|2|ciro job watch "},
		{"job wait JOB", 1, "failed"},
		{"job retry JOB --round 2", 0, "this round had been opened before"},
		{"job retry feedfeedfeed", 1, "no job begins with feedfeedfeed; ciro job list shows the known ones"},
		{"job retry", 2, "wants JOB|ciro job retry --help"},
		{"identity show", 0, self + "|Client key:"},
		{"identity export " + exported, 0, "the secrets of " + self + " are in|keep it safe"},
		{"identity export " + exported, 1, "file exists; name a file that does not exist"},
		{"identity import " + exported, 1, "has an identity already; it is never replaced: use another --data-dir"},
		{"--data-dir DIR/other identity import " + exported, 0, "is now " + self},
		{"--data-dir DIR/nobody identity export -", 1, "there is no identity in DIR/nobody|ciro start"},
	} {
		line := strings.ReplaceAll(step.line, "JOB", last)
		args := strings.Fields(line)
		if args[0] != "--data-dir" {
			args = append([]string{"--data-dir", dir}, args...)
		}
		r := w.ciro(t, args...)
		said := r.out + r.err
		if r.code != step.code {
			t.Errorf("ciro %s ends with %d, not %d: %s", line, r.code, step.code, said)
		}
		for part := range strings.SplitSeq(step.says, "|") {
			if !strings.Contains(said, part) {
				t.Errorf("ciro %s does not say %q: %s", line, part, said)
			}
		}
		if strings.HasSuffix(step.line, "-q") {
			last = strings.TrimSpace(r.out)
		}
	}
	if s, err := os.Stat(exported); err != nil || s.Mode().Perm() != 0o600 {
		t.Errorf("the exported secrets have the mode %v, %v", s.Mode(), err)
	}
	if st, err := m.nodes[0].client.Status(t.Context()); err != nil || st.Draining {
		t.Errorf("in the end the node is draining: %v, %v", st.Draining, err)
	}
}
