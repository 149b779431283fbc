package match

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

var one = job.Resources{CPU: 1000, Memory: 1 << 20}

func spec() *job.Spec {
	return &job.Spec{Type: "render3d", Executor: "wasm", Module: "module", PriceMax: 100}
}

func sample(id string) Worker {
	total := job.Resources{CPU: 4000, Memory: 4 << 20, Disk: 1 << 20}
	return Worker{
		ID: id, Free: total, FreeSlots: 4, Score: 0.5,
		Cap: work.Capability{
			Total: total, Executors: []string{"container", "wasm"}, Labels: []job.Pair{{Key: "a", Value: "1"}, {Key: "b", Value: "2"}, {Key: "b", Value: "3"}},
			Price: 100, Slots: 4,
		},
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		want  Why
		code  string
		spoil func(*job.Spec, *Worker)
	}{
		{Fits, "fits", func(*job.Spec, *Worker) {}},
		{Fits, "fits", func(s *job.Spec, w *Worker) { w.Cap.Types = []string{"video", "render3d"} }},
		{Fits, "fits", func(s *job.Spec, w *Worker) { s.Labels = []job.Pair{{Key: "a", Value: "1"}, {Key: "b", Value: "3"}} }},
		{Fits, "fits", func(s *job.Spec, w *Worker) { s.PriceMax, w.Cap.Price = 0, 1<<40 }},
		{WhyDraining, "draining", func(s *job.Spec, w *Worker) { w.Draining, w.Cap.Executors = true, nil }},
		{WhyExecutor, "executor", func(s *job.Spec, w *Worker) { s.Executor, w.Cap.Types = "process", []string{"nlp"} }},
		{WhyClient, "client", func(s *job.Spec, w *Worker) { s.Owner, w.Cap.Deny = "aa", []string{"aa"} }},
		{WhyClient, "client", func(s *job.Spec, w *Worker) { s.Owner, w.Cap.Allow = "aa", []string{"bb"} }},
		{Fits, "fits", func(s *job.Spec, w *Worker) {
			s.Owner, w.Cap.Allow, w.Cap.Deny = "aa", []string{"aa", "bb"}, []string{"cc"}
		}},
		{WhyType, "type", func(s *job.Spec, w *Worker) { w.Cap.Types, w.Cap.Labels = []string{"nlp"}, nil }},
		{WhyLabels, "labels", func(s *job.Spec, w *Worker) { s.Labels, s.PriceMax = []job.Pair{{Key: "b", Value: "4"}}, 1 }},
		{WhyLabels, "labels", func(s *job.Spec, w *Worker) { s.Labels = []job.Pair{{Key: "c"}} }},
		{WhyPrice, "price", func(s *job.Spec, w *Worker) { s.PriceMax, w.Cap.Total = 99, job.Resources{} }},
		{WhyTooBig, "too_big", func(s *job.Spec, w *Worker) { w.Cap.Total.CPU, w.FreeSlots = 999, 0 }},
		{WhyBusy, "busy", func(s *job.Spec, w *Worker) { w.FreeSlots = 0 }},
		{WhyBusy, "busy", func(s *job.Spec, w *Worker) { w.Free.CPU = 999 }},
	}
	for i, tt := range tests {
		s, w := spec(), sample("w")
		tt.spoil(s, &w)
		if got := Judge(s, one, &w); got != tt.want || got.String() != tt.code {
			t.Errorf("%d: %v, want %v", i, got, tt.code)
		}
		if _, ok := choose(s, []Worker{w}, Options{}); ok != (tt.want == Fits) {
			t.Errorf("%d: chosen %v, judged %v", i, ok, tt.want)
		}
	}
}

// choose puts workers into a pool and returns the place of the one chosen.
func choose(s *job.Spec, ws []Worker, o Options, avoid ...string) (at int, ok bool) {
	p := &Pool{}
	for i := range ws {
		p.Add(&ws[i])
	}
	w, v := p.Choose(newShape("", s, one), &Ask{Spec: s, Need: one, Avoid: avoid}, &o)
	for i := range ws {
		ws[i].seat = seat{}
		if w == &ws[i] {
			at = i
		}
	}
	return at, v == Found
}

func TestRanking(t *testing.T) {
	tests := map[string]func(better, worse *Worker){
		"more free":      func(b, w *Worker) { w.Free.CPU = 2000 },
		"more slots":     func(b, w *Worker) { w.FreeSlots = 1 },
		"cheaper":        func(b, w *Worker) { b.Cap.Price = 50 },
		"better known":   func(b, w *Worker) { b.Score = 0.6 },
		"module is here": func(b, w *Worker) { b.Modules = []string{"other", "module"} },
		"fewer attempts": func(b, w *Worker) { w.Running = 1 },
		"smaller id":     func(b, w *Worker) { b.ID = "a" },
	}
	for name, favour := range tests {
		for at := range 2 { // whichever comes first
			ws := []Worker{sample("m"), sample("m")}
			favour(&ws[at], &ws[1-at])
			if got, ok := choose(spec(), ws, Options{Weights: DefaultWeights()}); !ok || got != at {
				t.Errorf("%s: chose %d of %d", name, got, at)
			}
		}
	}
}

