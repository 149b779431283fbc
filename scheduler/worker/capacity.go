package worker

import (
	"slices"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// slots is how many places there are in all. Without a configured number the
// heartbeat, which must name every attempt, sets it.
func (w *Worker) slots() int {
	if n := w.cfg.Capability.Slots; n > 0 && n < work.MaxHeld {
		return int(n)
	}
	return work.MaxHeld
}

func (w *Worker) taken() int { return len(w.bookings) + len(w.attempts) }

// free is what could be booked now.
func (w *Worker) free() (job.Resources, uint32) {
	return w.cfg.Capability.Total.Sub(w.used), uint32(max(0, w.slots()-w.taken()))
}

// fits says whether one more place is there.
func (w *Worker) fits(need job.Resources) bool {
	free, slots := w.free()
	return slots > 0 && free.Fits(need)
}

// give returns a place.
func (w *Worker) give(need job.Resources) {
	w.used = w.used.Sub(need)
	if w.shrunk {
		w.shrunk = !w.cfg.Capability.Total.Fits(w.used) || w.taken() > w.slots()
	}
}

// take charges a place. Devices' memory is a property of each device, not a sum.
func (w *Worker) take(need job.Resources) { w.used = w.used.Add(need) }

// lapse returns the places whose bookings have had their time.
func (w *Worker) lapse() {
	for len(w.bookings) > 0 && w.bookings[0].until <= w.now {
		by := w.bookings[0].shard
		w.unbook(0)
		w.freed(w.shard(by))
	}
}

func (w *Worker) unbook(i int) {
	need := w.bookings[i].need
	w.bookings = slices.Delete(w.bookings, i, i+1)
	w.give(need)
}

// hunger notes that a leader was refused for want of room.
func (w *Worker) hunger(s *shard) {
	if !slices.Contains(w.hungry, s) {
		w.hungry = append(w.hungry, s)
	}
}

// freed tells leaders that a place is free: at once the one that has waited
// longest after a refusal, or, if there is none, the one whose attempt it was;
// the others a little later. So leaders that share a busy worker take turns.
func (w *Worker) freed(by *shard) {
	w.beatSoon(freeDelay)
	if len(w.hungry) > 0 {
		by = w.hungry[0]
		w.hungry = w.hungry[1:]
	}
	by.beatAt = w.now
}

// unfenced is the key of the booking for an attempt.
func unfenced(k work.Key) work.Key {
	k.Fence = 0
	return k
}

func (w *Worker) booking(k work.Key) int {
	k = unfenced(k)
	return slices.IndexFunc(w.bookings, func(b *booking) bool { return b.key == k })
}

// book holds a place for the booking's time, or renews it.
func (w *Worker) book(s *shard, m work.Book) {
	m.Key = unfenced(m.Key)
	if i := w.booking(m.Key); i >= 0 {
		w.unbook(i)
	}
	switch {
	case w.draining:
		w.refuse(s, m.Key, "the worker is draining")
		return
	case slices.ContainsFunc(w.attempts, func(a *attempt) bool { return unfenced(a.key) == m.Key }):
		w.refuse(s, m.Key, "the attempt is here already") // a booking that comes late
		return
	case !w.fits(m.Need):
		w.hunger(s)
		w.refuse(s, m.Key, "the worker has no room for it now")
		return
	}
	w.bookings = append(w.bookings, &booking{key: m.Key, shard: s.id, need: m.Need, until: w.now + w.cfg.Hold})
	w.take(m.Need)
	free, slots := w.free()
	w.send(s, work.Booked{Key: m.Key, Free: free, FreeSlots: slots})
}

func (w *Worker) refuse(s *shard, k work.Key, why string) {
	free, slots := w.free()
	w.send(s, work.Refused{Key: k, Free: free, FreeSlots: slots, Why: why})
}

// learn remembers the newest fence of a task.
func (w *Worker) learn(k work.Key) {
	t := taskOf(k)
	old, known := w.fences[t]
	if !known {
		if len(w.memory) >= maxFences {
			delete(w.fences, w.memory[0])
			w.memory = w.memory[1:]
		}
		w.memory = append(w.memory, t)
	}
	w.fences[t] = max(old, k.Fence)
}
