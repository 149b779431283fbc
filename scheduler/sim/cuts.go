package sim

import (
	"slices"
	"time"
)

// ailment is a fault that lasts.
type ailment struct {
	f      Fault
	began  time.Duration
	blocks func(from, to int) bool // of the network; nil: nothing
	end    func()                  // nil: nothing
	over   bool
}

// ail begins an ailment and plans its end.
func (w *world) ail(a *ailment) {
	a.began = w.now
	w.ails = append(w.ails, a)
	w.later(a.f.For, func() { w.cure(a) })
}

func (w *world) cure(a *ailment) {
	if a.over {
		return
	}
	a.over = true
	w.ails = slices.DeleteFunc(w.ails, func(o *ailment) bool { return o == a })
	w.printf("over: %v", a.f)
	if a.end != nil {
		a.end()
	}
}

// cut says whether nothing gets from one node to another now.
func (w *world) cut(from, to *node) bool {
	for _, a := range w.ails {
		if a.blocks != nil && from != to && a.blocks(from.index, to.index) {
			return true
		}
	}
	return false
}

// weather is what a message meets on its way.
type weather struct {
	loss, duplicate float64
	late            time.Duration
}

func (w *world) weather(from, to *node) weather {
	if w.healed {
		return weather{}
	}
	f := &w.cfg.Faults
	out := weather{loss: w.loss(), duplicate: f.Duplicate}
	for _, a := range w.ails {
		switch a.f.Kind {
		case "duplicate":
			out.duplicate = max(out.duplicate, a.f.Rate)
		case "reorder":
			if w.chance(a.f.Rate) {
				out.late += w.between(0, a.f.By)
				w.effect("held back")
			}
		case "slowlink":
			if slices.Contains(a.f.Nodes, from.index) && slices.Contains(a.f.Nodes, to.index) {
				out.late += a.f.By
				w.effect("delayed")
			}
		}
	}
	return out
}

// loss is the share of all messages that is lost now.
func (w *world) loss() float64 {
	if w.healed {
		return 0
	}
	p := w.cfg.Faults.Loss
	for _, a := range w.ails {
		if a.f.Kind == "loss" {
			p = max(p, a.f.Rate)
		}
	}
	return p
}

func (w *world) startWeather(f Fault) bool {
	w.ail(&ailment{f: f})
	return true
}

// cut makes a start of what says which links are cut.
func cut(shape func(w *world, f Fault) func(from, to int) bool) func(*world, Fault) bool {
	return func(w *world, f Fault) bool {
		w.ail(&ailment{f: f, blocks: shape(w, f)})
		return true
	}
}

// in returns a test of membership.
func in(nodes []int) func(int) bool { return func(i int) bool { return slices.Contains(nodes, i) } }

func halves(_ *world, f Fault) func(from, to int) bool {
	side := in(f.Nodes)
	return func(from, to int) bool { return side(from) != side(to) }
}

// ring lets a node hear those at most a quarter of the ring away: with its own
// that is a majority, and no two majorities are the same.
func ring(w *world, _ Fault) func(from, to int) bool {
	n := len(w.nodes)
	reach := (n/2 + 1) / 2
	return func(from, to int) bool {
		d := (to - from + n) % n
		return min(d, n-d) > reach
	}
}

// startRing needs four nodes: three on a ring are all neighbours.
func startRing(w *world, f Fault) bool { return len(w.nodes) > 3 && cut(ring)(w, f) }

func bridge(_ *world, f Fault) func(from, to int) bool {
	side := in(f.Nodes[1:])
	return func(from, to int) bool { return from != f.Nodes[0] && to != f.Nodes[0] && side(from) != side(to) }
}

func oneway(_ *world, f Fault) func(from, to int) bool {
	side := in(f.Nodes)
	return func(from, to int) bool { return side(from) && !side(to) }
}

func flap(w *world, f Fault) func(from, to int) bool {
	side, began := in(f.Nodes), w.now
	return func(from, to int) bool { return side(from) != side(to) && (w.now-began)/max(f.By, 1)%2 == 0 }
}

// swizzle takes the network from the nodes in the order named in the first half
// of the time, and gives it back in the order of their numbers in the second.
func swizzle(w *world, f Fault) func(from, to int) bool {
	began, half := w.now, max(f.For/2, 1)
	back := slices.Sorted(slices.Values(f.Nodes))
	off := func(i int) bool {
		lose, get := slices.Index(f.Nodes, i), slices.Index(back, i)
		if lose < 0 {
			return false
		}
		step, past := half/time.Duration(len(back)), w.now-began
		return past >= step*time.Duration(lose) && past < half+step*time.Duration(get+1)
	}
	return func(from, to int) bool { return off(from) || off(to) }
}

func isolate(_ *world, f Fault) func(from, to int) bool {
	one := in(f.Nodes)
	return func(from, to int) bool { return one(from) || one(to) }
}
