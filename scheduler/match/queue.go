package match

import (
	"cmp"
	"slices"

	"github.com/ciro-network/ciro/scheduler/job"
)

// Task names one task of a job by its wire index.
type Task struct {
	Job   job.ID
	Index int32
}

// Shape is a kind of task: what decides where it can run. Tasks of one shape fit
// the same workers, so one answer does for all that wait, however many.
type Shape struct {
	Need job.Resources
	Spec *job.Spec // of one of its tasks, for what they have in common

	key    string
	levels [maxPriority + 1]heap[*line]
	count  int   // items that wait
	users  int   // items
	since  int64 // shard time since when something waits and none was assigned
	ready  int   // place among the shapes that may fit somewhere, -1: none
	order  int   // place among all shapes
	put    bool  // aside, until Resume
	search
}

// shapeKey is equal for two specs exactly when no worker can tell their tasks
// apart but by content: all that does not bear on placing is left out.
func shapeKey(s *job.Spec, need job.Resources) string {
	c := *s
	c.Name, c.Module, c.ModuleLen, c.Args, c.Env, c.Inputs, c.Client = "", "", 0, nil, nil, nil, ""
	c.Tasks, c.Gather, c.Priority, c.Varying = 0, nil, 0, false
	c.Policy, c.Need = job.Policy{Timeout: s.Policy.Timeout}, need
	return string(c.Encode())
}

// line is what one client has waiting of one shape at one effective priority.
type line struct {
	client *Client
	shape  *Shape
	level  int
	share  float64     // of the client, as last followed
	items  heap[*item] // by acceptance
	at     int         // place in shape.levels[level]
}

func (l *line) index() uint64 { return l.items.list[0].job.Index }

// before is the order of the queue between lines of one effective priority.
func (l *line) before(o *line) bool {
	if l.share != o.share {
		return l.share < o.share
	}
	return l.index() < o.index()
}

// item is one job's tasks of one shape: all but the gather task, or that.
type item struct {
	job    *job.Job
	shape  *Shape
	client *Client
	next   int32   // tasks from here to limit were never placed
	limit  int32   //
	again  []int32 // others that wait, the smallest last
	level  int
	ageAt  int64 // shard time at which level rises; 0: never again
	line   *line // nil while nothing of it waits
	at     int   // place in line
	aging  int   // place among those that age, -1: none
}

type itemKey struct {
	job    job.ID
	gather bool
}

// pause is a task that waits for its next attempt.
type pause struct {
	until int64
	seq   uint64
	task  Task
}

// Queue holds the tasks that wait for workers, in the order in which they are
// served. It is a leader's soft state and can be built from the jobs at any time.
// Adding a job, taking a task and learning that a shape fits nowhere all cost
// the logarithm of what waits, never more.
type Queue struct {
	now      int64
	items    map[itemKey]*item
	shapes   map[string]*Shape
	list     []*Shape     // all of shapes, in the order that its history gives
	ready    heap[*Shape] // those that may fit somewhere, best first
	aging    heap[*item]
	pauses   heap[pause]
	seq      uint64
	clients  map[string]*Client
	total    job.Resources
	places   int
	tasks    int // of all jobs
	deferred []*Shape
	round    int  // of NextStarved
	owners   bool // clients are told apart
}

// NewQueue returns an empty queue.
func NewQueue() *Queue {
	q := &Queue{items: map[itemKey]*item{}, shapes: map[string]*Shape{}, clients: map[string]*Client{}}
	q.ready = heap[*Shape]{before: shapeBefore, placed: func(s *Shape, at int) { s.ready = at }}
	q.aging = heap[*item]{
		before: func(a, b *item) bool { return a.ageAt < b.ageAt || a.ageAt == b.ageAt && a.job.Index < b.job.Index },
		placed: func(i *item, at int) { i.aging = at },
	}
	q.pauses = heap[pause]{
		before: func(a, b pause) bool { return a.until < b.until || a.until == b.until && a.seq < b.seq },
		placed: func(pause, int) {},
	}
	return q
}

// shapeBefore is the order of the queue between the first tasks of two shapes.
func shapeBefore(a, b *Shape) bool {
	x, y := a.head(), b.head()
	if x.level != y.level {
		return x.level > y.level
	}
	if x.share != y.share {
		return x.share < y.share
	}
	if x.index() != y.index() {
		return x.index() < y.index()
	}
	return a.key < b.key // one job's tasks and its gather task
}

// head is the line that comes first; there is one while count > 0.
func (s *Shape) head() *line {
	for l := maxPriority; l >= 0; l-- {
		if h := s.levels[l].list; len(h) > 0 {
			return h[0]
		}
	}
	return nil
}

