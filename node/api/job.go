package api

import "encoding/json"

// The states of a job, in the order in which a job may pass through them.
const (
	JobPending    = "pending"    // accepted; no task has been assigned yet
	JobRunning    = "running"    // at least one task was assigned
	JobAssembling = "assembling" // all tasks are done, the gather task is under way
	JobCompleted  = "completed"  // terminal: the result is there
	JobFailed     = "failed"     // terminal: a task was given up, or a deadline passed
	JobCancelled  = "cancelled"  // terminal: someone cancelled it
)

// The states of a task.
const (
	TaskQueued   = "queued"   // waits for a worker
	TaskAssigned = "assigned" // the assignment is committed, the worker has not confirmed it
	TaskRunning  = "running"  // the worker said that it began
	TaskDone     = "done"     // terminal unless its output is lost: the outputs are held
	TaskDead     = "dead"     // terminal: out of retries
)

// GatherIndex is the index of a job's gather task. Array tasks count from 0.
const GatherIndex = -1

// Terminal reports whether a job in this state can no longer change.
func Terminal(state string) bool {
	return state == JobCompleted || state == JobFailed || state == JobCancelled
}

// Reason is a cause in two forms: a stable code for programs and a sentence for
// people.
type Reason struct {
	Code     string `json:"code" doc:"Stable reason code"`
	Sentence string `json:"sentence" doc:"The same for people"`
}

// TaskCounts counts a job's array tasks by state; the gather task is not among
// them. Total is the sum of the five.
type TaskCounts struct {
	Total    int `json:"total"`
	Queued   int `json:"queued"`
	Assigned int `json:"assigned"`
	Running  int `json:"running"`
	Done     int `json:"done"`
	Dead     int `json:"dead"`
}

// JobSummary is one line of a list of jobs, and the short status of one.
type JobSummary struct {
	ID            string     `json:"id" doc:"Job id, hexadecimal SHA-256"`
	Name          string     `json:"name,omitempty"`
	Type          string     `json:"type" doc:"Job type, for example render3d"`
	State         string     `json:"state" enum:"pending,running,assembling,completed,failed,cancelled"`
	Reason        *Reason    `json:"reason,omitempty" doc:"Why the job is in this state, when that needs saying"`
	Round         int        `json:"round,omitempty" doc:"From 1; a retry opens the next"`
	Priority      int        `json:"priority" doc:"1 (low) to 10 (critical)"`
	Shard         int        `json:"shard"`
	Submitted     Time       `json:"submitted,omitzero"`
	Started       Time       `json:"started,omitzero" doc:"First assignment"`
	Ended         Time       `json:"ended,omitzero"`
	Counts        TaskCounts `json:"counts" doc:"Array tasks by state"`
	ClientAddress string     `json:"clientAddress,omitempty" doc:"Where settlement goes; payload, not identity"`
}

// Job is everything a node can say about one job.
type Job struct {
	JobSummary
	Coordinator string          `json:"coordinator,omitempty" doc:"Peer id of the shard's leader that answered, or of the last one heard of when stale"`
	Term        uint64          `json:"term,omitempty" doc:"Raft term of the answer"`
	Tasks       []Task          `json:"tasks,omitempty" doc:"Array tasks by index"`
	Gather      *Task           `json:"gather,omitempty" doc:"The gather task (index -1), if the job has one"`
	Result      string          `json:"result,omitempty" doc:"CID of the job's result once completed"`
	WaitingFor  *Waiting        `json:"waitingFor,omitempty" doc:"What a job that is not terminal waits for"`
	KeptUntil   Time            `json:"keptUntil,omitzero" doc:"Until when results are kept at least"`
	Stale       bool            `json:"stale,omitempty" doc:"True when the shard could not be asked and this is the last known state"`
	AsOf        Time            `json:"asOf,omitzero" doc:"How old the facts are; when stale, the time of the last word of a leader"`
	Spec        json.RawMessage `json:"spec,omitempty" doc:"The job spec as accepted"`
	ClientKey   string          `json:"clientKey,omitempty" doc:"Public key that signed the offer, hexadecimal"`
}

// Task is one task of a job with its newest attempt.
type Task struct {
	Index      int            `json:"index" doc:"0 to tasks-1; -1 is the gather task"`
	State      string         `json:"state" enum:"queued,assigned,running,done,dead"`
	Attempt    int            `json:"attempt" doc:"Number of the newest attempt, from 1; 0 before the first"`
	Worker     string         `json:"worker,omitempty" doc:"Peer id of the newest attempt's worker"`
	Progress   float64        `json:"progress" doc:"0 to 1, as the task reports it"`
	Message    string         `json:"message,omitempty" doc:"The task's last progress message"`
	Failures   int            `json:"failures" doc:"Attempts of this round that failed, timed out or lapsed; they count against retries"`
	Lost       int            `json:"lost" doc:"Attempts of this round lost to infrastructure; they have their own cap"`
	DeadLetter bool           `json:"deadLetter,omitempty" doc:"Given up for its own failures; a dead task without it only ended with its job"`
	Started    Time           `json:"started,omitzero"`
	Ended      Time           `json:"ended,omitzero"`
	Exit       *int           `json:"exit,omitempty" doc:"Exit code of the newest attempt that ended"`
	Output     string         `json:"output,omitempty" doc:"CID of the outputs once done"`
	Holders    []string       `json:"holders,omitempty" doc:"Peer ids that hold the outputs"`
	Stdout     string         `json:"stdout,omitempty" doc:"Stdout when it is at most 1 KiB"`
	StdoutCID  string         `json:"stdoutCid,omitempty" doc:"CID of all of stdout once done; empty when Stdout is all of it"`
	StderrCID  string         `json:"stderrCid,omitempty" doc:"CID of stderr once done; empty when there is none"`
	Errors     []AttemptError `json:"errors,omitempty" doc:"What went wrong, attempt by attempt, the newest 16 of all rounds"`
}

