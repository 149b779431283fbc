package job

import (
	"cmp"
	"slices"
	"strings"
	"time"
)

// Retention and bounds of a shard's state.
const (
	LostCap         = 10                 // attempts lost to infrastructure before a task is dead
	MaxErrors       = 16                 // attempt errors kept per task (the newest)
	MaxErrorText    = 1 << 10            // bytes of one kept error
	MaxJobErrorText = 256 << 10          // bytes of kept errors of one job, beyond which they are cut short
	MaxInline       = 1 << 10            // bytes of stdout kept inline in a result
	MaxHolders      = 8                  // nodes named as holders of one output
	MaxEvents       = 10_000             // events kept for resuming watchers
	MaxStateBytes   = 64 << 20           // approximate size after which offers are answered busy
	MaxTombstones   = 100_000            // forgotten jobs remembered by id
	Retention       = 10 * time.Minute   // a terminal job outlives its offer by this
	TombstoneLife   = 7 * 24 * time.Hour // and its id by this
	GatherIndex     = -1                 // the gather task's index in views, events and messages
	AllTasks        = MaxTasks           // in a Retry: every dead task
)

// JobState is a job's state.
type JobState uint8

// The states of a job.
const (
	Pending    JobState = iota // accepted, nothing assigned yet
	Running                    // some task was assigned
	Assembling                 // all tasks are done, the gather task is due
	Completed                  // terminal: the result stands
	Failed                     // terminal unless its client asks for another round: a task is dead or the deadline passed
	Cancelled                  // terminal: the client asked
)

var jobStateNames = [...]string{"pending", "running", "assembling", "completed", "failed", "cancelled"}

// String returns the name that users see.
func (s JobState) String() string { return jobStateNames[s] }

// Terminal says whether nothing follows by itself.
func (s JobState) Terminal() bool { return s >= Completed }

// TaskState is a task's state.
type TaskState uint8

// The states of a task.
const (
	Queued      TaskState = iota // waits for a worker, its back-off or, for a gather task, its inputs
	Assigned                     // an attempt is in the log; its worker has not said that it runs
	TaskRunning                  // the worker runs the attempt
	Done                         // an attempt's result was accepted
	Dead                         // no further attempt in this round: retries spent or the job ended
)

var taskStateNames = [...]string{"queued", "assigned", "running", "done", "dead"}

// String returns the name that users see.
func (s TaskState) String() string { return taskStateNames[s] }

// Cause classifies how an attempt ended.
type Cause uint8

// The causes; Class says what each means for retries. CauseDeadline ends jobs,
// not attempts.
const (
	CauseNone     Cause = iota
	CauseExit           // non-zero exit
	CauseTrap           // the program trapped
	CauseMemory         // memory cap
	CauseOutBytes       // /out or /tmp over its bytes
	CauseOutFiles       // /out or /tmp over its number of files
	CauseModule         // no WASM module, or it does not compile
	CauseRetry          // exit 75
	CauseTimeout        // the attempt's time ran out
	CauseLapse          // its worker fell silent
	CauseRefused        // its worker would not take it after all
	CauseInputs         // inputs could not be fetched
	CauseNode           // sandbox or node failure
	CauseDrained        // the worker handed it back
	CauseOutputs        // the accepted outputs are nowhere to be fetched
	CauseDeadline       // the job's deadline passed
)

var causeNames = [...]string{"", "exit", "trap", "memory", "outBytes", "outFiles", "module", "retry", "timeout",
	"lapsed", "refused", "inputs", "node", "drained", "outputsLost", "deadline"}

// String returns the stable code that users see.
func (c Cause) String() string { return causeNames[c] }

// ParseCause reads the stable code; unknown codes are CauseNode.
func ParseCause(s string) Cause {
	if i := slices.Index(causeNames[:], s); i >= 0 {
		return Cause(i)
	}
	return CauseNode
}

