package shard

import (
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// Event is one thing that happened to a replica: one of the types below.
type Event interface{ event() }

// Tick lets time pass.
type Tick struct{}

// Received is a Raft message from an authenticated peer.
type Received struct {
	From string
	Data []byte
}

// Submit asks to accept an offer whose signature has been verified. Holders are
// the nodes that hold its module and inputs.
type Submit struct {
	Token   uint64
	Offer   []byte
	Holders []string
}

// Cancel asks to end a job.
type Cancel struct {
	Token uint64
	Job   job.ID
	Why   string
}

// Retry asks to open a failed job's next round. Round is the round to open, 0 for
// the one behind the current; naming it makes repeating safe. Task is
// job.AllTasks or one dead task.
type Retry struct {
	Token   uint64
	Job     job.ID
	Task    int32
	Round   uint32
	Holders []string // nodes that hold module and inputs now; none: as before
}

// Read asks for the moment at which State may be read with all that was
// acknowledged before the request in it.
type Read struct{ Token uint64 }

// Heard is a message from an authenticated worker.
type Heard struct {
	From string
	Msg  work.Message
}

// Directory is what the node knows about the mesh: the coordinators that are
// reachable and eligible, itself included, and who of the voters should lead.
type Directory struct {
	Candidates []string
	Preferred  string   // "" for no preference
	Leaving    []string // nodes that give up their replicas; never among Candidates
	Skewed     bool     // this node's clock is far off those of its peers: it does not campaign and gives leaderships away
}

// Probed is a candidate's answer to Probe.
type Probed struct {
	Peer        string
	Incarnation uint64
	Refused     bool
}

// InviteRefused says that a member does not know its incarnation: its state is
// lost.
type InviteRefused struct {
	Peer string
	ID   uint64
}

// Fetched is what Fetch has brought: a chunk of a snapshot, empty when it could
// not be had.
type Fetched struct {
	Index uint64
	N     uint32
	Data  []byte
}

// HandOver asks a leader to give its leadership away: to Best, if that is a voter
// that may have it, or else to another. Sent before a clean stop.
type HandOver struct{ Best string }

// Confirm says that the anchor holds the oldest batch for good, and how; the
// leader puts it into the log.
type Confirm struct{ Anchor job.Anchor }

func (Tick) event()          {}
func (Received) event()      {}
func (Submit) event()        {}
func (Cancel) event()        {}
func (Retry) event()         {}
func (Read) event()          {}
func (Heard) event()         {}
func (Directory) event()     {}
func (Probed) event()        {}
func (InviteRefused) event() {}
func (HandOver) event()      {}
func (Confirm) event()       {}
func (Fetched) event()       {}

// Action is one thing that the owner must do: one of the types below. They are
// performed in order.
type Action interface{ action() }

// Persist must be durable before any later action is performed. Entries replace
// the stored log from First on (a conflicting suffix is dropped). Snapshot, if
// set, replaces the stored snapshot, before Entries are written; log entries up
// to SnapshotIndex may be dropped. Entries behind it stay only if the stored log
// holds the snapshot's last entry (same index and term) or ends there: otherwise
// the snapshot is a leader's, and what this log has behind it was never
// committed and must go.
//
// The state that a snapshot stands for is kept beside it, in Chunks that were
// written before. A chunk 0 says that the chunks of all other indexes but that
// of the stored snapshot are of no use any more, and Snapshot says that of all
// but its own.
type Persist struct {
	HardState     []byte // encoded raftpb.HardState; nil: unchanged
	First         uint64 // index of Entries[0]
	Entries       [][]byte
	Snapshot      []byte // encoded raftpb.Snapshot
	SnapshotIndex uint64
	Chunks        []Chunk
}

// Chunk is a part of the state at an index, at most MaxChunk bytes.
type Chunk struct {
	Index uint64
	N     uint32
	Data  []byte
}

// Fetch asks for a chunk of a snapshot that another node's replica has stored;
// Fetched is the answer. It is asked for again if none comes, and it need not
// pass through that replica: its owner answers from disk. One node should fetch
// one chunk at a time, whatever the number of its shards.
type Fetch struct {
	From  string // peer
	Index uint64
	N     uint32
}

// Send carries a Raft message to the node of another replica.
type Send struct {
	To   string
	Data []byte
}

// Work carries a message to a worker.
type Work struct {
	To  string
	Msg work.Message
}

// Answer is the outcome of Submit, Cancel, Retry or Read.
type Answer struct {
	Reason  string // "" on success; a stable code otherwise
	Message string // a sentence for people
	Leader  string // peer that leads, when Reason is ReasonNotLeader
	Job     job.ID
	Term    uint64 // of the acceptance
	Index   uint64 // of the acceptance
	At      int64  // shard time of the acceptance
	Created bool   // false: the offer was accepted, or the round opened, before
	Round   uint32 // of the job, after a Retry
}

// Reason codes of answers beside those of package job.
const (
	ReasonNotLeader   = "not_leader"
	ReasonUnavailable = "unavailable" // the outcome is unknown: repeat with the same id

	ReasonClientLimit = "client_limit" // the client has as much under way as it may
	ReasonClientRate  = "client_rate"  // the client submits too fast
)

// Reply answers a token, exactly once per token.
type Reply struct {
	Token  uint64
	Answer Answer
}

// Applied tells observers on this node what the log has just done. Reset says
// that a snapshot replaced the state: events may be missing.
type Applied struct {
	Events []job.Event
	Reset  bool
}

// Progressed passes a task's progress on to observers; best effort.
type Progressed struct {
	Worker   string
	Progress work.Progress
}

// Probe asks a node whether it would hold a new replica; Probed is the answer.
// A node that holds a replica of the shard refuses; one that does not makes a
// random incarnation and keeps it durably before it answers.
type Probe struct{ To string }

// Invite tells a node that its replica is committed under that id. Repeated
// until the replica is heard; the node answers InviteRefused if it does not know
// the incarnation.
type Invite struct {
	To          string
	ID          uint64
	Incarnation uint64
}

// Dismiss tells a node that its replica was removed.
type Dismiss struct {
	To string
	ID uint64
}

// Led is the group as this replica sees it, sent when any of it changes.
type Led struct {
	Term     uint64
	Leader   string // "" while unknown
	Mine     bool   // this replica leads and is ready
	Voters   []string
	Learners []string
}

// Cut hands over a batch of records for the anchor. Every replica's owner must
// store it in one write with, or before, the Persist actions of later Steps:
// once the anchor is final, the state lets the records go. It comes again after
// a restart, for as long as the log or the state holds it. The leaves are the
// state's own and must not be changed.
type Cut struct{ Batch job.Batch }

// Anchored says that the anchor of a batch is in the log. To be stored like Cut.
type Anchored struct{ Anchor job.Anchor }

// Removed says that this replica is no longer a member: the owner writes a
// tombstone, deletes its state and stops stepping it.
type Removed struct{}

func (Persist) action()    {}
func (Send) action()       {}
func (Work) action()       {}
func (Reply) action()      {}
func (Applied) action()    {}
func (Progressed) action() {}
func (Probe) action()      {}
func (Invite) action()     {}
func (Dismiss) action()    {}
func (Led) action()        {}
func (Cut) action()        {}
func (Anchored) action()   {}
func (Removed) action()    {}
func (Fetch) action()      {}