// Add takes in a job that has not ended, with all of its tasks that wait.
func (q *Queue) Add(j *job.Job) {
	if q.items[itemKey{job: j.ID}] != nil {
		return
	}
	c := q.Client(string(j.ClientKey))
	c.Jobs, c.Tasks, q.tasks = c.Jobs+1, c.Tasks+len(j.Tasks), q.tasks+len(j.Tasks)
	q.put(j, j.Spec.Need, false)
	if j.Gather() != nil {
		q.put(j, j.Spec.GatherNeed(), true)
	}
	fresh := j.Count(job.Queued) == j.Spec.Tasks && j.Begun == 0
	if it := q.items[itemKey{job: j.ID}]; fresh {
		it.limit = int32(j.Spec.Tasks)
		q.enter(it)
		return
	}
	for i := len(j.Tasks) - 1; i >= 0; i-- { // backwards: each goes to the end of its list
		if t := &j.Tasks[i]; t.State == job.Queued {
			q.Return(Task{j.ID, j.WireIndex(i)}, t.NotBefore)
		}
	}
}

func (q *Queue) put(j *job.Job, need job.Resources, gather bool) {
	it := &item{job: j, client: q.Client(string(j.ClientKey)), aging: -1}
	it.level, it.ageAt = ageOf(j, q.now)
	key := shapeKey(j.Spec, need)
	if q.owners {
		key += j.Spec.Owner
	}
	s := q.shapes[key]
	if s == nil {
		s = newShape(key, j.Spec, need)
		s.order = len(q.list)
		q.shapes[key] = s
		q.list = append(q.list, s)
	}
	it.shape = s
	s.users++
	q.items[itemKey{j.ID, gather}] = it
	if it.ageAt > 0 {
		q.aging.push(it)
	}
}

func newShape(key string, s *job.Spec, need job.Resources) *Shape {
	sh := &Shape{Need: need, Spec: s, key: key, ready: -1}
	for i := range sh.levels {
		sh.levels[i] = heap[*line]{before: (*line).before, placed: func(l *line, at int) { l.at = at }}
	}
	return sh
}

// Remove forgets a job that has ended.
func (q *Queue) Remove(j *job.Job) {
	c := q.clients[string(j.ClientKey)]
	for _, gather := range []bool{false, true} {
		k := itemKey{j.ID, gather}
		it := q.items[k]
		if it == nil {
			continue
		}
		if !gather {
			c.Jobs, c.Tasks, q.tasks = c.Jobs-1, c.Tasks-len(j.Tasks), q.tasks-len(j.Tasks)
		}
		delete(q.items, k)
		q.leave(it)
		if it.aging >= 0 {
			q.aging.remove(it.aging)
		}
		if it.shape.users--; it.shape.users == 0 {
			q.drop(it.shape)
		}
	}
}

// drop forgets a shape that nobody has any more.
func (q *Queue) drop(s *Shape) {
	delete(q.shapes, s.key)
	last := q.list[len(q.list)-1]
	q.list[s.order], last.order = last, s.order
	q.list[len(q.list)-1] = nil
	q.list = q.list[:len(q.list)-1]
	q.deferred = slices.DeleteFunc(q.deferred, func(d *Shape) bool { return d == s })
}

// Return puts a task back, or in, that may be placed from a shard time on. What
// is no longer so when its turn comes is passed by.
func (q *Queue) Return(t Task, notBefore int64) {
	it := q.items[itemKey{t.Job, t.Index == job.GatherIndex}]
	switch {
	case it == nil:
	case notBefore > q.now:
		q.seq++
		q.pauses.push(pause{until: notBefore, seq: q.seq, task: t})
	default:
		i, found := slices.BinarySearchFunc(it.again, t.Index, func(a, b int32) int { return int(b) - int(a) })
		if found || t.Index >= it.next && t.Index < it.limit {
			return
		}
		it.again = slices.Insert(it.again, i, t.Index)
		q.enter(it)
	}
}

// Restore puts back a task that was taken and found no place after all: its
// shape has waited since it did before.
func (q *Queue) Restore(t Task, notBefore int64) {
	if it := q.items[itemKey{t.Job, t.Index == job.GatherIndex}]; it != nil {
		since := it.shape.since
		q.Return(t, notBefore)
		it.shape.since = since
	}
}

// Advance lets time pass up to a shard time: pauses end and what waits ages.
func (q *Queue) Advance(now int64) {
	q.now = max(q.now, now)
	for len(q.pauses.list) > 0 && q.pauses.list[0].until <= q.now {
		p := q.pauses.remove(0)
		q.Return(p.task, 0)
	}
	for len(q.aging.list) > 0 && q.aging.list[0].ageAt <= q.now {
		it := q.aging.remove(0)
		waits := it.line != nil
		q.leave(it)
		it.level, it.ageAt = ageOf(it.job, q.now)
		if it.ageAt > 0 {
			q.aging.push(it)
		}
		if waits {
			q.enter(it)
		}
	}
}

// TellOwners has tasks of different clients be of different shapes from now on,
// since a worker takes some clients' jobs and not others'. While none does, a
// shape per client would only cost.
func (q *Queue) TellOwners() {
	if q.owners {
		return
	}
	q.owners = true
	var jobs []*job.Job
	// any order: sorted below
	for k, it := range q.items {
		if !k.gather {
			jobs = append(jobs, it.job)
		}
	}
	slices.SortFunc(jobs, func(a, b *job.Job) int { return cmp.Compare(a.Index, b.Index) })
	for _, j := range jobs {
		q.Remove(j)
	}
	for _, j := range jobs {
		q.Add(j)
	}
}
