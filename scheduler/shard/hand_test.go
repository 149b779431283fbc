package shard_test

import (
	"cmp"
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// hand is a scripted worker: it takes what fits its slots, runs everything for
// the same time and reports done, until it is told to be silent.
type hand struct {
	peer    string
	slots   uint32
	runs    time.Duration
	fails   int // so many attempts exit with an error first
	silent  bool
	leader  string
	beatAt  time.Duration
	needs   map[work.Key]job.Resources // booked (Fence 0) or held and not reported
	held    []work.Key
	endAt   []time.Duration // of held, same order; 0: reported
	reports map[work.Key]work.Report
}

func (h *hand) capability() work.Capability {
	return work.Capability{
		Total: job.Resources{CPU: 1000 * h.slots, Memory: uint64(h.slots) << 30, Disk: uint64(h.slots) << 30}, Executors: []string{"wasm"}, Slots: h.slots,
	}
}

func (h *hand) free() (job.Resources, uint32) {
	free := h.capability().Total
	for _, n := range h.needs { // any order: a sum
		free = free.Sub(n)
	}
	return free, h.slots - min(h.slots, uint32(len(h.needs)))
}

func (h *hand) say(b *bus, m work.Message) {
	if h.leader != "" && !h.silent {
		b.post(h.peer, h.leader, shard.Heard{From: h.peer, Msg: m})
	}
}

func (h *hand) hear(b *bus, from string, m work.Message) {
	if h.silent || from != h.leader {
		return
	}
	switch m := m.(type) {
	case work.Book:
		if free, slots := h.free(); slots == 0 || !free.Fits(m.Need) {
			b.printf("%s refuses %s task %d attempt %d", h.peer, b.title(m.Key.Job), m.Key.Task, m.Key.Attempt)
			h.say(b, work.Refused{Key: m.Key, Free: free, FreeSlots: slots})
			return
		}
		h.needs[m.Key] = m.Need
		free, slots := h.free()
		h.say(b, work.Booked{Key: m.Key, Free: free, FreeSlots: slots})
	case work.Assign:
		b.printf("%s is assigned %s task %d attempt %d fence %d by %s", h.peer, b.title(m.Key.Job), m.Key.Task, m.Key.Attempt, m.Key.Fence, from)
		unfenced := m.Key
		unfenced.Fence = 0
		if !slices.Contains(h.held, m.Key) {
			h.needs[m.Key] = h.needs[unfenced]
			h.held, h.endAt = append(h.held, m.Key), append(h.endAt, b.now+cmp.Or(b.takes[m.Key.Job], h.runs))
		}
		delete(h.needs, unfenced)
		h.say(b, work.Started{Key: m.Key})
	case work.Ack:
		b.printf("%s hears that %s task %d attempt %d is judged, accepted %v", h.peer, b.title(m.Key.Job), m.Key.Task, m.Key.Attempt, m.Accepted)
		h.forget(m.Key)
	case work.Stop:
		b.printf("%s must stop %s task %d attempt %d", h.peer, b.title(m.Key.Job), m.Key.Task, m.Key.Attempt)
		h.forget(m.Key)
	case work.Release:
		delete(h.needs, m.Key)
	}
}

func (h *hand) forget(k work.Key) {
	if i := slices.Index(h.held, k); i >= 0 {
		h.held, h.endAt = slices.Delete(h.held, i, i+1), slices.Delete(h.endAt, i, i+1)
	}
	delete(h.reports, k)
	delete(h.needs, k)
}

// pass lets the worker find its leader, beat and finish what is due.
func (h *hand) pass(b *bus) {
	if h.silent {
		return
	}
	if l := b.leader(); l != nil && l.peer != h.leader && !b.cut[h.peer+" "+l.peer] {
		h.leader, h.beatAt = l.peer, b.now+time.Second
		free, slots := h.free()
		h.say(b, work.Attach{Boot: 1, Capability: h.capability(), Free: free, FreeSlots: slots, Held: slices.Clone(h.held)})
		for _, k := range h.held {
			if r, ok := h.reports[k]; ok {
				h.say(b, r)
			}
		}
	}
	for i, at := range h.endAt {
		if at == 0 || at > b.now {
			continue
		}
		h.endAt[i] = 0
		delete(h.needs, h.held[i])
		r := work.Report{Key: h.held[i], Result: &job.Result{Output: "cid", Holders: []string{h.peer}}}
		if h.fails > 0 {
			h.fails--
			r.Result, r.Cause, r.Detail = nil, job.CauseExit, "exit code 3"
		}
		h.reports[r.Key] = r
		h.say(b, r)
	}
	if b.now >= h.beatAt {
		h.beatAt = b.now + time.Second
		free, slots := h.free()
		h.say(b, work.Heartbeat{Boot: 1, Free: free, FreeSlots: slots, Held: slices.Clone(h.held)})
		for _, k := range h.held {
			if r, ok := h.reports[k]; ok {
				h.say(b, r)
			}
		}
	}
}
