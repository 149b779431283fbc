package shard

import (
	"slices"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/work"
)

// ref names a task.
type ref struct {
	job  job.ID
	task int32
}

func refOf(k work.Key) ref { return ref{k.Job, k.Task} }

// leading is a leader's soft state; it dies with the leadership.
type leading struct {
	term  uint64
	ready bool          // an entry of the own term is applied
	since time.Duration // monotonic; moved forward by gaps, so that they renew leases
	dirty bool          // something may be assigned

	stalled bool // raft has refused a proposal since the last tick, as it does while the leadership is handed over

	roster
	holdings
	active   map[job.ID]*job.Job // that have not ended
	bookings map[ref]*booking
	reports  map[work.Key]bool // proposed, not applied
	starts   map[work.Key]bool

	waiting       []waiter
	reads         []reading
	round, rounds uint64
	roundAt       time.Duration

	placing
	group
	anchoring
	slowAt, sweepAt time.Duration
}

// worker is an attached worker.
type worker struct {
	boot    uint64
	heard   time.Duration
	view    match.Worker
	pending job.Resources // of bookings that it has not answered
	slots   uint32        // number of those
	asked   time.Duration // when it was last asked for a turn
}

const maxModules = 32

// booking is a place that was asked for one task.
type booking struct {
	key      work.Key // Fence 0
	need     job.Resources
	worker   string
	client   *match.Client
	answered bool // held by the worker; the assignment is proposed
	turn     bool // asked of a worker that looks full
	since    time.Duration
	ends     time.Duration // by then it will be over, if it runs at once
}

// attempt is an assignment that stands.
type attempt struct {
	key    work.Key
	worker string
	mine   bool          // assigned by this leader, so its worker was attached
	since  time.Duration // when this leader learnt of it
	sent   time.Duration // last Assign
	held   bool          // the worker has named it since
	named  uint64        // number of the last heartbeat that named it
	limit  time.Duration // after which it cannot be running any more
	need   job.Resources
	client *match.Client
}

func newLeading(term uint64, now time.Duration) *leading {
	return &leading{
		term: term, since: now, active: map[job.ID]*job.Job{}, bookings: map[ref]*booking{},
		roster: roster{attached: map[string]*worker{}}, holdings: holdings{attempts: map[ref]*attempt{}, with: map[string][]*attempt{}},
		reports: map[work.Key]bool{}, starts: map[work.Key]bool{}, placing: placing{queue: match.NewQueue()}, group: newGroup(now),
	}
}

// renew forgives all silence: the leader itself was not there to hear.
func (l *leading) renew(now time.Duration) {
	l.since = now
	for _, w := range l.workers {
		w.heard = now
	}
	// any order: each booking alone
	for _, b := range l.bookings {
		b.since = now
	}
	// any order: each replica alone
	for id := range l.alive {
		l.alive[id] = now
	}
}

// takeOffice begins the leader's duties from applied state.
func (r *Replica) takeOffice() {
	l := r.lead
	l.ready, l.dirty, l.since = true, true, r.now.Mono
	l.queue.Advance(r.shardNow)
	for _, j := range r.state.SortedJobs() {
		if j.State.Terminal() {
			continue
		}
		l.active[j.ID] = j
		l.queue.Add(j)
		for i := range j.Tasks {
			t := &j.Tasks[i]
			if t.State == job.Assigned || t.State == job.TaskRunning {
				r.stand(j, j.WireIndex(i), false)
			}
		}
	}
	r.proposeWaiting()
	if len(l.reads) > 0 {
		r.startRound()
	}
}

// stand notes an assignment that stands; mine says that this leader has just
// made it and has to send it.
func (r *Replica) stand(j *job.Job, index int32, mine bool) {
	t := j.Task(index)
	key := work.Key{Job: j.ID, Task: index, Attempt: t.Attempt, Fence: t.Fence}
	a := &attempt{
		key: key, worker: t.Worker, mine: mine, since: r.now.Mono, limit: r.now.Mono + j.Spec.Policy.Timeout + attemptGrace,
		need: j.Need(index), client: r.lead.queue.Client(string(j.ClientKey)),
	}
	r.lead.hold(a)
	r.lead.queue.Charge(a.client, a.need)
	if mine {
		r.assign(j, a)
	}
}

// attemptGrace is what an attempt may take beyond its timeout to fetch inputs
// and to have its outputs stored.
const attemptGrace = 5 * time.Minute

// tick does what is due with time. It runs once per Raft tick.
func (r *Replica) tick() {
	l := r.lead
	if l == nil {
		return
	}
	l.stalled = false
	r.expireWaiting()
	r.expireSnapshots()
	if !l.ready {
		return
	}
	r.proposeWaiting()
	r.expireBookings()
	r.judgeLeases()
	r.cutIfDue()
	r.askTurn()
	l.dirty = len(l.active) > 0
	if r.now.Mono < l.slowAt {
		return
	}
	l.slowAt = r.now.Mono + 500*time.Millisecond
	r.tendGroup()
	r.tendReservations()
	l.queue.Forget(r.now.Mono - clientMemory)
	r.judgeTimeouts()
	r.sweepIfDue()
}

func (r *Replica) expireBookings() {
	for _, k := range sortedRefs(r.lead.bookings) {
		b := r.lead.bookings[k]
		if r.now.Mono-b.since > r.p.Booking {
			r.dropBooking(k, b, true)
		}
	}
}

