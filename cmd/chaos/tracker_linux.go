package main

import (
	"slices"
	"sync"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// electing is the least time in which a shard can have another coordinator. What
// is heard of sooner after a kill is still the old one's work.
const electing = 500 * time.Millisecond

// tracker follows the events of a run as they come, to know what stands with
// whom and to measure how long faults take to be mended.
type tracker struct {
	mu       sync.Mutex
	stands   map[taskOf]api.Event // assignments without an end, as far as known
	newest   map[taskOf]int       // attempt
	failover []*awaited[int]      // shards without coordinator
	moves    []*awaited[taskOf]   // tasks of killed workers
}

// awaited is something that a kill has made due.
type awaited[T any] struct {
	what    T
	attempt int // of a task: the one that was lost
	since   time.Time
	clean   bool // nothing else was wrong at the time
	took    time.Duration
}

func newTracker() *tracker {
	return &tracker{stands: map[taskOf]api.Event{}, newest: map[taskOf]int{}}
}

// event takes one event of one observer. Others bring the same one later.
func (t *tracker) event(e api.Event, at time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := taskOf{e.Job, e.Task}
	switch e.Kind {
	case api.EventAssigned:
		if e.Attempt <= t.newest[k] {
			return
		}
		t.newest[k], t.stands[k] = e.Attempt, e
		for _, m := range t.moves {
			if m.took == 0 && m.what == k && e.Attempt > m.attempt {
				m.took = at.Sub(m.since)
			}
		}
		t.led(e, at)
	case api.EventAccepted:
		t.led(e, at)
	case api.EventDone, api.EventRequeued, api.EventDead:
		if s, known := t.stands[k]; known && s.Attempt <= e.Attempt {
			delete(t.stands, k)
		}
	}
}

// led notes that a shard has committed something. The lock is held.
func (t *tracker) led(e api.Event, at time.Time) {
	if p := position(e.Cursor); len(p) == 3 {
		t.leads(int(p[0]), at, at)
	}
}

// leads ends what waits for a shard, if what proves it began late enough.
func (t *tracker) leads(shard int, began, at time.Time) {
	for _, f := range t.failover {
		if f.took == 0 && f.what == shard && began.After(f.since.Add(electing)) {
			f.took = at.Sub(f.since)
		}
	}
}

// accepted takes an acceptance whose request began at a moment.
func (t *tracker) accepted(a api.Acceptance, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.leads(a.Shard, began.Add(electing), time.Now()) // began after the kill: a dead one cannot answer
}

// killed notes what the end of a node has made due: the shards that it led and
// the tasks that stood with it in shards that it did not.
func (t *tracker) killed(peer string, shards []int, at time.Time, clean bool) (tasks int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range shards {
		t.failover = append(t.failover, &awaited[int]{what: s, since: at, clean: clean})
	}
	for k, e := range t.stands { // any order: each alone
		if p := position(e.Cursor); e.Worker == peer && len(p) == 3 {
			orphan := slices.Contains(shards, int(p[0]))
			t.moves = append(t.moves, &awaited[taskOf]{what: k, attempt: e.Attempt, since: at, clean: clean && !orphan})
			tasks++
		}
	}
	return tasks
}

// standing says how many assignments stand with each worker.
func (t *tracker) standing() map[string]int {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[string]int{}
	for _, e := range t.stands { // any order: counted
		out[e.Worker]++
	}
	return out
}

// leaderless are the shards of which nothing was heard since their coordinator
// was killed.
func (t *tracker) leaderless() (shards []int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.failover {
		if f.took == 0 {
			shards = append(shards, f.what)
		}
	}
	return shards
}

// times are the samples so far, those taken when nothing else was wrong and the
// others, and how many never ended.
func times[T any](t *tracker, list *[]*awaited[T]) (clean, other []time.Duration, open int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, a := range *list {
		switch {
		case a.took == 0:
			open++
		case a.clean:
			clean = append(clean, a.took)
		default:
			other = append(other, a.took)
		}
	}
	return clean, other, open
}
