package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/ciro-network/ciro/scheduler/sim"
)

// simTotal is what runs have measured so far.
type simTotal struct {
	Seeds    int
	Report   sim.Report
	Failures []simFailure
	Note     string
	wall     time.Duration
}

func (t *simTotal) add(o *simTotal) {
	t.Seeds += o.Seeds
	t.Report.Add(o.Report)
	t.Failures = append(t.Failures, o.Failures...)
	slices.SortFunc(t.Failures, func(a, b simFailure) int { return int(a.Seed) - int(b.Seed) })
}

// simTimes are the quantiles of one measurement, in seconds.
type simTimes struct {
	Samples int     `json:"samples"`
	P50     float64 `json:"p50"`
	P99     float64 `json:"p99"`
	P999    float64 `json:"p999"`
	Max     float64 `json:"max"`
}

func simTimesOf(samples []time.Duration) simTimes {
	q := func(x float64) float64 { return sim.Quantile(samples, x).Seconds() }
	return simTimes{len(samples), q(0.5), q(0.99), q(0.999), q(1)}
}

// simSummary is the outcome in one document.
type simSummary struct {
	Seeds          int                 `json:"seeds"`
	WallSeconds    float64             `json:"wallSeconds"`
	VirtualSeconds float64             `json:"virtualSeconds"`
	Jobs           map[string]int      `json:"jobs"`
	Steps          uint64              `json:"steps"`
	Elections      int                 `json:"elections"`
	Operations     uint64              `json:"operationsChecked"`
	Messages       uint64              `json:"messages"`
	Bytes          uint64              `json:"bytes"`
	Traffic        []sim.Traffic       `json:"traffic,omitempty"`
	Sizes          sim.Sizes           `json:"sizes"`
	Times          map[string]simTimes `json:"timesSeconds"`
	Faults         map[string]uint64   `json:"faults"`
	Effects        map[string]uint64   `json:"effects"`
	Failures       []simFailure        `json:"failures"`
	TraceHash      string              `json:"traceHash,omitempty"` // of a single run
	Note           string              `json:"note,omitempty"`
}

// simTimeNames are the measurements in the order in which they are shown.
var simTimeNames = []string{
	"assignment", "failover", "failover under G5", "next assignment", "next assignment under G5", "move", "move under G6",
}

func (t *simTotal) summary() *simSummary {
	r := &t.Report
	s := &simSummary{
		Seeds: t.Seeds, WallSeconds: t.wall.Seconds(), VirtualSeconds: r.Virtual.Seconds(), Steps: r.Steps, Elections: r.Elections,
		Operations: r.Checked, Messages: r.Messages, Bytes: r.Bytes, Faults: r.Faults, Effects: r.Effects, Failures: t.Failures, Note: t.Note,
		Sizes: r.Sizes,
		Jobs: map[string]int{
			"accepted": r.Accepted, "completed": r.Completed, "failed": r.Failed, "cancelled": r.Cancelled, "retried": r.Retried,
			"attemptsRequeued": r.Reassigned, "repeatedSubmissions": r.Duplicates, "lateReportsRefused": r.Refused,
		},
		Times: map[string]simTimes{
			"assignment": simTimesOf(r.Assigned), "failover": simTimesOf(r.Failover), "failover under G5": simTimesOf(r.FailoverCalm),
			"next assignment": simTimesOf(r.Resumed), "next assignment under G5": simTimesOf(r.ResumedCalm),
			"move": simTimesOf(r.Moved), "move under G6": simTimesOf(r.MovedCalm),
		},
	}
	if t.Seeds == 1 {
		s.Traffic, s.TraceHash = r.Traffic, fmt.Sprintf("%016x", r.TraceHash)
	}
	return s
}

// write shows the outcome to people.
func (t *simTotal) write(w io.Writer) {
	s := t.summary()
	row(w, "seeds", s.Seeds)
	row(w, "virtual time", fmt.Sprintf("%v in %.1f s, %.0f times as fast", t.Report.Virtual.Round(time.Second), s.WallSeconds, s.VirtualSeconds/max(s.WallSeconds, 1e-9)))
	row(w, "jobs", fmt.Sprintf("%d accepted: %d completed, %d failed, %d cancelled; %d retried",
		s.Jobs["accepted"], s.Jobs["completed"], s.Jobs["failed"], s.Jobs["cancelled"], s.Jobs["retried"]))
	row(w, "attempts", fmt.Sprintf("%d queued again, %d late reports refused", s.Jobs["attemptsRequeued"], s.Jobs["lateReportsRefused"]))
	row(w, "clients", fmt.Sprintf("%d repeated submissions, %d operations put in order", s.Jobs["repeatedSubmissions"], s.Operations))
	row(w, "work", fmt.Sprintf("%d elections, %d steps, %d messages, %s", s.Elections, s.Steps, s.Messages, jobspec.ShowSize(int64(s.Bytes))))
	for _, name := range simTimeNames {
		x := s.Times[name]
		if x.Samples == 0 {
			row(w, "time to "+name, "no samples")
			continue
		}
		row(w, "time to "+name, fmt.Sprintf("%d samples: p50 %.2f s, p99 %.2f s, p99.9 %.2f s, max %.2f s", x.Samples, x.P50, x.P99, x.P999, x.Max))
	}
	wrapCounts(w, "faults", s.Faults)
	wrapCounts(w, "effects", s.Effects)
	if t.Seeds == 1 {
		fmt.Fprintln(w)
		t.Report.WriteTables(w)
		fmt.Fprintln(w)
	}
	if s.TraceHash != "" {
		row(w, "trace", s.TraceHash)
	}
	if s.Note != "" {
		row(w, "replay", s.Note)
	}
	row(w, "violations", len(s.Failures))
	for _, f := range s.Failures {
		row(w, "", f.Detail)
		if f.File != "" {
			row(w, "", "replay it with: ciro sim --trace --replay "+f.File)
		}
	}
}

// wrapCounts shows counts by name, a few to a line.
func wrapCounts(w io.Writer, title string, counts map[string]uint64) {
	const perLine = 6
	names := slices.Sorted(maps.Keys(counts))
	for len(names) > 0 {
		n := min(perLine, len(names))
		var parts []string
		for _, name := range names[:n] {
			parts = append(parts, fmt.Sprintf("%s %d", name, counts[name]))
		}
		row(w, title, strings.Join(parts, ", "))
		title, names = " ", names[n:]
	}
}
