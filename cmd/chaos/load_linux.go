package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// clients is how many submit at once.
const clients = 5

// oneCall bounds one request of a client; a paused node answers nothing.
const oneCall = 8 * time.Second

// load is the clients of a run.
type load struct {
	members []*member
	h       *History
	watch   *tracker
	cids    map[string]string // module of each shape
	n       atomic.Int64
	answers answers
	given   atomic.Int64 // submissions given up: their door lost its keys, or the time was over
}

// upload stores the modules through every node, so that no lost disk takes the
// last copy.
func (l *load) upload(ctx context.Context) error {
	for _, s := range shapes {
		module := napModule(s.nap)
		for _, m := range l.members {
			blob, err := m.client.Upload(ctx, bytes.NewReader(module), int64(len(module)))
			if err != nil {
				return fmt.Errorf("upload the module of %s jobs through %s: %w", s.name, m.name, err)
			}
			l.cids[s.name] = blob.CID
		}
	}
	return nil
}

// run keeps the clients going until ctx ends; submissions under way then get
// until late ends.
func (l *load) run(ctx, late context.Context, seed uint64) {
	var all sync.WaitGroup
	for i := range clients {
		rng := rand.New(rand.NewPCG(seed, uint64(100+i)))
		all.Go(func() {
			for sleep(ctx, time.Duration(200+rng.IntN(1600))*time.Millisecond) {
				s := shapes[[]int{0, 0, 1, 1, 2, 2}[rng.IntN(6)]]
				door, other := l.members[rng.IntN(len(l.members))], l.members[rng.IntN(len(l.members))]
				if a, ok := l.submit(late, door, s); ok && rng.IntN(2) == 0 {
					l.readBack(late, other, a)
				}
			}
		})
	}
	all.Wait()
}

// submit hands in one job and repeats while the outcome is unknown.
func (l *load) submit(ctx context.Context, door *member, s shape) (Accepted, bool) {
	_, life := door.id()
	a := Accepted{Key: fmt.Sprintf("%s-%d", s.name, l.n.Add(1)), Door: door.name, Life: life}
	for {
		began := time.Now()
		acc, err := l.once(ctx, door, s, a.Key)
		l.answers.note(door, err, time.Since(began))
		_, now := door.id()
		switch {
		case err == nil:
			a.Acc = acc
			l.h.accepted(a)
			l.watch.accepted(acc, began)
			return a, true
		case now != life || ctx.Err() != nil:
			l.given.Add(1)
			return a, false
		case !unknown(err):
			l.h.wrong(fmt.Sprintf("%s refused a submission: %v", door.name, err))
			return a, false
		}
		sleep(ctx, 300*time.Millisecond)
	}
}

// once is one try of a submission.
func (l *load) once(ctx context.Context, door *member, s shape, key string) (api.Acceptance, error) {
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	spec, err := s.spec(l.cids[s.name], key)
	if err != nil {
		return api.Acceptance{}, err
	}
	return door.client.Submit(ctx, api.Submission{Spec: spec, IdempotencyKey: key})
}

// unknown says whether a request may simply be repeated: nobody answered, or the
// answer was "not now".
func unknown(err error) bool {
	var r *api.Refusal
	if errors.As(err, &r) {
		return r.Code == api.CodeUnavailable || r.Code == api.CodeBusy
	}
	return true // no answer at all: it was killed, paused, or not there
}

// readBack asks another node for a job that was just accepted: whatever that
// node is, it may not say that there is no such job.
func (l *load) readBack(ctx context.Context, m *member, a Accepted) {
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	_, err := m.client.Describe(ctx, a.Acc.Job, false)
	if err != nil && !unknown(err) {
		l.h.wrong(fmt.Sprintf("job %s was accepted through %s, then %s said: %v", a.Acc.Job, a.Door, m.name, err))
	}
}

// observe follows the events of one node until ctx ends, over restarts.
func (l *load) observe(ctx context.Context, m *member) {
	for ctx.Err() == nil {
		// However it broke off, it is begun again.
		_ = m.client.Watch(ctx, api.WatchQuery{}, func(e api.Event) error {
			l.h.seen(m.name, e)
			l.watch.event(e, time.Now())
			return nil
		})
		sleep(ctx, 100*time.Millisecond)
	}
}

// sleep waits; false when ctx ended before.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// answers counts what submissions were answered and how long it took.
type answers struct {
	mu       sync.Mutex
	byCode   map[string]int
	minority map[string]bool // doors that are on the smaller side now
	small    []time.Duration // answers of those, accepted or refused
}

func (a *answers) note(door *member, err error, took time.Duration) {
	code := "accepted"
	var r *api.Refusal
	switch {
	case err == nil:
	case errors.As(err, &r) && r.Status != 0:
		code = r.Code
	default:
		code = "no answer"
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.byCode == nil {
		a.byCode = map[string]int{}
	}
	a.byCode[code]++
	if a.minority[door.name] && code != "no answer" {
		a.small = append(a.small, took)
	}
}

// side says which doors are on the smaller side of a partition, none after it.
func (a *answers) side(members []*member) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.minority = map[string]bool{}
	for _, m := range members {
		a.minority[m.name] = true
	}
}
