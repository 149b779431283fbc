// Package apitest is a node without a mesh: an in-memory implementation of the
// interfaces of package api, for tests of the server, the client and the command
// line. It keeps what it is given, yields the events it is told, and fails when
// it is told to. Its CIDs are well-formed and say nothing about UnixFS.
package apitest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/multiformats/go-multihash"

	"github.com/ciro-network/ciro/node/api"
)

// Epoch is the moment at which everything in this package happens.
var Epoch = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// Backend implements api.Jobs, api.Logs, api.Blobs, api.Mesh, api.Operator, api.Advice, api.Rounds and api.Chain.
// The zero value is not usable; call [New]. All methods may be called concurrently.
type Backend struct {
	mu      sync.Mutex // guards everything below
	jobs    map[string]api.Job
	order   []string
	keys    map[string]string // idempotency key to job
	events  []api.Event
	blobs   map[string]map[string][]byte
	logs    map[string][]byte
	fail    error
	changed chan struct{} // closed and replaced whenever something above changes

	ends      map[string]api.Job // what a watched job becomes
	refusals  []error            // what the next submissions get
	submitted []api.Submission
	tried     []json.RawMessage // specs of dry runs
	cancelled map[string]string
	drained   bool
	offered   *api.Offering
}

// New makes an empty backend.
func New() *Backend {
	return &Backend{
		jobs: map[string]api.Job{}, keys: map[string]string{}, blobs: map[string]map[string][]byte{},
		logs: map[string][]byte{}, ends: map[string]api.Job{}, cancelled: map[string]string{}, changed: make(chan struct{}),
	}
}

// wake tells everyone who waits that something changed. b.mu must be held.
func (b *Backend) wake() {
	close(b.changed)
	b.changed = make(chan struct{})
}

// Fail makes every call fail with err from now on; nil ends it.
func (b *Backend) Fail(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = err
	b.wake()
}

// FailSubmissions makes the next submissions fail, one with each error.
func (b *Backend) FailSubmissions(errs ...error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.refusals = append(b.refusals, errs...)
}

// AddJob stores or replaces a job.
func (b *Backend) AddJob(job api.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, known := b.jobs[job.ID]; !known {
		b.order = append(b.order, job.ID)
	}
	b.jobs[job.ID] = job
	b.wake()
}

// Emit appends an event, gives it the next cursor unless it is progress, and
// follows it in the job's state.
func (b *Backend) Emit(e api.Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	e.Schema = api.EventSchema
	if e.At.IsZero() {
		e.At = api.At(Epoch.Add(time.Duration(len(b.events)) * time.Second))
	}
	if e.Kind != api.EventProgress {
		e.Cursor = fmt.Sprintf("3:%d:0", len(b.events)+1)
	}
	b.events = append(b.events, e)
	if job, ok := b.jobs[e.Job]; ok && api.Terminal(e.Kind) {
		job.State = e.Kind
		job.Ended = e.At
		b.jobs[e.Job] = job
	}
	b.wake()
}

// EndWhenWatched makes the job of final's id become final, with the event of its
// terminal state, as soon as someone who watches it has seen everything else.
func (b *Backend) EndWhenWatched(final api.Job) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ends[final.ID] = final
	b.wake()
}

// endWatched does what EndWhenWatched promised.
func (b *Backend) endWatched(id string) {
	b.mu.Lock()
	final, ok := b.ends[id]
	delete(b.ends, id)
	b.mu.Unlock()
	if ok {
		b.AddJob(final)
		b.Emit(api.Event{Job: id, Kind: final.State})
	}
}

// AddFiles stores a directory (or, under the path "", a file) and gives its CID.
func (b *Backend) AddFiles(files map[string][]byte) string {
	sum := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(files)) {
		fmt.Fprintf(sum, "%s\x00%x\x00", name, files[name])
	}
	hash, err := multihash.Encode(sum.Sum(nil), multihash.SHA2_256)
	if err != nil {
		panic(err) // a SHA-256 always has a SHA-256's length
	}
	name := cid.NewCidV1(cid.Raw, hash).String()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.blobs[name] = maps.Clone(files)
	return name
}

// SetLog stores what a task printed.
func (b *Backend) SetLog(job string, task int, stream string, data []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.logs[fmt.Sprintf("%s/%d/%s", job, task, stream)] = data
}

// Submitted lists what was submitted so far.
func (b *Backend) Submitted() []api.Submission {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.submitted)
}

// Cancelled gives the reason with which a job was cancelled.
func (b *Backend) Cancelled(id string) (string, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	reason, ok := b.cancelled[id]
	return reason, ok
}

// JobID is the id of the n-th job (from 0) of a backend whose jobs were submitted,
// or of Sample(n).
func JobID(n int) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "job %d", n))
	return hex.EncodeToString(sum[:])
}

// Submit accepts anything.
func (b *Backend) Submit(_ context.Context, s api.Submission) (api.Acceptance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return api.Acceptance{}, b.fail
	}
	if len(b.refusals) > 0 {
		err := b.refusals[0]
		b.refusals = b.refusals[1:]
		return api.Acceptance{}, err
	}
	id, known := b.keys[s.IdempotencyKey]
	if !known || s.IdempotencyKey == "" {
		known = false
		id = JobID(len(b.order))
		b.submitted = append(b.submitted, s)
		b.keys[s.IdempotencyKey] = id
		b.order = append(b.order, id)
		b.jobs[id] = api.Job{JobSummary: api.JobSummary{ID: id, Name: "job", Type: "custom", State: api.JobPending,
			Priority: 5, Shard: 3, Submitted: api.At(Epoch), Counts: api.TaskCounts{Total: 1, Queued: 1}}, Spec: s.Spec}
	}
	return api.Acceptance{Job: id, Shard: 3, Term: 2, Index: 17, Coordinator: "12D3Coordinator",
		AcceptedAt: api.At(Epoch), Created: !known, Signature: []byte("signed"), Key: []byte("key")}, nil
}