func sortedRefs(m map[ref]*booking) []ref {
	out := make([]ref, 0, len(m))
	// any order: sorted below
	for k := range m {
		out = append(out, k)
	}
	slices.SortFunc(out, func(a, b ref) int {
		if c := slices.Compare(a.job[:], b.job[:]); c != 0 {
			return c
		}
		return int(a.task - b.task)
	})
	return out
}

// judgeLeases lapses what silent workers hold.
func (r *Replica) judgeLeases() {
	l := r.lead
	for _, w := range l.strike(r.now.Mono, r.p.Lease) {
		l.pool.Remove(&w.view)
	}
	for _, a := range l.standing(r.hasLapsed) {
		r.fail(a.key, job.CauseLapse, "its worker fell silent")
	}
}

// hasLapsed says whether an attempt's worker is not attached: silent for a whole
// lease, or not yet heard by this leader, which gives it a little more time to
// find here.
func (r *Replica) hasLapsed(a *attempt) bool {
	return r.lead.worker(a.worker) == nil &&
		(a.mine || a.held || r.now.Mono-max(a.since, r.lead.since) > r.p.Lease+r.p.Attach)
}

// judgeTimeouts ends attempts that no worker can still be running.
func (r *Replica) judgeTimeouts() {
	late := func(a *attempt) bool { return r.now.Mono > a.limit }
	never := func(a *attempt) bool {
		return !a.held && r.lead.worker(a.worker) != nil && r.now.Mono-max(a.since, r.lead.since) > 15*time.Second
	}
	for _, a := range r.lead.standing(func(a *attempt) bool { return late(a) || never(a) }) {
		if late(a) {
			r.fail(a.key, job.CauseTimeout, "its worker did not end it in time")
		} else {
			r.fail(a.key, job.CauseRefused, "its worker never took it")
		}
	}
}

func (r *Replica) fail(k work.Key, c job.Cause, detail string) {
	r.propose(&job.Command{Op: job.OpFail, Job: k.Job, Task: k.Task, Attempt: k.Attempt, Fence: k.Fence, Cause: c, Detail: detail})
}

// sweepIfDue lets deadlines and retention take effect.
func (r *Replica) sweepIfDue() {
	due := r.now.Mono >= r.lead.sweepAt && len(r.state.Jobs)+len(r.state.Tombstones) > 0
	// any order: one that is due is enough
	for _, j := range r.lead.active {
		at := j.Due()
		due = due || at > 0 && r.shardNow > at
	}
	if due && r.propose(&job.Command{Op: job.OpSweep}) {
		r.lead.sweepAt = r.now.Mono + time.Minute
	}
}

// decided draws the leader's conclusions from an applied command.
func (r *Replica) decided(cmd *job.Command, out job.Outcome) {
	l := r.lead
	key := work.Key{Job: cmd.Job, Task: cmd.Task, Attempt: cmd.Attempt, Fence: cmd.Fence}
	switch cmd.Op {
	case job.OpStarted:
		delete(l.starts, key)
	case job.OpDone, job.OpFail:
		if l.reports[key] {
			delete(l.reports, key)
			if a := l.attempts[refOf(key)]; a != nil && a.key == key {
				r.do(Work{To: a.worker, Msg: work.Ack{Key: key, Accepted: out.Reason == ""}})
			}
		}
	}
	if !l.ready {
		return // takeOffice will look at everything
	}
	r.answerWaiting(cmd, out)
	if out.Reason == "" && (cmd.Op == job.OpAccept || cmd.Op == job.OpRetry) {
		l.active[cmd.Job] = out.Job
		l.queue.Add(out.Job)
	}
	if cmd.Op == job.OpAssign {
		r.assigned(cmd, out)
	}
	for i := range out.Events {
		r.follow(&out.Events[i])
	}
	l.dirty = l.dirty || len(out.Events) > 0
}

// follow keeps the leader's indexes in step with one event. A sweep's events
// concern many jobs.
func (r *Replica) follow(e *job.Event) {
	l, j := r.lead, r.state.Jobs[e.Job]
	if j == nil {
		return // ended and forgotten at once
	}
	switch e.Kind {
	case job.EventAssigned:
		r.stand(j, e.Task, true)
	case job.EventRequeued, job.EventDead, job.EventDone:
		r.drop(e.Job, e.Task, e.Kind != job.EventDone)
		if e.Kind == job.EventRequeued {
			l.queue.Return(match.Task{Job: e.Job, Index: e.Task}, j.Task(e.Task).NotBefore)
		}
	case job.EventAssembling:
		l.queue.Return(match.Task{Job: e.Job, Index: job.GatherIndex}, 0)
	case job.EventCompleted, job.EventFailed, job.EventCancelled:
		delete(l.active, e.Job)
		l.queue.Remove(j)
		for i := range j.Tasks {
			r.drop(j.ID, j.WireIndex(i), true)
		}
	}
}

// drop forgets an attempt that stands no more; its worker is told to stop it,
// in case it still runs.
func (r *Replica) drop(id job.ID, task int32, stop bool) {
	a := r.lead.release(ref{id, task})
	if a == nil {
		return
	}
	r.lead.queue.Discharge(a.client, a.need)
	if stop {
		r.do(Work{To: a.worker, Msg: work.Stop{Key: a.key, Why: "the attempt no longer counts"}})
	}
}
