package api

import (
	"context"
	"encoding/json"
	"io"
)

// Submission is a job offer as a client hands it in.
type Submission struct {
	// Spec is the job spec as JSON, with every local path already replaced by a CID.
	Spec json.RawMessage
	// IdempotencyKey makes repeating safe: the same key, client and spec are the
	// same job. Empty means a fresh job.
	IdempotencyKey string
}

// ListQuery selects a page of jobs. Zero fields select everything.
type ListQuery struct {
	State  string // one of the Job states
	Type   string // a job type
	Text   string // part of the name or type in any case, or the beginning of the id
	Limit  int    // 1 to MaxListLimit
	Cursor string // Next of the page before
}

// MaxListLimit is the largest page of jobs.
const MaxListLimit = 1000

// WatchQuery selects events. An empty Job means every event this node hears of;
// After is the cursor of the last event seen, empty for the job's first.
type WatchQuery struct {
	Job   string
	After string
}

// LogQuery selects the bytes of one attempt's stream.
type LogQuery struct {
	Job     string
	Task    int    // GatherIndex for the gather task
	Attempt int    // 0 means the newest
	Stream  string // "stdout" or "stderr"
	Offset  int64  // first byte wanted
	Follow  bool   // go on until the attempt is over
}

// Jobs is what the server needs to serve jobs. Errors that are or wrap a
// [*Refusal] reach the client as they are; any other becomes CodeInternal, its
// text goes to the log only. All methods may be called concurrently and must
// respect ctx.
type Jobs interface {
	// Submit returns once the offer is committed, or with the refusal.
	Submit(ctx context.Context, s Submission) (Acceptance, error)
	// Cancel asks for the job's cancellation; cancelling a terminal job is CodeConflict.
	Cancel(ctx context.Context, id, reason string) error
	// Describe takes an id or a unique prefix of at least 4 characters. With
	// stale it may answer from what this node remembers, marked Stale, when the
	// shard does not answer.
	Describe(ctx context.Context, id string, stale bool) (Job, error)
	// List asks all shards and names those that did not answer.
	List(ctx context.Context, q ListQuery) (JobList, error)
	// Watch calls each for every event after the cursor, in order, from one
	// goroutine, and returns nil after the job's terminal event. It stops with
	// each's error or ctx's.
	Watch(ctx context.Context, q WatchQuery, each func(Event) error) error
}

// Logs serves what tasks print.
type Logs interface {
	// Logs calls each for every piece in order, from one goroutine, and returns
	// nil at the end of what there is or, with Follow, of the attempt.
	Logs(ctx context.Context, q LogQuery, each func(LogChunk) error) error
}

// Blobs stores and fetches content by CID.
type Blobs interface {
	// Put stores all of r. When r fails nothing is kept and its error is returned.
	Put(ctx context.Context, r io.Reader) (BlobInfo, error)
	// Open gives the bytes of the file at path below cid ("" for a CID that is a
	// file) and their number, fetching from the mesh when needed.
	Open(ctx context.Context, cid, path string) (io.ReadSeekCloser, int64, error)
	// Files lists every file below cid; a single file is one entry without path.
	Files(ctx context.Context, cid string) ([]BlobFile, error)
}

// Mesh is the node and its network.
type Mesh interface {
	// Status describes this node.
	Status(ctx context.Context) (Status, error)
	// Health judges this node and the shards it can see.
	Health(ctx context.Context) (Health, error)
	// Workers lists the workers this node has heard of.
	Workers(ctx context.Context) (WorkerList, error)
	// Peers lists the nodes this node knows.
	Peers(ctx context.Context) ([]Peer, error)
	// Shards describes every shard of the network.
	Shards(ctx context.Context) (ShardList, error)
}
