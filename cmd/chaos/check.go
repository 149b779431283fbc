package main

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ciro-network/ciro/node/api"
)

// taskOf names a task of a job.
type taskOf struct {
	job  string
	task int
}

// checker collects what is wrong with a history.
type checker struct {
	h     *History
	found []string
}

// Check reads a whole history and returns what contradicts the promises, sorted;
// nothing if all were kept. It looks at nothing but the history.
func Check(h *History) []string {
	c := &checker{h: h, found: slices.Clone(h.Wrong)}
	events := c.agree()
	c.acceptances()
	for _, id := range slices.Sorted(maps.Keys(events)) {
		c.life(id, events[id])
	}
	for _, id := range c.jobs() {
		c.end(id, events[id])
	}
	c.repeated()
	slices.Sort(c.found)
	return slices.Compact(c.found)
}

func (c *checker) say(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
}

// jobs are the ids of all accepted jobs, sorted.
func (c *checker) jobs() []string {
	ids := map[string]bool{}
	for _, a := range c.h.Accepted {
		ids[a.Acc.Job] = true
	}
	return slices.Sorted(maps.Keys(ids))
}

// agree compares what the observers saw under each cursor and returns the events
// of each job in the order of the log.
func (c *checker) agree() map[string][]api.Event {
	first := map[string]Seen{}
	out := map[string][]api.Event{}
	for _, s := range c.h.Seen {
		was, known := first[s.Event.Cursor]
		if !known {
			first[s.Event.Cursor] = s
			out[s.Event.Job] = append(out[s.Event.Job], s.Event)
			continue
		}
		if a, b := line(was.Event), line(s.Event); a != b {
			c.say("cursor %s: %s saw %q and %s saw %q", s.Event.Cursor, was.By, a, s.By, b)
		}
	}
	// any order: each job alone
	for _, events := range out {
		slices.SortFunc(events, func(a, b api.Event) int {
			return slices.Compare(position(a.Cursor), position(b.Cursor))
		})
	}
	return out
}

// line is all of an event that must be the same for everybody.
func line(e api.Event) string {
	return fmt.Sprint(e.Job, " ", e.Kind, " task ", e.Task, " attempt ", e.Attempt, " ", e.Worker, " ", e.Cause, " ", e.Detail, " ", e.At.UnixMilli())
}

// position is a cursor as numbers; an unreadable one sorts first.
func position(cursor string) []uint64 {
	var out []uint64
	for _, part := range strings.Split(cursor, ":") {
		n, err := strconv.ParseUint(part, 10, 64)
		if err != nil {
			return nil
		}
		out = append(out, n)
	}
	return out
}

// acceptances checks that one key is one job and one job has one place in a log.
func (c *checker) acceptances() {
	byKey, byJob, byPlace := map[string]api.Acceptance{}, map[string]api.Acceptance{}, map[string]string{}
	for _, a := range c.h.Accepted {
		if was, known := byKey[a.Key]; known && was.Job != a.Acc.Job {
			c.say("key %s: accepted as job %s and as job %s", a.Key, was.Job, a.Acc.Job)
		}
		byKey[a.Key] = a.Acc
		if was, known := byJob[a.Acc.Job]; known && place(was) != place(a.Acc) {
			c.say("job %s: accepted at %s and at %s", a.Acc.Job, place(was), place(a.Acc))
		}
		byJob[a.Acc.Job] = a.Acc
		if other, taken := byPlace[place(a.Acc)]; taken && other != a.Acc.Job {
			c.say("%s: acceptances of jobs %s and %s name it", place(a.Acc), other, a.Acc.Job)
		}
		byPlace[place(a.Acc)] = a.Acc.Job
	}
}

func place(a api.Acceptance) string { return fmt.Sprintf("shard %d, log index %d", a.Shard, a.Index) }

