package sim_test

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/sim"
)

// TestScriptsAreReadAsWritten writes the plan of seeds and reads it again.
func TestScriptsAreReadAsWritten(t *testing.T) {
	for seed := uint64(1); seed <= 50; seed++ {
		c := sim.Campaign(seed)
		c.Script, c.Only = sim.Plan(c), []int{0, 2}
		var file bytes.Buffer
		if err := sim.WriteReplay(&file, c, &sim.Violation{Rule: "G1"}, 0xfee1); err != nil {
			t.Fatal(err)
		}
		got, want, err := sim.ParseScript(&file, sim.Config{})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got.Script, c.Script) || got.Seed != c.Seed || got.Nodes != c.Nodes || !reflect.DeepEqual(got.Only, c.Only) {
			t.Errorf("seed %d: written %v, read %v", seed, c.Script, got.Script)
		}
		if want.Rule != "G1" || want.Hash != 0xfee1 {
			t.Errorf("expected %+v", want)
		}
	}
}

func TestBadScriptsAreRefused(t *testing.T) {
	for text, word := range map[string]string{
		"1s explode n1":           "explode",
		"1s crash n9":             "n9",
		"1s crash":                "at least 1",
		"1s":                      "missing",
		"soon crash n1":           "soon",
		"1s crash n1 for=yes":     "yes",
		"1s crash one":            "one",
		"nodes many":              "many",
		"nodes 1 2":               "one value",
		"1s hostile n0 for=1s":    "hostile",
		"1s loss rate=-1":         "rate",
		"mutation everything":     "everything",
		"expect G1 nothex":        "nothex",
		"-1s crash n1":            "outside",
		"1s pause n1 for=1000h":   "outside",
		"only 1,b":                "b",
		"nodes 0x3":               "0x3",
		"nodes 40000":             "40000",
		"1s slowlink n1 by=100ms": "at least 2",
	} {
		_, _, err := sim.ParseScript(strings.NewReader(text), sim.Config{})
		if err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: %v, want something about %q", text, err, word)
		}
	}
}

// TestShrunkRunsReplay finds a planted bug, shrinks its run and plays the file
// that a user would get: the same rule breaks, and nothing else has changed.
func TestShrunkRunsReplay(t *testing.T) {
	v := find(t, sim.RequeueSameAttempt)
	if v == nil {
		t.Fatal("the bug was not found")
	}
	c := sim.Campaign(v.Seed)
	c.Mutation = sim.RequeueSameAttempt
	small, smallest, hash := sim.Shrink(c, v, 120)
	if before, after := len(sim.Plan(c)), len(small.Script); after > before/2 {
		t.Errorf("of %d faults %d are left", before, after)
	}
	var file bytes.Buffer
	if err := sim.WriteReplay(&file, small, smallest, hash); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", file.String())
	read, want, err := sim.ParseScript(&file, sim.Config{})
	if err != nil {
		t.Fatal(err)
	}
	r, err := sim.Run(read)
	var got *sim.Violation
	if !errors.As(err, &got) || got.Rule != want.Rule || r.TraceHash != want.Hash {
		t.Errorf("replayed: %v with hash %x, want %s with %x", err, r.TraceHash, want.Rule, want.Hash)
	}
}

// TestFoundSeeds plays the files in testdata: each once showed a bug in a core
// or a shell that has been mended.
func TestFoundSeeds(t *testing.T) {
	files, err := filepath.Glob("testdata/*.replay")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		c, _, err := sim.ParseScript(f, sim.Config{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if _, err := sim.Run(c); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
}

// at makes an operation that lasts from one second to another.
func at(kind string, from, to int, d sim.Deed) sim.Deed {
	d.Kind, d.Call, d.Done, d.Known = kind, time.Duration(from)*time.Second, time.Duration(to)*time.Second, to > 0
	return d
}

// TestHistories gives the check of clients' histories good and bad ones.
func TestHistories(t *testing.T) {
	accepted := sim.Deed{Index: 7}
	none, live := sim.Deed{}, sim.Deed{Index: 7, State: job.Running}
	failed := sim.Deed{Index: 7, State: job.Failed}
	completed, cancelled := sim.Deed{Index: 7, State: job.Completed}, sim.Deed{Index: 7, State: job.Cancelled}
	for _, h := range []struct {
		name  string
		deeds []sim.Deed
		ok    bool
	}{
		{"accepted, repeated, read", []sim.Deed{at("submit", 1, 2, accepted), at("submit", 3, 4, accepted), at("read", 5, 6, live)}, true},
		{"a submission without answer takes effect later", []sim.Deed{at("submit", 1, 0, none), at("read", 2, 3, none), at("read", 4, 5, live)}, true},
		{"it never does", []sim.Deed{at("submit", 1, 0, none), at("read", 2, 3, none)}, true},
		{"a cancellation without answer", []sim.Deed{at("submit", 1, 2, accepted), at("cancel", 3, 0, none), at("read", 4, 5, live), at("read", 6, 7, cancelled)}, true},
		{"ended, then cancelled too late", []sim.Deed{at("submit", 1, 2, accepted), at("cancel", 3, 4, sim.Deed{Late: true}), at("read", 5, 6, completed)}, true},
		{"reads overlap the acceptance", []sim.Deed{at("submit", 1, 9, accepted), at("read", 2, 5, live), at("read", 3, 4, none)}, true},

		{"failed, retried, alive", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, failed), at("retry", 5, 6, none), at("read", 7, 8, live)}, true},
		{"retried, no answer, alive", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, failed), at("retry", 5, 0, none), at("read", 7, 8, live)}, true},

		{"failed and alive again", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, failed), at("read", 5, 6, live)}, false},
		{"failed, not retried, says the answer", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, failed), at("retry", 5, 6, sim.Deed{Late: true})}, false},
		{"completed and retried", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, completed), at("retry", 5, 6, none)}, false},
		{"accepted twice at different places", []sim.Deed{at("submit", 1, 2, accepted), at("submit", 3, 4, sim.Deed{Index: 9})}, false},
		{"accepted and not there", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, none)}, false},
		{"there and gone", []sim.Deed{at("submit", 1, 0, none), at("read", 2, 3, live), at("read", 4, 5, none)}, false},
		{"ended and alive again", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, completed), at("read", 5, 6, live)}, false},
		{"cancelled and completed", []sim.Deed{at("submit", 1, 2, accepted), at("cancel", 3, 4, none), at("read", 5, 6, completed)}, false},
		{"ended in two ways", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, completed), at("read", 5, 6, cancelled)}, false},
		{"cancelled and alive", []sim.Deed{at("submit", 1, 2, accepted), at("cancel", 3, 4, none), at("read", 5, 6, live)}, false},
		{"cancelled after its end", []sim.Deed{at("submit", 1, 2, accepted), at("read", 3, 4, completed), at("cancel", 5, 6, none)}, false},
		{"cancelled before anybody submitted it", []sim.Deed{at("cancel", 1, 2, none), at("submit", 3, 4, accepted)}, false},
		{"seen before anybody submitted it", []sim.Deed{at("read", 1, 2, live), at("submit", 3, 4, accepted)}, false},
	} {
		if ok, decided := sim.Linearizable(h.deeds); ok != h.ok || !decided {
			t.Errorf("%s: in order %v, decided %v", h.name, ok, decided)
		}
	}
}