// AttemptError says how one attempt ended that did not succeed.
type AttemptError struct {
	Attempt int    `json:"attempt"`
	Worker  string `json:"worker,omitempty"`
	Cause   string `json:"cause" doc:"Stable cause, for example timeout, memory, exit, lapsed"`
	Class   string `json:"class,omitempty" enum:"failed,trapped,capped,timeout,module,asked,silent,transient" doc:"What the cause means for retries; see the spec's retryOn"`
	Detail  string `json:"detail,omitempty" doc:"At most 1 KiB"`
	At      Time   `json:"at,omitzero"`
}

// Acceptance is the signed promise that an offer is committed and on disk at a
// majority of its shard.
type Acceptance struct {
	Job         string `json:"job"`
	Shard       int    `json:"shard"`
	Term        uint64 `json:"term"`
	Index       uint64 `json:"index" doc:"Log index of the offer"`
	Coordinator string `json:"coordinator" doc:"Peer id of the leader that signed"`
	AcceptedAt  Time   `json:"acceptedAt"`
	Created     bool   `json:"created" doc:"False when the same offer had been accepted before"`
	Signature   []byte `json:"signature,omitempty" doc:"Over the acceptance's canonical bytes, base64"`
	Key         []byte `json:"key,omitempty" doc:"The coordinator's public key, base64"`
}

// The kinds of [Event].
const (
	EventAccepted   = "accepted"   // the job is in the log
	EventAssigned   = "assigned"   // a task's assignment is committed
	EventStarted    = "started"    // the worker began the attempt
	EventProgress   = "progress"   // the task reported progress
	EventRequeued   = "requeued"   // the attempt is over without a result, or its output is lost
	EventDone       = "done"       // a task's outputs are held
	EventDead       = "dead"       // a task was given up
	EventAssembling = "assembling" // the gather task may start
	EventCompleted  = "completed"  // terminal
	EventFailed     = "failed"     // terminal
	EventCancelled  = "cancelled"  // terminal
	EventRetried    = "retried"    // a failed job's next round was opened: it is no longer terminal
	EventReset      = "reset"      // the cursor is older than what is kept: describe the job again
)

// EventSchema is the version of [Event] that this package writes.
const EventSchema = 1

// Event is one move in the life of a job. Task is -1 for the gather task and
// for events about the whole job (those have attempt 0).
type Event struct {
	Schema   int     `json:"schema" doc:"Version of this object"`
	Cursor   string  `json:"cursor,omitempty" doc:"shard:index:n; empty for progress, which is not logged"`
	Job      string  `json:"job"`
	Kind     string  `json:"kind" enum:"accepted,assigned,started,progress,requeued,done,dead,assembling,completed,failed,cancelled,retried,reset"`
	Task     int     `json:"task"`
	Attempt  int     `json:"attempt"`
	Worker   string  `json:"worker,omitempty"`
	From     string  `json:"from,omitempty" doc:"State before"`
	To       string  `json:"to,omitempty" doc:"State after"`
	Cause    string  `json:"cause,omitempty" doc:"Stable cause code"`
	Detail   string  `json:"detail,omitempty"`
	Progress float64 `json:"progress,omitempty" doc:"0 to 1, for kind progress"`
	At       Time    `json:"at,omitzero"`
}

// LogChunk is a piece of one attempt's stdout or stderr.
type LogChunk struct {
	Task    int    `json:"task"`
	Attempt int    `json:"attempt"`
	Stream  string `json:"stream" enum:"stdout,stderr"`
	Offset  int64  `json:"offset" doc:"Position of the first byte of data in the stream"`
	Gap     int64  `json:"gap,omitempty" doc:"Bytes just before offset that are no longer there"`
	Data    []byte `json:"data,omitempty" doc:"The bytes, base64"`
	End     bool   `json:"end,omitempty" doc:"True on the last chunk of an attempt that is over"`
}

// JobList is one page of jobs. An empty Next means that there is no further page.
type JobList struct {
	Jobs       []JobSummary `json:"jobs"`
	Next       string       `json:"next,omitempty" doc:"Cursor of the next page"`
	Unanswered []int        `json:"unanswered,omitempty" doc:"Shards whose leader did not answer; their jobs are missing here"`
	AsOf       Time         `json:"asOf,omitzero"`
}

// JobStats counts jobs by state and type.
type JobStats struct {
	Total      int            `json:"total"`
	ByState    map[string]int `json:"byState"`
	ByType     map[string]int `json:"byType"`
	Truncated  bool           `json:"truncated,omitempty" doc:"True when there are more jobs than were counted"`
	Unanswered []int          `json:"unanswered,omitempty" doc:"Shards that did not answer"`
	AsOf       Time           `json:"asOf,omitzero"`
}