// AttemptError is why one attempt did not do.
type AttemptError struct {
	Attempt uint32
	Worker  string
	Cause   Cause
	Detail  string // at most MaxErrorText bytes
	At      int64  // shard time
}

// Result is what an accepted attempt left.
type Result struct {
	Exit     uint32
	Output   string // CID of the /out folder, "" if it is empty
	Size     uint64 // bytes of Output
	Stdout   string // CID, "" when all of it is Inline
	Stderr   string // CID, "" when empty
	Inline   []byte // stdout of at most MaxInline bytes
	Holders  []string
	WallTime time.Duration
	CPUTime  time.Duration
}

// Task is one task of a job.
type Task struct {
	State      TaskState
	Attempt    uint32 // of the current or last assignment; 0 before the first
	Failures   uint32 // of this round; counts against Policy.Retries
	Lost       uint32 // of this round; counts against LostCap
	NotBefore  int64  // shard time of the next attempt at the earliest
	Fence      uint64 // log index of the current or last assignment
	Worker     string // of the current or last assignment
	Assigned   int64  // shard times
	Started    int64
	Ended      int64
	Result     *Result
	Errors     []AttemptError // the newest MaxErrors, of all rounds
	DeadLetter bool           // dead for its own failures; a dead task without it only ended with its job
}

// Job is one accepted job.
type Job struct {
	ID        ID
	Spec      *Spec
	Offer     []byte // as accepted: the client's key, nonce and signature
	ClientKey []byte
	NotAfter  int64  // unix milliseconds
	Term      uint64 // of the acceptance
	Index     uint64 // of the acceptance: the order of submission
	Accepted  int64  // shard time
	Begun     int64  // shard time of the first assignment
	Ended     int64
	Round     uint32 // from 1; a Retry opens the next
	Opened    int64  // shard time at which the round began
	State     JobState
	Reason    string   // why it failed or was cancelled
	Cause     Cause    // of the failure
	Holders   []string // nodes that held module and inputs at acceptance
	Tasks     []Task   // Spec.Tasks, then the gather task if there is one
	counts    [5]uint32
	specHash  [32]byte
	text      int // bytes of details that the tasks' errors keep
}

// Gather returns the gather task or nil.
func (j *Job) Gather() *Task {
	if j.Spec.Gather == nil {
		return nil
	}
	return &j.Tasks[len(j.Tasks)-1]
}

// Task returns the task with a wire index (GatherIndex is the gather task), or
// nil if there is none.
func (j *Job) Task(index int32) *Task {
	if index == GatherIndex {
		return j.Gather()
	}
	if index < 0 || index >= int32(j.Spec.Tasks) {
		return nil
	}
	return &j.Tasks[index]
}

// WireIndex turns a position in Tasks into a wire index.
func (j *Job) WireIndex(position int) int32 {
	if position == int(j.Spec.Tasks) {
		return GatherIndex
	}
	return int32(position)
}

// Count returns how many tasks (without the gather task) are in state s.
func (j *Job) Count(s TaskState) uint32 { return j.counts[s] }

// Need returns what the task with that wire index needs.
func (j *Job) Need(index int32) Resources {
	if index == GatherIndex {
		return j.Spec.GatherNeed()
	}
	return j.Spec.Need
}

// Eligible says whether the task may be assigned now.
func (j *Job) Eligible(index int32, now int64) bool {
	t := j.Task(index)
	if t == nil || t.State != Queued || t.NotBefore > now || j.State.Terminal() {
		return false
	}
	return index != GatherIndex || j.State == Assembling
}

// Kind of an event.
type Kind uint8

// The kinds of events.
const (
	EventAccepted Kind = iota
	EventAssigned
	EventStarted
	EventRequeued
	EventDone
	EventDead
	EventAssembling
	EventCompleted
	EventFailed
	EventCancelled
	EventRunning // the job went back to running, or began to
	EventRetried // a failed job's next round was opened
)

