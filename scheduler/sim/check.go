package sim

import (
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// memory is a job's state before a command.
type memory struct {
	known bool
	state job.JobState
	tasks []job.Task
}

func remember(j *job.Job) memory {
	if j == nil {
		return memory{}
	}
	m := memory{known: true, state: j.State, tasks: make([]job.Task, len(j.Tasks))}
	copy(m.tasks, j.Tasks)
	return m
}

// compare checks that a command made only legal moves. Two moves in one command
// are legal where each is: a result overtakes the word that the task started,
// and the last result ends a job.
func (m memory) compare(o *oracle, j *job.Job) {
	if !m.known || j == nil {
		return
	}
	if m.state != j.State && !job.LegalJob(m.state, j.State) {
		o.w.violate("moves", "job %s goes from %s to %s", j.ID.Short(), m.state, j.State)
	}
	for i := range m.tasks {
		a, b := &m.tasks[i], &j.Tasks[i]
		overtaken := a.State == job.Assigned && b.State == job.Done
		if a.State != b.State && !job.LegalTask(a.State, b.State) && !overtaken {
			o.w.violate("moves", "job %s task %d goes from %s to %s", j.ID.Short(), i, a.State, b.State)
		}
		if b.Attempt < a.Attempt || b.Fence < a.Fence || b.Attempt == a.Attempt && b.Fence != a.Fence {
			o.w.violate("fence", "job %s task %d goes from attempt %d fence %d to %d, %d", j.ID.Short(), i, a.Attempt, a.Fence, b.Attempt, b.Fence)
		}
	}
}

// led checks that a term has one leader, whoever looks.
func (o *oracle) led(h *host, a shard.Led) {
	w, l := o.w, o.shards[h.shard]
	if a.Leader == "" {
		return
	}
	old, known := l.leaders[a.Term]
	if known && old != a.Leader {
		w.violate("leader", "shard %d term %d: %s sees %s lead, others %s", h.shard, a.Term, h.n.name, a.Leader, old)
	}
	if !known {
		w.report.Elections++
		l.leaders[a.Term] = a.Leader
	}
	if a.Mine && l.down != nil {
		l.down.end(w, &w.report.Failover, &w.report.FailoverCalm)
		l.down = nil
	}
}

// applied checks the events that a replica shows: they are the log's.
func (o *oracle) applied(h *host, a shard.Applied) {
	for i := range a.Events {
		if e := &a.Events[i]; e.Index > o.shards[h.shard].state.Index {
			o.w.violate("events", "%s shard %d shows an event at index %d, which is not committed", h.n.name, h.shard, e.Index)
		}
	}
}

// crashed notes what a crash interrupts, to measure how long that lasts.
func (o *oracle) crashed(n *node) {
	calm := o.w.calm(n)
	for s, h := range n.hosts {
		l := o.shards[s]
		leads := h != nil && h.led.Mine && o.w.leader(uint32(s)) == h
		if leads && len(h.led.Voters) >= 3 && l.down == nil {
			complete := o.w.now-h.ledAt > stableFor && h.rep.Health().Live == len(h.led.Voters)
			l.down = &interruption{o.w.now, calm && complete, o.w.ills}
			l.mute = &interruption{o.w.now, calm && complete, o.w.ills}
		}
		lead := o.w.leader(uint32(s))
		steady := !leads && lead != nil && o.w.now-lead.ledAt > steadyFor
		for _, j := range l.state.SortedJobs() {
			for i := range j.Tasks {
				t := &j.Tasks[i]
				if t.Worker == n.name && (t.State == job.Assigned || t.State == job.TaskRunning) {
					l.moving[attemptRef{taskRef{j.ID, j.WireIndex(i)}, t.Attempt}] = interruption{o.w.now, calm && steady, o.w.ills}
				}
			}
		}
	}
}

// scan looks at all replicas: equal indexes have equal states, the newest state
// is what the log makes, nothing acknowledged is missing, and a leader can say
// of every job what it waits for.
func (o *oracle) scan() {
	for s := range o.shards {
		o.scanShard(s)
	}
}

// scanSome is scan, spread over so many calls that on average one looks at no
// more than about scanJobs jobs: all of a small world, a part of a large one.
func (o *oracle) scanSome() {
	for o.credit = min(o.credit, 0) + scanJobs; o.credit > 0; {
		s := o.next % len(o.shards)
		o.credit -= len(o.w.members[s]) * (1 + len(o.shards[s].state.Jobs) + len(o.shards[s].state.Events)/4)
		o.scanShard(s)
		if o.next++; o.next%len(o.shards) == 0 {
			return
		}
	}
}

// scanJobs bounds a part of a scan, maxHashes what is remembered of states.
const (
	scanJobs  = 800
	maxHashes = 1 << 16
)

func (o *oracle) scanShard(s int) {
	l := o.shards[s]
	for _, n := range o.w.members[s] {
		if n.up && n.hosts[s] != nil && !n.hosts[s].syncing {
			o.scanReplica(l, n.hosts[s])
		}
	}
	// any order: each job is judged alone, and one violation is enough
	for id, a := range l.acked {
		switch j := l.state.Jobs[id]; {
		case j != nil && j.Index == a.Index:
		case j == nil && o.mayForget(l, id):
			delete(l.acked, id) // had its time
		default:
			o.w.violate("G1", "job %s was accepted at index %d and is gone", id.Short(), a.Index)
		}
	}
}

// ended counts a job's end and notes how long it has to be kept.
func (o *oracle) ended(l *ledger, e *job.Event) {
	switch e.Kind {
	case job.EventCompleted:
		o.w.report.Completed++
	case job.EventFailed:
		o.w.report.Failed++
	default:
		o.w.report.Cancelled++
	}
	if j := l.state.Jobs[e.Job]; j != nil {
		o.due[e.Job] = j.KeptUntil()
	}
}

// mayForget says whether a job has ended and had its retention.
func (o *oracle) mayForget(l *ledger, id job.ID) bool {
	due, ended := o.due[id]
	return ended && l.state.Time > due
}

func (o *oracle) scanReplica(l *ledger, h *host) {
	st := h.rep.State()
	if st.Index == 0 {
		return // just invited
	}
	if st.Index != h.scanned { // otherwise it was looked at before
		o.scanState(l, h, st)
	}
	if !h.rep.Health().Mine {
		return
	}
	for _, j := range st.SortedJobs() {
		if code, _ := h.rep.Explain(j); code == "" && !j.State.Terminal() {
			o.w.violate("G8", "%s shard %d cannot say what job %s waits for", h.n.name, h.shard, j.ID.Short())
		}
	}
}

// scanState compares a replica's state with those of others at the same index
// and with what the log makes.
func (o *oracle) scanState(l *ledger, h *host, st *job.State) {
	h.scanned = st.Index
	hash := o.hash(st)
	if old, ok := l.hashes[st.Index]; ok && old != hash {
		o.w.violate("replicas", "%s shard %d has another state at index %d than was seen before", h.n.name, h.shard, st.Index)
	}
	l.hashes[st.Index] = hash
	if len(l.hashes) > maxHashes {
		clear(l.hashes) // the replicas are far beyond most of them
	}
	if st.Index != l.state.Index {
		return
	}
	if l.madeAt != st.Index {
		l.state.Members, l.state.NextID = st.Members, st.NextID
		l.made, l.madeAt = o.hash(l.state), st.Index
	}
	if l.made != hash {
		o.w.violate("replicas", "%s shard %d has a state at index %d that its log does not make", h.n.name, h.shard, st.Index)
	}
}

// unfinished reports what had not ended in time.
func (o *oracle) unfinished() {
	w := o.w
	for _, e := range w.client.jobs {
		j := o.shards[e.shard].state.Jobs[e.id]
		code, sentence := "", "no leader"
		if h := w.leader(e.shard); h != nil && j != nil {
			if mine := h.rep.State().Jobs[e.id]; mine != nil {
				code, sentence = h.rep.Explain(mine)
			}
		}
		switch {
		case j == nil:
			w.violate("G8", "job %s is not accepted %v after the last fault; shard %d: %s", e.id.Short(), settleBound, e.shard, sentence)
		case !j.State.Terminal():
			w.violate("G8", "job %s is %s %v after the last fault: %s %s", e.id.Short(), j.State, settleBound, code, sentence)
		case !e.done:
			w.violate("G8", "the client of job %s has no answer %v after the last fault", e.id.Short(), settleBound)
		}
	}
}
