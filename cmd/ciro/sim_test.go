package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// simmed runs the command and reads its document.
func simmed(t *testing.T, w *world, code int, args ...string) simSummary {
	t.Helper()
	r := w.ciro(t, append([]string{"sim", "-o", "json"}, args...)...)
	if r.code != code {
		t.Fatalf("%v ended with %d: %s", args, r.code, r.err)
	}
	var s simSummary
	if err := json.Unmarshal([]byte(r.out), &s); err != nil {
		t.Fatalf("%v: %v in %s", args, err, r.out)
	}
	return s
}

// TestSimOneRun plays one seed twice, from the command line and from a script.
func TestSimOneRun(t *testing.T) {
	w := newWorld(t)
	script := w.write(t, "faults.txt", "# two faults\n3s crash n1 for=2s\n4s isolate n2 for=1s\n")
	a := simmed(t, w, exitOK, "--seed", "7", "--script", script, "--jobs", "5", "--latency", "wan")
	b := simmed(t, w, exitOK, "--seed", "7", "--script", script, "--jobs", "5", "--latency", "wan")
	if a.TraceHash != b.TraceHash || a.TraceHash == "" {
		t.Errorf("one seed was two runs: %s and %s", a.TraceHash, b.TraceHash)
	}
	if a.Jobs["accepted"] != 5 || a.Faults["crash"] != 1 || a.Faults["isolate"] != 1 || len(a.Faults) != 2 {
		t.Errorf("%v jobs, faults %v", a.Jobs, a.Faults)
	}
	if r := w.ciro(t, "sim", "--seed", "7", "--trace", "--faults", "none"); !strings.Contains(r.out, "completed") || r.code != exitOK {
		t.Errorf("the trace ended with %d: %s", r.code, r.out)
	}
}

// TestSimCampaign plays a campaign in processes of its own, once with a bug
// planted: it fails, and the file that it writes fails in the same way.
func TestSimCampaign(t *testing.T) {
	t.Setenv(asProgram, "1")
	w := newWorld(t)
	if s := simmed(t, w, exitOK, "--seeds", "6", "--seed", "40"); s.Seeds != 6 || s.Jobs["accepted"] == 0 || len(s.Failures) > 0 {
		t.Errorf("%+v", s)
	}
	s := simmed(t, w, exitFailed, "--seeds", "2", "--mutation", "requeueSameAttempt", "--dest", w.dir)
	if len(s.Failures) == 0 || s.Failures[0].File == "" {
		t.Fatalf("a planted bug was not found or not written: %+v", s.Failures)
	}
	file := filepath.Join(w.dir, filepath.Base(s.Failures[0].File))
	again := simmed(t, w, exitFailed, "--replay", file)
	if again.Note != "as the file says, bit for bit" || again.Failures[0].Rule != s.Failures[0].Rule {
		t.Errorf("replayed: %+v", again)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	mended := filepath.Join(w.dir, "mended.replay")
	if err := os.WriteFile(mended, []byte(strings.Replace(string(text), "mutation requeueSameAttempt\n", "", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	if s := simmed(t, w, exitOK, "--replay", mended); !strings.Contains(s.Note, "holds now") {
		t.Errorf("without the bug: %+v", s)
	}
}