func TestAvoidedOnlyAtNeed(t *testing.T) {
	ws := []Worker{sample("a"), sample("b")}
	ws[0].Score, ws[1].Free.CPU = 1, 1000
	o := Options{Weights: DefaultWeights()}
	if got, ok := choose(spec(), ws, o, "a"); !ok || got != 1 {
		t.Errorf("chose %d", got)
	}
	ws[1].FreeSlots = 0
	if got, ok := choose(spec(), ws, o, "a"); !ok || got != 0 {
		t.Errorf("chose %d, %v although only the avoided one fits", got, ok)
	}
}

// TestChooseFindsWhatFits compares with an exhaustive search.
func TestChooseFindsWhatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := make([]Worker, rapid.IntRange(0, 120).Draw(t, "workers"))
		fits := map[int]bool{}
		rare := rapid.IntRange(1, 60).Draw(t, "rare")
		for i := range ws {
			ws[i] = sample(fmt.Sprintf("w%03d", i))
			ws[i].Score = float64(rapid.IntRange(0, 100).Draw(t, "score")) / 100
			if rapid.IntRange(1, rare).Draw(t, "busy") > 1 {
				ws[i].Free.CPU = 0
			} else {
				fits[i] = true
			}
		}
		seed := rapid.Uint64().Draw(t, "seed")
		o := Options{Weights: DefaultWeights(), K: rapid.IntRange(1, 40).Draw(t, "k"), Rand: rand.New(rand.NewPCG(seed, 1))}
		got, ok := choose(spec(), ws, o)
		if ok != (len(fits) > 0) || ok && !fits[got] {
			t.Fatalf("chose %d, %v; %d fit", got, ok, len(fits))
		}
		if ok && len(fits) <= o.K {
			for i := range fits {
				if ws[i].Score > ws[got].Score {
					t.Fatalf("chose %d although %d is better and all were candidates", got, i)
				}
			}
		}
		o.Rand = rand.New(rand.NewPCG(seed, 1))
		if again, _ := choose(spec(), ws, o); again != got {
			t.Fatalf("the same arguments give %d and %d", got, again)
		}
	})
}

// TestNoHerds checks that among many equals no worker is everybody's choice.
func TestNoHerds(t *testing.T) {
	ws := make([]Worker, 1000)
	for i := range ws {
		ws[i] = sample(fmt.Sprintf("w%04d", i))
	}
	chosen := map[int]int{}
	r := rand.New(rand.NewPCG(1, 2))
	for range 1000 {
		i, _ := choose(spec(), ws, Options{Weights: DefaultWeights(), Rand: r})
		chosen[i]++
	}
	most := 0
	for _, n := range chosen {
		most = max(most, n)
	}
	if most > 60 || len(chosen) < 100 {
		t.Errorf("one of 1000 equal workers was chosen %d times, %d workers in all", most, len(chosen))
	}
}

func TestOrder(t *testing.T) {
	es := []Entry{
		{Index: 7, Priority: 5, Waiting: 4 * time.Minute},
		{Index: 1, Priority: 5, Waiting: 4 * time.Minute, Share: 0.2},
		{Index: 2, Priority: 1, Waiting: 20 * time.Minute}, // as good as 5
		{Index: 3, Priority: 10},
		{Index: 4, Priority: 9, Waiting: time.Hour}, // capped at 10
		{Index: 5, Priority: 4, Waiting: 5*time.Minute - 1},
		{Index: 6, Priority: 4, Waiting: -time.Hour}, // clocks of two leaders
	}
	Order(es)
	var got []string
	for _, e := range es {
		got = append(got, fmt.Sprint(e.Index))
	}
	if s := strings.Join(got, " "); s != "3 4 2 7 1 5 6" {
		t.Error(s)
	}
}

func TestBeforeIsAnOrder(t *testing.T) {
	entry := rapid.Custom(func(t *rapid.T) Entry {
		return Entry{
			Index: rapid.Uint64Range(0, 3).Draw(t, "index"), Priority: uint8(rapid.IntRange(1, 10).Draw(t, "priority")),
			Waiting: time.Duration(rapid.IntRange(0, 60).Draw(t, "min")) * time.Minute, Share: rapid.SampledFrom([]float64{0, 0.1, 1}).Draw(t, "share"),
		}
	})
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := entry.Draw(t, "a"), entry.Draw(t, "b"), entry.Draw(t, "c")
		if Before(a, a) || Before(a, b) && Before(b, a) || Before(a, b) && Before(b, c) && !Before(a, c) {
			t.Fatal("not an order")
		}
		older := a
		older.Waiting += time.Minute
		if Before(a, older) {
			t.Fatal("waiting longer sets a job back")
		}
		es := []Entry{a, b, c}
		Order(es)
		if !slices.IsSortedFunc(es, func(x, y Entry) int { return cmp.Compare(rank(y, x), rank(x, y)) }) {
			t.Fatalf("%+v is not in order", es)
		}
	})
}

func rank(a, b Entry) int {
	if Before(a, b) {
		return 1
	}
	return 0
}