// Cancel cancels a job that is not terminal.
func (b *Backend) Cancel(_ context.Context, id, reason string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	job, err := b.find(id)
	if err != nil {
		return err
	}
	if api.Terminal(job.State) {
		return api.Refuse(api.CodeConflict, "", "job %s is %s already", job.ID, job.State)
	}
	job.State = api.JobCancelled
	b.jobs[job.ID] = job
	b.cancelled[job.ID] = reason
	b.wake()
	return nil
}

// find resolves an id or prefix. b.mu must be held.
func (b *Backend) find(id string) (api.Job, error) {
	if b.fail != nil {
		return api.Job{}, b.fail
	}
	var hits []api.Job
	for _, known := range b.order {
		if strings.HasPrefix(known, id) {
			hits = append(hits, b.jobs[known])
		}
	}
	switch len(hits) {
	case 0:
		return api.Job{}, api.Refuse(api.CodeUnknownJob, "see ciro job list", "no job is called %s", id)
	case 1:
		return hits[0], nil
	}
	return api.Job{}, api.Refuse(api.CodeAmbiguousID, "give more characters", "%s fits %d jobs", id, len(hits))
}

// Describe gives a job as it was stored.
func (b *Backend) Describe(_ context.Context, id string, stale bool) (api.Job, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	job, err := b.find(id)
	if err == nil && stale {
		job.AsOf = api.At(Epoch)
	}
	return job, err
}

// List pages through the jobs in the order in which they came.
func (b *Backend) List(_ context.Context, q api.ListQuery) (api.JobList, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return api.JobList{}, b.fail
	}
	list := api.JobList{AsOf: api.At(Epoch)}
	seen := q.Cursor == ""
	for _, id := range b.order {
		job := b.jobs[id].JobSummary
		if !seen {
			seen = id == q.Cursor
			continue
		}
		if q.State != "" && job.State != q.State || q.Type != "" && job.Type != q.Type || !strings.Contains(job.Name+job.Type, q.Text) {
			continue
		}
		if len(list.Jobs) == q.Limit {
			list.Next = list.Jobs[len(list.Jobs)-1].ID
			break
		}
		list.Jobs = append(list.Jobs, job)
	}
	return list, nil
}

// Watch yields the stored events and those to come, as api.Jobs demands.
func (b *Backend) Watch(ctx context.Context, q api.WatchQuery, each func(api.Event) error) error {
	id := ""
	if q.Job != "" {
		job, err := b.Describe(ctx, q.Job, false)
		if err != nil {
			return err
		}
		id = job.ID
	}
	for next, passed := 0, q.After == ""; ; {
		b.mu.Lock()
		events, fail, changed := b.events[next:], b.fail, b.changed
		b.mu.Unlock()
		if fail != nil {
			return fail
		}
		next += len(events)
		for _, e := range events {
			if !passed {
				passed = e.Cursor == q.After
				continue
			}
			if id != "" && e.Job != id {
				continue
			}
			if err := each(e); err != nil {
				return err
			}
			if id != "" && api.Terminal(e.Kind) {
				return nil
			}
		}
		b.endWatched(id)
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Logs yields a stored log in chunks of 8 bytes.
func (b *Backend) Logs(ctx context.Context, q api.LogQuery, each func(api.LogChunk) error) error {
	job, err := b.Describe(ctx, q.Job, false)
	if err != nil {
		return err
	}
	b.mu.Lock()
	data := b.logs[fmt.Sprintf("%s/%d/%s", job.ID, q.Task, q.Stream)]
	b.mu.Unlock()
	for at := min(q.Offset, int64(len(data))); at < int64(len(data)); {
		n := min(8, int64(len(data))-at)
		chunk := api.LogChunk{Task: q.Task, Attempt: max(1, q.Attempt), Stream: q.Stream, Offset: at, Data: data[at : at+n]}
		at += n
		chunk.End = at == int64(len(data))
		if err := each(chunk); err != nil {
			return err
		}
	}
	return nil
}

// Put stores a file.
func (b *Backend) Put(_ context.Context, r io.Reader) (api.BlobInfo, error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return api.BlobInfo{}, fmt.Errorf("read upload: %w", err)
	}
	return api.BlobInfo{CID: b.AddFiles(map[string][]byte{"": data}), Size: int64(len(data))}, nil
}

// content is a file in memory.
type content struct{ *bytes.Reader }

// Close does nothing.
func (content) Close() error { return nil }

// Open gives a stored file.
func (b *Backend) Open(_ context.Context, root, path string) (io.ReadSeekCloser, int64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail != nil {
		return nil, 0, b.fail
	}
	data, ok := b.blobs[root][path]
	if !ok {
		return nil, 0, api.Refuse(api.CodeNotFound, "list what is there", "%s has no file %q", root, path)
	}
	return content{bytes.NewReader(data)}, int64(len(data)), nil
}

// Files lists what is stored under a CID.
func (b *Backend) Files(_ context.Context, root string) ([]api.BlobFile, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	files, ok := b.blobs[root]
	if !ok {
		return nil, api.Refuse(api.CodeNotFound, "check the CID", "nobody has %s", root)
	}
	var list []api.BlobFile
	for _, name := range slices.Sorted(maps.Keys(files)) {
		list = append(list, api.BlobFile{Path: name, Size: int64(len(files[name]))})
	}
	return list, nil
}
