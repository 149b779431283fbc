package node

import (
	"cmp"
	"context"
	"errors"
	"io"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/scheduler/job"
)

// Put implements api.Blobs. What no job pins is collected after the blob store's
// grace time.
func (a *adapter) Put(ctx context.Context, r io.Reader) (api.BlobInfo, error) {
	c, size, err := a.n.blobs.Add(ctx, r)
	if errors.Is(err, blobs.ErrFull) {
		return api.BlobInfo{}, api.Refuse(api.CodeBusy, "free space on this node, or raise storage.blob_quota; or ask another node", "%v", err)
	}
	if err != nil {
		return api.BlobInfo{}, err
	}
	return api.BlobInfo{CID: c.String(), Size: size}, nil
}

// bring makes a blob local, asking all connected nodes.
func (a *adapter) bring(ctx context.Context, text string) (cid.Cid, error) {
	c, err := cid.Decode(text)
	if err != nil {
		return c, api.Refuse(api.CodeInvalidRequest, "", "%q is no CID: %v", text, err)
	}
	if here, err := a.n.blobs.Has(ctx, c); err == nil && here {
		return c, nil
	}
	ctx, cancel := context.WithTimeout(ctx, fetchPatience)
	defer cancel()
	var peers []peer.ID
	for p := range a.n.dir.members(true) {
		peers = append(peers, p)
	}
	if _, err := a.n.blobs.Fetch(ctx, c, peers, blobs.FetchLimit{Bytes: maxBlobBytes}); err != nil {
		return c, api.Refuse(api.CodeNotFound, "check the CID; results are kept for a limited time", "no connected node gave %s: %v", text, err)
	}
	return c, nil
}

// unreadable makes a refusal of why content cannot be given: what other members
// made is not this node's fault.
func unreadable(what string, err error) error {
	switch {
	case errors.Is(err, blobs.ErrRefused):
		return api.Refuse(api.CodeInvalidRequest, "only plain files and directories are served; name a file, or have the content made again without links",
			"%s: %v", what, err)
	case errors.Is(err, blobs.ErrLimit):
		return api.Refuse(api.CodeTooLarge, "ask for single files of it", "%s: %v", what, err)
	case errors.Is(err, blobs.ErrNotFound):
		return api.Refuse(api.CodeNotFound, "GET /blobs/{cid}?list=true and GET /jobs/{id}/results list the files", "%s: %v", what, err)
	}
	return err
}

// fetchPatience bounds looking for a blob that a person asked for.
const fetchPatience = 30 * time.Second

// Open implements api.Blobs.
func (a *adapter) Open(ctx context.Context, text, path string) (io.ReadSeekCloser, int64, error) {
	c, err := a.bring(ctx, text)
	if err != nil {
		return nil, 0, err
	}
	f, size, err := a.n.blobs.Open(ctx, c, path)
	if err != nil {
		return nil, 0, unreadable(cmp.Or(path, text), err)
	}
	return f, size, nil
}

// Files implements api.Blobs.
func (a *adapter) Files(ctx context.Context, text string) ([]api.BlobFile, error) {
	c, err := a.bring(ctx, text)
	if err != nil {
		return nil, err
	}
	entries, err := a.n.blobs.List(ctx, c)
	if err != nil {
		return nil, unreadable(text, err)
	}
	out := make([]api.BlobFile, 0, len(entries))
	for _, e := range entries {
		out = append(out, api.BlobFile{Path: e.Path, Size: e.Size})
	}
	return out, nil
}

