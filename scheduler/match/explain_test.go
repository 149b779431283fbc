package match

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// words is a constraint of labels: clause i holds where the worker has the i-th
// word as a label.
type words struct {
	list   []string
	judged *int
}

func (w words) Clauses() []string { return w.list }

func (w words) Fails(_ string, c *work.Capability) (out uint32) {
	*w.judged++
	for i, word := range w.list {
		if !slices.ContainsFunc(c.Labels, func(p job.Pair) bool { return p.Key == word }) {
			out |= 1 << i
		}
	}
	return out
}

func compiler(compiled, judged *int) *Constraints {
	return &Constraints{Compile: func(source string) (Constraint, error) {
		*compiled++
		if source == "?" {
			return nil, errors.New("column 1: unexpected token")
		}
		return words{strings.Fields(source), judged}, nil
	}}
}

// TestConstraintsAreJudgedOncePerOffer: each expression is compiled once, and
// judged once per worker until that offers something else.
func TestConstraintsAreJudgedOncePerOffer(t *testing.T) {
	var compiled, judged int
	table := compiler(&compiled, &judged)
	s, w := spec(), sample("w")
	w.Offer(w.Cap, table)
	for _, tt := range []struct {
		source string
		want   Why
	}{{"a b", Fits}, {"a c", WhyConstraint}, {"?", WhyUnreadable}} {
		s.Constraints = tt.source
		for range 3 {
			if got := Judge(s, one, &w); got != tt.want {
				t.Errorf("%q: %v", tt.source, got)
			}
		}
	}
	if compiled != 3 || judged != 2 {
		t.Errorf("compiled %d times, judged %d times", compiled, judged)
	}
	s.Constraints = "a c"
	more := w.Cap
	more.Labels = append(slices.Clone(more.Labels), job.Pair{Key: "c"})
	w.Offer(more, table)
	if got := Judge(s, one, &w); got != Fits || judged != 3 || compiled != 3 {
		t.Errorf("after another offer: %v, judged %d, compiled %d", got, judged, compiled)
	}
	for i := range 2 * maxConstraints {
		s.Constraints = fmt.Sprint("a", i)
		Judge(s, one, &w)
	}
	if len(table.known) > maxConstraints || len(w.verdicts) > maxVerdicts {
		t.Errorf("%d constraints and %d verdicts are kept", len(table.known), len(w.verdicts))
	}
	bare := sample("bare")
	if got := Judge(s, one, &bare); got != WhyUnreadable {
		t.Errorf("a leader that reads no constraints: %v", got)
	}
}