// life checks one job's events in the order of the log: attempts grow, none is
// assigned twice, a result belongs to the attempt that stood, and the end is one.
func (c *checker) life(id string, events []api.Event) {
	last := map[int]api.Event{} // newest assignment of each task
	done := map[int]bool{}
	ended := ""
	for _, e := range events {
		if ended != "" {
			c.say("job %s: %s after it had %s", id, e.Kind, ended)
		}
		switch e.Kind {
		case api.EventAssigned:
			if was, known := last[e.Task]; known && e.Attempt <= was.Attempt {
				c.say("job %s task %d: attempt %d was assigned to %s after attempt %d to %s", id, e.Task, e.Attempt, e.Worker, was.Attempt, was.Worker)
			}
			if done[e.Task] {
				c.say("job %s task %d: attempt %d was assigned although it was done", id, e.Task, e.Attempt)
			}
			last[e.Task] = e
		case api.EventDone:
			if done[e.Task] {
				c.say("job %s task %d: done twice", id, e.Task)
			}
			done[e.Task] = true
			if was, known := last[e.Task]; known && (was.Attempt != e.Attempt || was.Worker != e.Worker) {
				c.say("job %s task %d: the result of attempt %d by %s counted while attempt %d of %s stood", id, e.Task, e.Attempt, e.Worker, was.Attempt, was.Worker)
			}
		case api.EventRequeued:
			done[e.Task] = false // its output was lost, or it was not done
		case api.EventCompleted, api.EventFailed, api.EventCancelled:
			ended = e.Kind
		}
	}
}

// end checks how an accepted job ended, and that describe and events agree.
func (c *checker) end(id string, events []api.Event) {
	j, known := c.h.Final[id]
	if !known {
		c.say("job %s: accepted, and nobody knows it at the end", id)
		return
	}
	newest, results := map[int]int{}, map[int]int{}
	for _, e := range events {
		switch e.Kind {
		case api.EventAssigned:
			newest[e.Task] = max(newest[e.Task], e.Attempt)
		case api.EventDone:
			results[e.Task] = e.Attempt
		}
	}
	tasks := slices.Clone(j.Tasks)
	if j.Gather != nil {
		tasks = append(tasks, *j.Gather)
	}
	for _, t := range tasks {
		if t.Attempt < newest[t.Index] {
			c.say("job %s task %d: described with attempt %d although %d was assigned", id, t.Index, t.Attempt, newest[t.Index])
		}
		if n, was := results[t.Index]; t.State == api.TaskDone && was && n != t.Attempt {
			c.say("job %s task %d: described as done by attempt %d, but the result of %d counted", id, t.Index, t.Attempt, n)
		}
		if j.State == api.JobCompleted && t.State != api.TaskDone {
			c.say("job %s task %d: %s in a completed job", id, t.Index, t.State)
		}
	}
	switch {
	case !api.Terminal(j.State):
		c.say("job %s: still %s at the end (%+v)", id, j.State, j.WaitingFor)
	case j.State == api.JobCompleted && j.Counts.Done != j.Counts.Total:
		c.say("job %s: completed with %d of %d tasks done", id, j.Counts.Done, j.Counts.Total)
	case j.State != api.JobCompleted && (j.Reason == nil || j.Reason.Code == "" || j.Reason.Sentence == ""):
		c.say("job %s: %s and nobody can say why", id, j.State)
	}
}

// repeated checks that the same submission, made again at the end, is the same job.
func (c *checker) repeated() {
	for _, a := range c.h.Accepted {
		again, asked := c.h.Again[a.Key]
		switch {
		case !asked:
			c.say("job %s: its submission was not repeated", a.Acc.Job)
		case again == nil: // its door lost its keys
		case again.Acc.Job != a.Acc.Job || place(again.Acc) != place(a.Acc) || again.Acc.Created:
			c.say("job %s: accepted at %s, and the same submission again as job %s at %s (created: %t)",
				a.Acc.Job, place(a.Acc), again.Acc.Job, place(again.Acc), again.Acc.Created)
		}
	}
}