var kindNames = [...]string{"accepted", "assigned", "started", "requeued", "done", "dead", "assembling",
	"completed", "failed", "cancelled", "running", "retried"}

// String returns the name that users see.
func (k Kind) String() string { return kindNames[k] }

// Event is one visible move. (Index, N) is its cursor within the shard: the log
// index of its command and its place among that command's events.
type Event struct {
	Index   uint64
	N       uint32
	Job     ID
	Kind    Kind
	Task    int32 // -1 for the gather task; meaningless for job events
	Attempt uint32
	Worker  string
	Cause   Cause
	Detail  string
	At      int64 // shard time
}

// After says whether the event's cursor lies behind (index, n).
func (e *Event) After(index uint64, n uint32) bool {
	return e.Index > index || e.Index == index && e.N > n
}

// Member is one replica of the shard's group.
type Member struct {
	ID          uint64 // replica id; never used again
	Peer        string
	Incarnation uint64 // random, made by the node when it was asked
}

// Recovery says that the group was begun anew from one replica's state after a
// majority of its voters was lost for good. No replica id up to Floor ever counts
// again; Fenced are the nodes that held one.
type Recovery struct {
	Epoch  uint64 // number of recoveries so far
	Floor  uint64
	At     int64 // shard time
	Fenced []string
}

// maxFenced bounds the nodes of a recovery.
const maxFenced = 64

// State is a shard's replicated state. Only Apply changes it.
type State struct {
	Time       int64 // shard time, unix milliseconds, never falls
	Index      uint64
	Jobs       map[ID]*Job
	Tombstones map[ID]int64 // until when the id is remembered
	Members    map[uint64]Member
	NextID     uint64 // the next replica id
	Recovery   Recovery
	Events     []Event
	Bytes      int64  // approximate size of Jobs
	Noops      uint64 // commands that no longer matched
	Anchoring  Anchoring
	order      []*Job   // Jobs in the order of their acceptance
	graves     []ID     // Tombstones, the oldest first; nil: to be made
	encoding   *Encoder // nil, or the pieces of an earlier moment that are still to be written
}

// NewState returns an empty state with the founder as its only member.
func NewState(founder Member) *State {
	return &State{
		Jobs: map[ID]*Job{}, Tombstones: map[ID]int64{},
		Members: map[uint64]Member{founder.ID: founder}, NextID: founder.ID + 1,
		Anchoring: Anchoring{Named: []string{founder.Peer}}, // the genesis names the founder
	}
}

// SortedJobs returns all jobs in the order of their acceptance.
func (s *State) SortedJobs() []*Job { return slices.Clone(s.order) }

// SortedMembers returns the members by replica id.
func (s *State) SortedMembers() []Member {
	out := make([]Member, 0, len(s.Members))
	// any order: sorted below
	for _, m := range s.Members {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Member) int { return cmp.Compare(a.ID, b.ID) })
	return out
}

// EventsAfter returns the kept events behind the cursor, of one job or of all
// (nil). ok is false when older ones than the cursor have been dropped, so that
// the caller must start from the full state.
func (s *State) EventsAfter(index uint64, n uint32, id *ID) (out []Event, ok bool) {
	from, _ := slices.BinarySearchFunc(s.Events, index, func(e Event, i uint64) int { return cmp.Compare(e.Index, i) })
	for _, e := range s.Events[from:] {
		if e.After(index, n) && (id == nil || e.Job == *id) {
			out = append(out, e)
		}
	}
	dropped := len(s.Events) >= MaxEvents && s.Events[0].After(index, n)
	return out, !dropped
}

// FindPrefix returns the ids that begin with the hexadecimal prefix, sorted, at
// most limit of them.
func (s *State) FindPrefix(prefix string, limit int) []ID {
	var out []ID
	// any order: sorted below
	for id := range s.Jobs {
		if strings.HasPrefix(id.String(), prefix) {
			out = append(out, id)
		}
	}
	slices.SortFunc(out, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	return out[:min(limit, len(out))]
}
