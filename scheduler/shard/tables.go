package shard

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/ciro-network/ciro/scheduler/work"
)

// roster is a leader's attached workers: in the order of their peer ids, and by
// peer id.
type roster struct {
	workers  []*worker
	attached map[string]*worker
	quietAt  time.Duration // nobody has been silent for a whole lease before
}

// worker returns an attached worker, or nil.
func (t *roster) worker(peer string) *worker { return t.attached[peer] }

// enrol takes a worker in.
func (t *roster) enrol(w *worker) {
	i, _ := slices.BinarySearchFunc(t.workers, w.view.ID, func(w *worker, p string) int { return strings.Compare(w.view.ID, p) })
	t.workers = slices.Insert(t.workers, i, w)
	t.attached[w.view.ID] = w
}

// strike takes out the workers that have been silent for longer than a lease and
// returns them. It looks at all of them only when one may have been.
func (t *roster) strike(now, lease time.Duration) (gone []*worker) {
	if now <= t.quietAt {
		return nil
	}
	oldest := now
	t.workers = slices.DeleteFunc(t.workers, func(w *worker) bool {
		if now-w.heard <= lease {
			oldest = min(oldest, w.heard)
			return false
		}
		delete(t.attached, w.view.ID)
		gone = append(gone, w)
		return true
	})
	t.quietAt = oldest + lease
	return gone
}

// holdings are the attempts that stand: by task, and by worker in the order of
// their assignment, so that a heartbeat costs what its worker holds.
type holdings struct {
	attempts map[ref]*attempt
	with     map[string][]*attempt
	beat     uint64 // number of the last heartbeat
}

func byFence(a, b *attempt) int { return cmp.Compare(a.key.Fence, b.key.Fence) }

// hold notes an attempt in the place of any other of its task.
func (t *holdings) hold(a *attempt) {
	t.release(refOf(a.key))
	t.attempts[refOf(a.key)] = a
	list := t.with[a.worker]
	i, _ := slices.BinarySearchFunc(list, a, byFence)
	t.with[a.worker] = slices.Insert(list, i, a)
}

// release forgets the attempt of a task and returns it, or nil.
func (t *holdings) release(k ref) *attempt {
	a := t.attempts[k]
	if a == nil {
		return nil
	}
	delete(t.attempts, k)
	list := slices.DeleteFunc(t.with[a.worker], func(o *attempt) bool { return o == a })
	if t.with[a.worker] = list; len(list) == 0 {
		delete(t.with, a.worker)
	}
	return a
}

// standing returns the attempts that fit, in the order of their assignment.
func (t *holdings) standing(fits func(*attempt) bool) []*attempt {
	var out []*attempt
	// any order: sorted below
	for _, a := range t.attempts {
		if fits(a) {
			out = append(out, a)
		}
	}
	slices.SortFunc(out, byFence)
	return out
}

// attempt returns the attempt that stands under exactly this key and with this
// worker, or nil.
func (t *holdings) attempt(k work.Key, peer string) *attempt {
	if a := t.attempts[refOf(k)]; a != nil && a.key == k && a.worker == peer {
		return a
	}
	return nil
}

func anyAttempt(*attempt) bool { return true }