func TestExplain(t *testing.T) {
	var compiled, judged int
	table := compiler(&compiled, &judged)
	need := job.Resources{CPU: 2000, Memory: 8 << 30, Disk: 1 << 20}
	worker := func(change func(*Worker)) *Worker {
		w := sample("w")
		w.Cap.Total = job.Resources{CPU: 4000, Memory: 16 << 30, Disk: 1 << 30}
		w.Cap.Labels = []job.Pair{{Key: "fast"}, {Key: "zone", Value: "eu"}}
		w.Free = w.Cap.Total
		change(&w)
		w.Offer(w.Cap, table)
		return &w
	}
	small := worker(func(w *Worker) { w.Cap.Total.Memory = 4 << 30 })
	away := worker(func(w *Worker) { w.Cap.Labels = []job.Pair{{Key: "fast"}} })
	slow := worker(func(w *Worker) { w.Cap.Labels = []job.Pair{{Key: "zone", Value: "eu"}} })
	full := worker(func(w *Worker) { w.FreeSlots = 0 })
	kept := worker(func(w *Worker) { w.Hold = &Hold{} })
	dear := worker(func(w *Worker) { w.Cap.Price = 50_000 })
	none := worker(func(w *Worker) { w.Cap = work.Capability{}; w.Draining = true })
	fit := worker(func(*Worker) {})
	tests := []struct {
		workers []*Worker
		want    string
	}{
		{[]*Worker{away, away, small}, "3 workers: 2 lack label zone=eu, 1 has 4 GiB memory, the task needs 8 GiB: " +
			"start a worker with label zone=eu, or take it out of labels; or start a worker with more memory, or lower resources.memory"},
		{[]*Worker{slow}, "1 worker: 1 does not meet fast: start a worker that meets fast, or take that out of constraints"},
		{[]*Worker{small, small}, "2 workers: 2 have at most 4 GiB memory, the task needs 8 GiB: start a worker with more memory, or lower resources.memory"},
		{[]*Worker{dear, full}, "2 workers: 1 has no room for it now, 1 costs 0.05 or more, the job pays at most 0.02: wait; or raise price.max to 0.05"},
		{[]*Worker{kept, kept}, "2 workers: 2 keep their room for tasks that have waited longer"},
		{[]*Worker{fit, away}, "2 workers: 1 has room for it, 1 lacks label zone=eu"},
		{[]*Worker{none}, "1 worker: 1 is draining, 1 does not run executor wasm, 1 lacks label zone=eu, 1 does not meet fast, " +
			"3 more conditions exclude others; each lacks several, so no single change is enough: resume one with ciro worker resume, or start another worker"},
	}
	s := &job.Spec{Type: "custom", Executor: "wasm", Labels: []job.Pair{{Key: "zone", Value: "eu"}}, Constraints: "fast", PriceMax: 20_000}
	for _, tt := range tests {
		e := Explain(s, need, tt.workers)
		if got := e.Sentence(s, need); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
		if n := e.Fit + e.Full + e.Kept; n < len(tt.workers) && len(e.Excluded) == 0 {
			t.Errorf("%d of %d workers are accounted for", n, len(tt.workers))
		}
	}
	// Every reason has a condition and a change that say something.
	for why := WhyDraining; why < WhyBusy; why++ {
		x := Exclusion{Why: why, What: "memory", Workers: 2}
		if x.Condition(s, need) == "" || x.Change() == "" {
			t.Errorf("%v has no words", why)
		}
	}
	s.Constraints = "?"
	e := Explain(s, need, []*Worker{fit})
	if got := e.Sentence(s, need); !strings.Contains(got, "cannot read the constraints (column 1: unexpected token)") {
		t.Error(got)
	}
}

// TestExplainAgreesWithJudge: what Explain counts as able to run a task is what
// Judge lets pass.
func TestExplainAgreesWithJudge(t *testing.T) {
	for i := range 200 {
		s, w := spec(), sample("w")
		if i&1 > 0 {
			s.Executor = "process"
		}
		if i&2 > 0 {
			w.Cap.Types = []string{"nlp"}
		}
		if i&4 > 0 {
			s.Labels = []job.Pair{{Key: "z"}}
		}
		if i&8 > 0 {
			s.PriceMax = 1
		}
		if i&16 > 0 {
			w.Cap.Total.CPU = 1
		}
		w.Draining = i&32 > 0
		if i&64 > 0 {
			w.FreeSlots = 0
		}
		e, why := Explain(s, one, []*Worker{&w}), Judge(s, one, &w)
		if (e.Fit == 1) != (why == Fits) || (e.Full == 1) != (why == WhyBusy) || (len(e.Excluded) > 0) != (why != Fits && why != WhyBusy) {
			t.Errorf("%d: %+v, judged %v", i, e, why)
		}
	}
}

func BenchmarkJudgeConstrained(b *testing.B) {
	var compiled, judged int
	table := compiler(&compiled, &judged)
	ws := make([]Worker, 10_000)
	for i := range ws {
		ws[i] = sample(fmt.Sprint(i))
		ws[i].Offer(ws[i].Cap, table)
	}
	s := spec()
	s.Constraints = "a nothing"
	for b.Loop() {
		for i := range ws {
			if Judge(s, one, &ws[i]) != WhyConstraint {
				b.Fatal("it fits")
			}
		}
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/float64(len(ws)), "ns/worker")
}

func BenchmarkExplain(b *testing.B) {
	ws := make([]*Worker, 1000)
	for i := range ws {
		w := sample(fmt.Sprint(i))
		ws[i] = &w
	}
	s := spec()
	s.Labels = []job.Pair{{Key: "nowhere"}}
	for b.Loop() {
		Explain(s, one, ws)
	}
}