// Logs implements api.Logs: from the result once there is one, from the worker
// while the attempt runs.
func (a *adapter) Logs(ctx context.Context, q api.LogQuery, each func(api.LogChunk) error) error {
	for last := 0; ; {
		j, err := a.Describe(ctx, q.Job, false)
		if err != nil {
			return err
		}
		t := taskOf(&j, q.Task)
		if t == nil {
			return api.Refuse(api.CodeNotFound, "", "the job has no task %d", q.Task)
		}
		if q.Attempt == 0 && last != 0 && t.Attempt != last {
			q.Offset = 0 // another attempt prints from its own beginning
		}
		last = t.Attempt
		done, err := a.logsOnce(ctx, &j, t, &q, each)
		if done || err != nil {
			return err
		}
		if !q.Follow {
			return nil
		}
		pause(ctx, 300*time.Millisecond) // not started yet, or between two attempts
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

func taskOf(j *api.Job, index int) *api.Task {
	if index == api.GatherIndex {
		return j.Gather
	}
	if index < 0 || index >= len(j.Tasks) {
		return nil
	}
	return &j.Tasks[index]
}

// logsOnce gives what there is of the stream now; true when no more can follow.
// q.Offset moves on.
func (a *adapter) logsOnce(ctx context.Context, j *api.Job, t *api.Task, q *api.LogQuery, each func(api.LogChunk) error) (bool, error) {
	if q.Attempt != 0 && q.Attempt > t.Attempt {
		return false, api.Refuse(api.CodeNotFound, "", "task %d has had %d attempts", t.Index, t.Attempt)
	}
	if t.State == api.TaskDone && (q.Attempt == 0 || q.Attempt == t.Attempt) {
		return true, a.keptLog(ctx, t, q, each)
	}
	if t.Worker == "" {
		return api.Terminal(j.State), nil
	}
	id, err := job.ParseID(j.ID)
	if err != nil {
		return true, err
	}
	number := uint32(t.Attempt)
	worker := t.Worker
	if q.Attempt != 0 && q.Attempt != t.Attempt {
		number = uint32(q.Attempt)
		for _, e := range t.Errors {
			if e.Attempt == q.Attempt {
				worker = e.Worker
			}
		}
	}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_Logs{Logs: &meshpb.Logs{
		Job: id[:], Task: int32(t.Index), Attempt: number, Stderr: q.Stream == "stderr", Offset: q.Offset, Follow: q.Follow,
	}}}
	ended := false
	err = a.n.links.call(ctx, worker, req, func(r *meshpb.JobReply) error {
		if c := r.Chunk; c != nil {
			q.Offset = c.Offset + int64(len(c.Data))
			ended = ended || c.End
			return each(api.LogChunk{Task: t.Index, Attempt: int(number), Stream: q.Stream, Offset: c.Offset, Data: c.Data, End: c.End})
		}
		return nil
	})
	// A worker that is gone or has forgotten is no error while the job goes on.
	if err != nil && ctx.Err() != nil {
		return true, ctx.Err()
	}
	return ended || api.Terminal(j.State), nil
}

// keptLog reads the stream of a task that is done from its result.
func (a *adapter) keptLog(ctx context.Context, t *api.Task, q *api.LogQuery, each func(api.LogChunk) error) error {
	text := t.StdoutCID
	if q.Stream == "stderr" {
		text = t.StderrCID
	}
	if text == "" {
		data := []byte(t.Stdout)
		if q.Stream == "stderr" {
			data = nil
		}
		data = data[min(max(q.Offset, 0), int64(len(data))):]
		return each(api.LogChunk{Task: t.Index, Attempt: t.Attempt, Stream: q.Stream, Offset: q.Offset, Data: data, End: true})
	}
	f, size, err := a.Open(ctx, text, "")
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(min(q.Offset, size), io.SeekStart); err != nil {
		return err
	}
	buf := make([]byte, 64<<10)
	for at := min(q.Offset, size); ; {
		n, err := f.Read(buf)
		end := err == io.EOF || at+int64(n) >= size
		if n > 0 || end {
			if err := each(api.LogChunk{Task: t.Index, Attempt: t.Attempt, Stream: q.Stream, Offset: at, Data: buf[:n], End: end}); err != nil {
				return err
			}
		}
		at += int64(n)
		if end {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
