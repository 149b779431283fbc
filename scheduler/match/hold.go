package match

import (
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// Hold is a worker's reservation for a task that has been passed over for long:
// from Start at the latest the task fits there. Others may be placed only where
// they do not push that back: when they will have ended by then, or when they
// fit beside the task.
type Hold struct {
	Task  Task
	Need  job.Resources
	Start time.Duration // monotonic

	Spare      job.Resources // free at Start beside the task
	SpareSlots uint32
}

// admits says whether a task may be placed in spite of the reservation.
func (h *Hold) admits(a *Ask) bool {
	return h == nil || h.Task == a.Task || a.Ends <= h.Start || h.SpareSlots > 0 && h.Spare.Fits(a.Need)
}

// Placed takes what was placed in spite of the reservation off what is spare.
func (h *Hold) Placed(a *Ask) {
	if h != nil && h.Task != a.Task && a.Ends > h.Start {
		h.Spare, h.SpareSlots = h.Spare.Sub(a.Need), h.SpareSlots-min(h.SpareSlots, 1)
	}
}

// Release is a place that will become free.
type Release struct {
	At    time.Duration
	Needs job.Resources
}

// Soonest returns when need fits a worker, whose places become free as given, in
// the order of time, and what is free then beside it. A worker that is large
// enough but of whose use too little is known, since other shards share it, is
// expected to have room at unknown.
func Soonest(w *Worker, need job.Resources, now, unknown time.Duration, releases []Release) Hold {
	free, slots, at := w.Free, w.FreeSlots, now
	for _, r := range releases {
		if slots > 0 && free.Fits(need) {
			break
		}
		free, slots, at = free.Add(r.Needs), slots+1, max(at, r.At)
	}
	if slots == 0 || !free.Fits(need) {
		return Hold{Need: need, Start: max(at, unknown)}
	}
	return Hold{Need: need, Start: at, Spare: free.Sub(need), SpareSlots: slots - 1}
}
