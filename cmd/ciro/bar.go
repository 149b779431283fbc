package main

import (
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// progress is a job as its events tell it.
type progress struct {
	total    int
	states   map[int]string // of array tasks that are not queued
	partial  map[int]float64
	attempts map[int]int
	gather   string
	state    string
}

// reset starts from a job as described.
func (p *progress) reset(job api.Job) {
	*p = progress{total: max(job.Counts.Total, len(job.Tasks)), states: map[int]string{}, partial: map[int]float64{},
		attempts: map[int]int{}, state: job.State}
	for _, t := range job.Tasks {
		p.move(t.Index, t.State, t.Attempt)
		p.partial[t.Index] = t.Progress
	}
	if job.Gather != nil {
		p.move(api.GatherIndex, job.Gather.State, job.Gather.Attempt)
	}
}

// move notes a task's state and attempt.
func (p *progress) move(task int, state string, attempt int) {
	if task == api.GatherIndex {
		p.gather = state
		return
	}
	p.states[task] = state
	p.attempts[task] = max(p.attempts[task], attempt)
	if state != api.TaskRunning {
		delete(p.partial, task)
	}
}

// apply follows one event. Events of a task that is further already, repeated
// after a description, change nothing back: the newest attempt wins.
func (p *progress) apply(e api.Event) {
	states := map[string]string{api.EventAssigned: api.TaskAssigned, api.EventStarted: api.TaskRunning,
		api.EventProgress: api.TaskRunning, api.EventRequeued: api.TaskQueued, api.EventDone: api.TaskDone, api.EventDead: api.TaskDead}
	state, ofTask := states[e.Kind]
	switch {
	case ofTask && (e.Task == api.GatherIndex || e.Attempt >= p.attempts[e.Task]):
		p.move(e.Task, state, e.Attempt)
		if e.Kind == api.EventProgress {
			p.partial[e.Task] = e.Progress
		}
	case e.Kind == api.EventRetried:
		p.state = api.JobRunning
		// any order: each task alone
		for task, state := range p.states {
			if state == api.TaskDead {
				p.states[task] = api.TaskQueued
			}
		}
	case e.Kind == api.EventAssembling || api.Terminal(e.Kind):
		p.state = e.Kind
	}
}

// count counts array tasks in a state.
func (p *progress) count(state string) int {
	n := 0
	for _, s := range p.states { // any order: only counted
		if s == state {
			n++
		}
	}
	return n
}

// fraction is how much of the job's array is done, tasks under way in part.
func (p *progress) fraction() float64 {
	if p.total == 0 {
		return 0
	}
	sum := float64(p.count(api.TaskDone))
	for _, part := range p.partial { // any order: a sum
		sum += part
	}
	return min(1, sum/float64(p.total))
}

// retried counts attempts beyond each task's first.
func (p *progress) retried() int {
	n := 0
	for _, attempt := range p.attempts { // any order: a sum
		n += max(0, attempt-1)
	}
	return n
}

// summary is the progress in words.
func (p *progress) summary() string {
	text := fmt.Sprintf("%d/%d tasks", p.count(api.TaskDone), p.total)
	if n := p.count(api.TaskRunning) + p.count(api.TaskAssigned); n > 0 {
		text += fmt.Sprintf(", %d running", n)
	}
	if n := p.retried(); n > 0 {
		text += fmt.Sprintf(", %d retried", n)
	}
	if n := p.count(api.TaskDead); n > 0 {
		text += fmt.Sprintf(", %d dead", n)
	}
	if p.state == api.JobAssembling {
		text += ", assembling"
	}
	return text
}

// sentence is an event for people.
func sentence(e api.Event) string {
	text := e.Kind
	if e.Attempt > 0 || e.Task == api.GatherIndex {
		text += " task " + taskName(e.Task)
	}
	if e.Attempt > 0 {
		text += " attempt " + strconv.Itoa(e.Attempt)
	}
	if e.Worker != "" {
		text += " on " + short(e.Worker)
	}
	if e.Kind == api.EventProgress {
		text += fmt.Sprintf(" %.0f %%", 100*e.Progress)
	}
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	if e.Detail != "" {
		text += " (" + e.Detail + ")"
	}
	return clean(text)
}

// lines is the view for logs and pipes: one line for each event but progress.
type lines struct {
	out io.Writer
	p   progress
}

func (l *lines) begin(job api.Job) {
	l.p.reset(job)
	fmt.Fprintf(l.out, "job %s is %s: %s\n", short(job.ID), job.State, l.p.summary())
}

func (l *lines) event(e api.Event) error {
	l.p.apply(e)
	if e.Kind == api.EventProgress {
		return nil
	}
	_, err := fmt.Fprintf(l.out, "%s  %-52s %s\n", e.At.UTC().Format("15:04:05.000"), sentence(e), l.p.summary())
	return err
}

func (l *lines) remark(text string) { fmt.Fprintln(l.out, clean(text)) }
func (l *lines) end(job api.Job)    { fmt.Fprintln(l.out, verdict(job)) }

// redraw is the shortest time between two drawings of a bar for mere progress.
const redraw = 100 * time.Millisecond

// bar is the view for terminals: one line that is drawn over, and above it the
// events that somebody will want to scroll back to.
type bar struct {
	out   io.Writer
	width int
	p     progress
	last  string
	drawn time.Time
}

// newBar makes a bar as wide as COLUMNS says, or 100.
func newBar(out io.Writer) *bar {
	width, err := strconv.Atoi(os.Getenv("COLUMNS"))
	if err != nil || width < 40 {
		width = 100
	}
	return &bar{out: out, width: width}
}

func (b *bar) begin(job api.Job) {
	b.p.reset(job)
	b.above(fmt.Sprintf("job %s %s (%s)", job.ID, job.Name, job.Type))
}

func (b *bar) event(e api.Event) error {
	b.p.apply(e)
	b.last = sentence(e)
	switch e.Kind {
	case api.EventRequeued, api.EventDead, api.EventAccepted, api.EventAssembling, api.EventRetried:
		b.above(b.last)
		return nil
	case api.EventProgress:
		if time.Since(b.drawn) < redraw {
			return nil
		}
	}
	return b.draw()
}

func (b *bar) remark(text string) { b.above(text) }

func (b *bar) end(job api.Job) {
	b.p.reset(job)
	b.last = ""
	b.above(verdict(job))
	fmt.Fprintln(b.out)
}

// above writes a line that stays and draws the bar below it.
func (b *bar) above(text string) {
	fmt.Fprintf(b.out, "\r\x1b[K%s\n", clean(text))
	// A terminal that cannot be written to shows nothing either way.
	_ = b.draw()
}

// draw draws the bar over itself.
func (b *bar) draw() error {
	b.drawn = time.Now()
	const cells = 24
	full := int(b.p.fraction() * cells)
	text := fmt.Sprintf("[%s%s] %s", strings.Repeat("#", full), strings.Repeat(".", cells-full), b.p.summary())
	if b.last != "" {
		text += " · " + b.last
	}
	if runes := []rune(text); len(runes) > b.width-1 {
		text = string(runes[:b.width-2]) + "…"
	}
	_, err := fmt.Fprintf(b.out, "\r\x1b[K%s", text)
	return err
}
