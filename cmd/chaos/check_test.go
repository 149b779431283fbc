package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// good is the history of one job with two tasks of which the first was lost once.
func good() *History {
	h := NewHistory()
	acc := api.Acceptance{Job: "j1", Shard: 3, Term: 2, Index: 10, Coordinator: "c", Created: true}
	h.Accepted = []Accepted{{Key: "k1", Door: "n1", Acc: acc}}
	at := api.At(time.UnixMilli(1_000_000))
	for i, e := range []api.Event{
		{Kind: api.EventAccepted, Task: -1},
		{Kind: api.EventAssigned, Task: 0, Attempt: 1, Worker: "w1"},
		{Kind: api.EventAssigned, Task: 1, Attempt: 1, Worker: "w2"},
		{Kind: api.EventRequeued, Task: 0, Attempt: 1, Worker: "w1", Cause: "leaseLapsed"},
		{Kind: api.EventDone, Task: 1, Attempt: 1, Worker: "w2"},
		{Kind: api.EventAssigned, Task: 0, Attempt: 2, Worker: "w2"},
		{Kind: api.EventDone, Task: 0, Attempt: 2, Worker: "w2"},
		{Kind: api.EventCompleted, Task: -1},
	} {
		e.Job, e.Cursor, e.At = "j1", fmt.Sprintf("3:%d:0", 10+i), at
		h.Seen = append(h.Seen, Seen{"n1", e}, Seen{"n2", e})
	}
	h.Final["j1"] = api.Job{
		JobSummary: api.JobSummary{ID: "j1", State: api.JobCompleted, Counts: api.TaskCounts{Total: 2, Done: 2}},
		Tasks:      []api.Task{{Index: 0, State: api.TaskDone, Attempt: 2, Worker: "w2"}, {Index: 1, State: api.TaskDone, Attempt: 1, Worker: "w2"}},
	}
	acc.Created = false
	h.Again["k1"] = &Accepted{Key: "k1", Door: "n1", Acc: acc}
	return h
}

// edit changes both sightings of the event at a place.
func edit(h *History, place int, f func(*api.Event)) {
	f(&h.Seen[2*place].Event)
	f(&h.Seen[2*place+1].Event)
}

// add lets both observers see another event at the end.
func add(h *History, e api.Event) {
	e.Job, e.Cursor = "j1", fmt.Sprintf("3:%d:0", 100+len(h.Seen))
	h.Seen = append(h.Seen, Seen{"n1", e}, Seen{"n2", e})
}

func TestGoodHistory(t *testing.T) {
	if found := Check(good()); len(found) > 0 {
		t.Errorf("a good history has %q", found)
	}
	h := good()
	h.Again["k1"] = nil // its door lost its keys
	j := h.Final["j1"]
	j.State, j.Counts, j.Reason = api.JobFailed, api.TaskCounts{Total: 2, Done: 1, Dead: 1}, &api.Reason{Code: "timeout", Sentence: "it took too long"}
	h.Final["j1"] = j
	h.Seen = h.Seen[:10]
	if found := Check(h); len(found) > 0 {
		t.Errorf("a failure with a reason has %q", found)
	}
}

// TestCheckerBites breaks one promise after another in a good history.
func TestCheckerBites(t *testing.T) {
	for want, harm := range map[string]func(*History){
		"nobody knows it at the end":             func(h *History) { delete(h.Final, "j1") },
		"still running at the end":               func(h *History) { change(h, func(j *api.Job) { j.State = api.JobRunning }) },
		"failed and nobody can say why":          func(h *History) { change(h, func(j *api.Job) { j.State = api.JobFailed }) },
		"completed with 1 of 2 tasks done":       func(h *History) { change(h, func(j *api.Job) { j.Counts.Done = 1 }) },
		"queued in a completed job":              func(h *History) { change(h, func(j *api.Job) { j.Tasks[1].State = api.TaskQueued }) },
		"described with attempt 1 although 2":    func(h *History) { change(h, func(j *api.Job) { j.Tasks[0].Attempt = 1 }) },
		"described as done by attempt 3":         func(h *History) { change(h, func(j *api.Job) { j.Tasks[0].Attempt = 3 }) },
		"attempt 1 was assigned to w2 after":     func(h *History) { edit(h, 5, func(e *api.Event) { e.Attempt = 1 }) },
		"attempt 2 was assigned although it was": func(h *History) { edit(h, 3, func(e *api.Event) { e.Kind = api.EventDone }) },
		"done twice":                             func(h *History) { edit(h, 7, func(e *api.Event) { *e = h.Seen[12].Event; e.Cursor = "3:17:0" }) },
		"the result of attempt 1 by w1 counted":  func(h *History) { edit(h, 6, func(e *api.Event) { e.Attempt, e.Worker = 1, "w1" }) },
		"completed after it had completed":       func(h *History) { add(h, api.Event{Kind: api.EventCompleted, Task: -1}) },
		"n1 saw":                                 func(h *History) { h.Seen[2].Event.Worker = "w9" },
		"accepted as job j1 and as job j2":       func(h *History) { also(h, Accepted{Key: "k1", Acc: api.Acceptance{Job: "j2", Shard: 1, Index: 5}}) },
		"accepted at shard 3, log index 10 and":  func(h *History) { also(h, Accepted{Key: "k1", Acc: api.Acceptance{Job: "j1", Shard: 3, Index: 11}}) },
		"acceptances of jobs j1 and j2 name it":  func(h *History) { also(h, Accepted{Key: "k2", Acc: api.Acceptance{Job: "j2", Shard: 3, Index: 10}}) },
		"its submission was not repeated":        func(h *History) { delete(h.Again, "k1") },
		"the same submission again as job j1 at": func(h *History) { h.Again["k1"].Acc.Index = 99 },
		"(created: true)":                        func(h *History) { h.Again["k1"].Acc.Created = true },
		"n3 said: no job with this id is known": func(h *History) {
			h.wrong("job j1 was accepted through n1, then n3 said: no job with this id is known")
		},
	} {
		h := good()
		harm(h)
		if found := strings.Join(Check(h), "\n"); !strings.Contains(found, want) {
			t.Errorf("%q was not found, but %q", want, found)
		}
	}
}

func change(h *History, f func(*api.Job)) {
	j := h.Final["j1"]
	f(&j)
	h.Final["j1"] = j
}

func also(h *History, a Accepted) { h.Accepted = append(h.Accepted, a) }
