package match

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ciro-network/ciro/scheduler/job"
)

// TestPoolFindsWhatFits changes workers and shapes at random and compares every
// verdict with a look at all workers: nothing that fits is overlooked, at most
// put off, and what is known to fit nowhere does not.
func TestPoolFindsWhatFits(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p, q := &Pool{}, NewQueue()
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for i := range r.IntN(2500) {
			w := sample(fmt.Sprintf("w%04d", i))
			w.Free.CPU = uint32(r.IntN(4000))
			p.Add(&w)
		}
		shapes := make([]*Shape, 3)
		for i := range shapes {
			s := spec()
			if i == 2 {
				s.Labels = []job.Pair{{Key: "rare", Value: "1"}}
			}
			shapes[i] = newShape("", s, job.Resources{CPU: uint32(1000 * (i + 2)), Memory: 1 << 20})
			q.list = append(q.list, shapes[i])
		}
		o := &Options{Weights: DefaultWeights(), Rand: r, K: 8}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			shake(p, r)
			q.Freshen(p)
			s := shapes[r.IntN(len(shapes))]
			a := &Ask{Spec: s.Spec, Need: s.Need, Ends: time.Minute}
			w, v := p.Choose(s, a, o)
			for n := 0; v == Unfinished; n++ {
				if w, v = p.Choose(s, a, o); n > len(p.all)/maxJudged+1 {
					t.Fatal("the search does not end")
				}
			}
			some := false
			for _, x := range p.all {
				some = some || x.Hold.admits(a) && Judge(s.Spec, s.Need, x) == Fits
			}
			if some != (v == Found) || v == Found && (!w.Hold.admits(a) || Judge(s.Spec, s.Need, w) != Fits) {
				t.Fatalf("verdict %v, %v; some worker fits: %v", v, w, some)
			}
		}
	})
}

// shake lets something happen to a few workers.
func shake(p *Pool, r *rand.Rand) {
	for range r.IntN(40) {
		if len(p.all) == 0 || r.IntN(20) == 0 {
			w := sample(fmt.Sprintf("n%d", r.Uint64()))
			p.Add(&w)
			continue
		}
		w := p.all[r.IntN(len(p.all))]
		switch r.IntN(8) {
		case 0:
			p.Remove(w)
		case 1:
			w.Draining = !w.Draining
			p.Update(w)
		case 2:
			w.FreeSlots = uint32(r.IntN(3))
			p.Update(w)
		case 3:
			w.Cap.Labels = []job.Pair{{Key: "rare", Value: "1"}}
			p.Add(w)
		case 4:
			w.Hold = nil
			if r.IntN(2) == 0 {
				w.Hold = &Hold{Task: Task{Index: 1}, Start: time.Duration(r.IntN(2)) * time.Hour, SpareSlots: uint32(r.IntN(2)), Spare: w.Free}
			}
			p.Add(w)
		default:
			w.Free.CPU = uint32(r.IntN(5000))
			p.Update(w)
		}
	}
}

func TestPoolCounts(t *testing.T) {
	p := &Pool{}
	a, b := sample("a"), sample("b")
	p.Add(&a)
	p.Add(&b)
	b.Cap.Total.CPU, b.Cap.Slots = 1000, 1
	p.Add(&b)
	if total, places := p.Total(); total.CPU != 5000 || places != 5 || p.Len() != 2 {
		t.Errorf("%+v in %d places of %d workers", total, places, p.Len())
	}
	p.Remove(&a)
	p.Remove(&a)
	if total, places := p.Total(); total.CPU != 1000 || places != 1 || p.Len() != 1 {
		t.Errorf("%+v in %d places of %d workers", total, places, p.Len())
	}
}

