package main

import (
	"sync"

	"github.com/ciro-network/ciro/node/api"
)

// Accepted is one acceptance that a client holds.
type Accepted struct {
	Key  string // idempotency key
	Door string // the node that it was submitted through
	Life int    // of the door: a lost disk takes the keys of offers with it
	Acc  api.Acceptance
}

// Seen is an event as one observer heard it.
type Seen struct {
	By    string // observer
	Event api.Event
}

// History is everything that clients and observers of a run were told.
type History struct {
	mu       sync.Mutex
	Accepted []Accepted
	Seen     []Seen
	Wrong    []string             // answers that no fault explains
	Final    map[string]api.Job   // what describe said at the end, by job
	Again    map[string]*Accepted // the same submission once more, by key; nil: its door lost its keys
}

// NewHistory makes an empty one.
func NewHistory() *History {
	return &History{Final: map[string]api.Job{}, Again: map[string]*Accepted{}}
}

func (h *History) accepted(a Accepted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Accepted = append(h.Accepted, a)
}

func (h *History) seen(by string, e api.Event) {
	if e.Kind == api.EventProgress || e.Kind == api.EventReset {
		return // not logged
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Seen = append(h.Seen, Seen{By: by, Event: e})
}

func (h *History) wrong(text string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Wrong = append(h.Wrong, text)
}

func (h *History) final(j api.Job) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Final[j.ID] = j
}

func (h *History) again(key string, a *Accepted) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.Again[key] = a
}
