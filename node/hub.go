package node

import (
	"sync"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// hubBuffer bounds what waits for one subscriber; one that is slower is cut off
// and resumes with its cursor.
const hubBuffer = 4096

// maxSubscribers bounds the watchers of one node.
const maxSubscribers = 4096

// observed is one thing that subscribers hear.
type observed struct {
	shard    uint32
	event    job.Event
	progress *work.Progress // instead of event
	worker   string
	reset    bool // instead of event: events were skipped
}

// subscriber hears the events of one job or, with all set, of every one.
type subscriber struct {
	job job.ID
	all bool
	out chan observed // closed by the hub when the subscriber is too slow
}

// hub passes events of the replicas of this node on to watchers. It also keeps
// the last progress of each running task for those who describe a job.
type hub struct {
	mu   sync.Mutex
	subs map[*subscriber]bool
	last map[taskRef]work.Progress // of attempts that have not ended
}

// taskRef names a task.
type taskRef struct {
	job  job.ID
	task int32
}

// maxProgress bounds the table of last progress.
const maxProgress = 20_000

func newHub() *hub {
	return &hub{subs: map[*subscriber]bool{}, last: map[taskRef]work.Progress{}}
}

// subscribe returns nil when there are too many subscribers.
func (h *hub) subscribe(id job.ID, all bool) *subscriber {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.subs) >= maxSubscribers {
		return nil
	}
	s := &subscriber{job: id, all: all, out: make(chan observed, hubBuffer)}
	h.subs[s] = true
	return s
}

func (h *hub) unsubscribe(s *subscriber) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.subs, s)
}

func (h *hub) publish(id uint32, a shard.Applied) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if a.Reset {
		h.tell(observed{shard: id, reset: true})
	}
	for _, e := range a.Events {
		switch e.Kind {
		case job.EventDone, job.EventRequeued, job.EventDead:
			delete(h.last, taskRef{e.Job, e.Task})
		}
		h.tell(observed{shard: id, event: e})
	}
}

func (h *hub) progress(id uint32, p shard.Progressed) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := taskRef{p.Progress.Key.Job, p.Progress.Key.Task}
	if _, known := h.last[k]; known || len(h.last) < maxProgress {
		h.last[k] = p.Progress
	}
	h.tell(observed{shard: id, progress: &p.Progress, worker: p.Worker, event: job.Event{Job: p.Progress.Key.Job}})
}

// lastProgress returns the last progress of an attempt.
func (h *hub) lastProgress(k work.Key) (work.Progress, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p, ok := h.last[taskRef{k.Job, k.Task}]
	return p, ok && p.Key == k
}

// tell gives o to all whom it concerns. The lock is held.
func (h *hub) tell(o observed) {
	// any order: independent subscribers
	for s := range h.subs {
		if !s.all && !o.reset && s.job != o.event.Job {
			continue
		}
		select {
		case s.out <- o:
		default:
			delete(h.subs, s)
			close(s.out)
		}
	}
}