func TestHoldLetsOnlyHarmlessTasksIn(t *testing.T) {
	big := Task{Index: 7}
	for _, tt := range []struct {
		name string
		want bool
		ask  Ask
	}{
		{"the task itself", true, Ask{Task: big, Need: one, Ends: time.Hour}},
		{"one that has ended by then", true, Ask{Need: job.Resources{CPU: 4000}, Ends: time.Minute}},
		{"one that fits beside it", true, Ask{Need: job.Resources{CPU: 500}, Ends: time.Hour}},
		{"one that would put it off", false, Ask{Need: job.Resources{CPU: 501}, Ends: time.Minute + 1}},
	} {
		h := &Hold{Task: big, Need: job.Resources{CPU: 3500}, Start: time.Minute, Spare: job.Resources{CPU: 500}, SpareSlots: 1}
		if got := h.admits(&tt.ask); got != tt.want {
			t.Errorf("%s: %v", tt.name, got)
		}
		h.Placed(&Ask{Need: job.Resources{CPU: 1}, Ends: time.Hour})
		if h.admits(&Ask{Need: job.Resources{CPU: 1}, Ends: time.Hour}) {
			t.Error("the spare place is given twice")
		}
	}
}

func TestSoonest(t *testing.T) {
	w := sample("w")
	w.Free, w.FreeSlots = job.Resources{CPU: 500, Memory: 4 << 20}, 1
	rel := []Release{{At: 10, Needs: job.Resources{CPU: 400}}, {At: 20, Needs: job.Resources{CPU: 1000}}, {At: 30, Needs: job.Resources{CPU: 100}}}
	if h := Soonest(&w, one, 5, 99, rel); h.Start != 20 || h.Spare.CPU != 900 || h.SpareSlots != 2 {
		t.Errorf("%+v", h)
	}
	if h := Soonest(&w, job.Resources{CPU: 500}, 5, 99, rel); h.Start != 5 {
		t.Errorf("%+v", h)
	}
	if h := Soonest(&w, job.Resources{CPU: 4000}, 5, 99, rel); h.Start != 99 || h.SpareSlots != 0 {
		t.Errorf("%+v", h)
	}
}

// TestHoldIsHonoured places whatever a hold admits on a worker while time goes
// by, everything lasting as long as it may, and finds the room at the start that
// was promised.
func TestHoldIsHonoured(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := sample("w")
		total := job.Resources{CPU: 4000, Memory: 4 << 20, Disk: 1 << 20}
		w.Free, w.FreeSlots = total, uint32(rapid.IntRange(1, 6).Draw(t, "slots"))
		var running []Release
		now := time.Duration(0)
		place := func(cpu int, until time.Duration) {
			need := job.Resources{CPU: uint32(cpu), Memory: 1}
			w.Free, w.FreeSlots = w.Free.Sub(need), w.FreeSlots-1
			running = append(running, Release{At: until, Needs: need})
			slices.SortStableFunc(running, func(a, b Release) int { return cmp.Compare(a.At, b.At) })
		}
		pass := func(to time.Duration) {
			for now = to; len(running) > 0 && running[0].At <= now; running = running[1:] {
				w.Free, w.FreeSlots = w.Free.Add(running[0].Needs), w.FreeSlots+1
			}
		}
		cpu, span := rapid.IntRange(1, 4000), rapid.Int64Range(1, 100)
		for range rapid.IntRange(0, 5).Draw(t, "before") {
			if n := cpu.Draw(t, "cpu"); w.FreeSlots > 0 && uint32(n) <= w.Free.CPU {
				place(n, time.Duration(span.Draw(t, "lasts")))
			}
		}
		need := job.Resources{CPU: uint32(cpu.Draw(t, "need")), Memory: 1}
		h := Soonest(&w, need, now, time.Hour, running)
		h.Task = Task{Index: 1}
		for now < h.Start {
			a := &Ask{Need: job.Resources{CPU: uint32(cpu.Draw(t, "other")), Memory: 1}, Ends: now + time.Duration(span.Draw(t, "takes"))}
			if hasRoom(a.Need, &w) && h.admits(a) {
				h.Placed(a)
				place(int(a.Need.CPU), a.Ends)
			}
			pass(min(h.Start, now+time.Duration(rapid.IntRange(0, 20).Draw(t, "later"))))
		}
		if !hasRoom(need, &w) {
			t.Fatalf("at %d there is room for %d in %d slots, promised were %d", now, w.Free.CPU, w.FreeSlots, need.CPU)
		}
	})
}
