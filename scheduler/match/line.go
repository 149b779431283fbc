package match

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// ageOf returns a job's effective priority at a shard time and the moment at
// which it rises (0: never again).
func ageOf(j *job.Job, now int64) (level int, riseAt int64) {
	e := Entry{Priority: j.Spec.Priority, Waiting: time.Duration(now-j.Accepted) * time.Millisecond}
	level = int(max(0, e.effective()))
	if level >= maxPriority {
		return level, 0
	}
	steps := int64(max(0, e.Waiting)/ageStep) + 1
	return level, j.Accepted + steps*ageStep.Milliseconds()
}

// enter lines an item up that has something waiting.
func (q *Queue) enter(it *item) {
	if it.line != nil || len(it.again) == 0 && it.next >= it.limit {
		return
	}
	s := it.shape
	i := slices.IndexFunc(it.client.lines, func(l *line) bool { return l.shape == s && l.level == it.level })
	var l *line
	if i >= 0 {
		l = it.client.lines[i]
	} else {
		l = &line{client: it.client, shape: s, level: it.level, share: it.client.share, at: -1}
		l.items = heap[*item]{
			before: func(a, b *item) bool { return a.job.Index < b.job.Index },
			placed: func(i *item, at int) { i.at = at },
		}
		it.client.lines = append(it.client.lines, l)
	}
	it.line = l
	l.items.push(it)
	h := &s.levels[it.level]
	if l.at < 0 {
		h.push(l)
	} else {
		h.fix(l.at)
	}
	if s.count++; s.count == 1 {
		s.since = q.now
	}
	q.refresh(s)
}

// leave takes an item out of its line.
func (q *Queue) leave(it *item) {
	l := it.line
	if l == nil {
		return
	}
	s := it.shape
	it.line = nil
	s.count--
	h := &s.levels[l.level]
	l.items.remove(it.at)
	if len(l.items.list) > 0 {
		h.fix(l.at)
	} else {
		h.remove(l.at)
		c := l.client
		i := slices.Index(c.lines, l)
		c.lines[i] = c.lines[len(c.lines)-1]
		c.lines = c.lines[:len(c.lines)-1]
	}
	q.refresh(s)
}

// refresh keeps a shape among the ready ones, at its place, exactly while
// something of it waits that may fit somewhere.
func (q *Queue) refresh(s *Shape) {
	want := s.count > 0 && !s.nowhere() && !s.put
	switch {
	case want && s.ready < 0:
		q.ready.push(s)
	case want:
		q.ready.fix(s.ready)
	case s.ready >= 0:
		q.ready.remove(s.ready)
	}
}

// Head returns the task that is served next among those that may fit somewhere,
// with its job and its shape; ok is false when there is none.
func (q *Queue) Head() (t Task, j *job.Job, s *Shape, ok bool) {
	for len(q.ready.list) > 0 {
		s = q.ready.list[0]
		if t, j, ok = q.First(s); ok {
			return t, j, s, true
		}
	}
	return Task{}, nil, nil, false
}

// First returns the first task of a shape.
func (q *Queue) First(s *Shape) (t Task, j *job.Job, ok bool) {
	for s.count > 0 {
		it := s.head().items.list[0]
		for {
			index, some := it.peek()
			if !some {
				q.leave(it)
				break
			}
			if it.job.Eligible(index, q.now) {
				return Task{it.job.ID, index}, it.job, true
			}
			it.pop()
		}
	}
	return Task{}, nil, false
}

// Take takes out the task that Head or First has just returned.
func (q *Queue) Take(t Task) {
	it := q.items[itemKey{t.Job, t.Index == job.GatherIndex}]
	if it == nil {
		return
	}
	if i, some := it.peek(); some && i == t.Index {
		it.pop()
	} else if i, found := slices.BinarySearchFunc(it.again, t.Index, func(a, b int32) int { return int(b) - int(a) }); found {
		it.again = slices.Delete(it.again, i, i+1)
	}
	if _, some := it.peek(); !some {
		q.leave(it)
	}
}

func (it *item) peek() (index int32, ok bool) {
	if n := len(it.again); n > 0 {
		return it.again[n-1], true
	}
	return it.next, it.next < it.limit
}

func (it *item) pop() {
	if n := len(it.again); n > 0 {
		it.again = it.again[:n-1]
		return
	}
	it.next++
}

// Waits says whether a task waits here now, behind others or first.
func (q *Queue) Waits(t Task) bool {
	it := q.items[itemKey{t.Job, t.Index == job.GatherIndex}]
	if it == nil || it.line == nil || !it.job.Eligible(t.Index, q.now) {
		return false
	}
	return slices.Contains(it.again, t.Index) || t.Index >= it.next && t.Index < it.limit
}

// Settled notes what a search for the shape has found, which may put the shape
// aside until a worker has more room.
func (q *Queue) Settled(s *Shape, v Verdict) {
	if v == Unfinished && !s.put {
		s.put = true
		q.deferred = append(q.deferred, s)
	}
	q.refresh(s)
}

// Unfinished says whether a search was put off until Resume.
func (q *Queue) Unfinished() bool { return len(q.deferred) > 0 }

// Resume lets shapes whose search was unfinished be looked at again.
func (q *Queue) Resume() {
	for _, s := range q.deferred {
		s.put = false
		q.refresh(s)
	}
	q.deferred = q.deferred[:0]
}

// Progress notes that a task was assigned, so its shape does get its turn.
func (q *Queue) Progress(t Task) {
	if it := q.items[itemKey{t.Job, t.Index == job.GatherIndex}]; it != nil {
		it.shape.since = q.now
	}
}

// Starved returns the shapes of which something has waited, fitting nowhere,
// while none was assigned since the given shard time; in queue order.
func (q *Queue) Starved(since int64) []*Shape {
	var out []*Shape
	for _, s := range q.list {
		if s.count > 0 && s.nowhere() && s.since <= since {
			out = append(out, s)
		}
	}
	slices.SortFunc(out, func(a, b *Shape) int {
		if shapeBefore(a, b) {
			return -1
		}
		return 1
	})
	return out
}

// NextStarved returns one of those shapes, or nil: the first behind the place
// where the last call has stopped. It looks at each shape once at most.
func (q *Queue) NextStarved(since int64) *Shape {
	for range q.list {
		q.round++
		if s := q.list[q.round%len(q.list)]; s.count > 0 && s.nowhere() && s.since <= since {
			return s
		}
	}
	return nil
}

// Freshen tells the shapes that fit nowhere of the workers that have more room
// than before, or are new.
func (q *Queue) Freshen(p *Pool) {
	if len(p.improved) == 0 {
		return
	}
	var most job.Resources
	for _, w := range p.improved {
		most.CPU, most.Memory, most.Disk = max(most.CPU, w.Free.CPU), max(most.Memory, w.Free.Memory), max(most.Disk, w.Free.Disk)
		most.GPUs, most.GPUMem = max(most.GPUs, w.Free.GPUs), max(most.GPUMem, w.Free.GPUMem)
	}
	for _, s := range q.list {
		if s.knows() && most.Fits(s.Need) {
			s.tell(p.improved)
			q.refresh(s)
		}
	}
	p.forgetImproved()
}
