package sim

import (
	"slices"
	"time"
)

// Report is what a simulation measured. Times are virtual.
type Report struct {
	Seed       uint64
	Accepted   int // jobs whose acceptance a client has heard
	Completed  int
	Failed     int
	Cancelled  int
	Reassigned int // attempts that were put back in the queue
	Duplicates int // repeated submissions answered with the first acceptance
	Refused    int // reports that were refused because their attempt no longer stood
	Elections  int
	Checked    uint64            // operations of clients whose order was checked
	Faults     map[string]uint64 // what was done to the mesh, by kind
	Effects    map[string]uint64 // what that did
	Steps      uint64            // of cores
	Virtual    time.Duration
	Messages   uint64
	Bytes      uint64
	TraceHash  uint64 // over everything that happened, in order
	Traffic    []Traffic
	Sizes      Sizes

	Samples
}

// Samples are single measurements, in the order in which they were made.
type Samples struct {
	Batches int // cut for the anchor
	Records int // in them
	Retried int // rounds that clients opened behind a failure

	Failover     []time.Duration // crash of a leader of three voters -> the next one is ready
	Resumed      []time.Duration // of Failover: crash of the leader -> the next assignment is committed
	Moved        []time.Duration // crash of a worker -> its lease has lapsed and its task is queued again
	Assigned     []time.Duration // acceptance -> first assignment of the job
	FailoverCalm []time.Duration // of Failover, those during which nothing else was amiss (G5)
	ResumedCalm  []time.Duration // of Resumed, likewise (G5)
	MovedCalm    []time.Duration // of Moved, likewise, with a leader that stayed (G6)
}

// Add takes another run's measurements in; the seed and hash stay.
func (r *Report) Add(o Report) {
	r.Accepted += o.Accepted
	r.Completed += o.Completed
	r.Failed += o.Failed
	r.Cancelled += o.Cancelled
	r.Reassigned += o.Reassigned
	r.Duplicates += o.Duplicates
	r.Refused += o.Refused
	r.Faults, r.Effects = sum(r.Faults, o.Faults), sum(r.Effects, o.Effects)
	r.Elections += o.Elections
	r.addTraffic(&o)
	r.Sizes.add(&o.Sizes)
	r.Checked += o.Checked
	r.Steps += o.Steps
	r.Virtual += o.Virtual
	r.Messages += o.Messages
	r.Bytes += o.Bytes
	r.Batches += o.Batches
	r.Records += o.Records
	r.Retried += o.Retried
	r.Failover = append(r.Failover, o.Failover...)
	r.Moved = append(r.Moved, o.Moved...)
	r.Assigned = append(r.Assigned, o.Assigned...)
	r.Resumed = append(r.Resumed, o.Resumed...)
	r.ResumedCalm = append(r.ResumedCalm, o.ResumedCalm...)
	r.FailoverCalm = append(r.FailoverCalm, o.FailoverCalm...)
	r.MovedCalm = append(r.MovedCalm, o.MovedCalm...)
}

// sum adds counts into a map that may be nil.
func sum(into, from map[string]uint64) map[string]uint64 {
	if into == nil {
		into = map[string]uint64{}
	}
	// any order: each count alone
	for k, v := range from {
		into[k] += v
	}
	return into
}

// Quantile returns the q-quantile (0..1) of samples, 0 if there are none.
func Quantile(samples []time.Duration, q float64) time.Duration {
	if len(samples) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(samples))
	return s[min(len(s)-1, max(0, int(q*float64(len(s)))))]
}
