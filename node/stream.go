package node

import (
	"context"
	"errors"
	"io"
	"slices"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/codec"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
)

// serveWatch streams a job's events from a cursor on: first those kept in the
// state, then live ones. It ends after the terminal event, or with a redirect
// when this node does not lead the shard any more; the asking node resumes
// elsewhere with its cursor.
func (n *Node) serveWatch(ctx context.Context, w *meshpb.Watch, each func(*meshpb.JobReply) error) error {
	id, on, bad := n.target(w.Job)
	if bad != nil {
		return each(bad)
	}
	sub := n.hub.subscribe(id, false)
	if sub == nil {
		return each(refusal(api.CodeBusy, "too many watchers on this node"))
	}
	defer n.hub.unsubscribe(sub)
	if r := n.readable(ctx, on); r != nil {
		return each(r)
	}
	kept, cursor, err := n.keptEvents(ctx, id, on, w)
	if err != nil {
		return err
	}
	if len(kept.Events) > 0 || kept.Code != "" || kept.End {
		if err := each(kept); err != nil || kept.Code != "" || kept.End {
			return err
		}
	}
	check := time.NewTicker(time.Second)
	defer check.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-check.C:
			if r := n.leadsReply(ctx, on); r != nil {
				return each(r)
			}
		case o, ok := <-sub.out:
			if !ok || o.reset {
				return each(refusal(shard.ReasonNotLeader, "events were skipped here; resume with the cursor"))
			}
			r := liveReply(o, &cursor)
			if r == nil {
				continue
			}
			if err := each(r); err != nil || r.End {
				return err
			}
		}
	}
}

// at is an event cursor within a shard.
type at struct {
	index uint64
	n     uint32
}

// keptEvents returns the kept events behind the cursor of a request. End is set
// if they end the job.
func (n *Node) keptEvents(ctx context.Context, id job.ID, on uint32, w *meshpb.Watch) (*meshpb.JobReply, at, error) {
	out, cursor := &meshpb.JobReply{}, at{w.Index, w.N}
	err := n.engine.query(ctx, func(e *engine) {
		r := e.replicas[on]
		if r == nil {
			out.Code, out.Message = shard.ReasonNotLeader, "this node holds no replica of the shard"
			return
		}
		j := r.State().Jobs[id]
		if j == nil {
			out.Code, out.Message = api.CodeUnknownJob, "no job with this id is known"
			return
		}
		events, whole := r.State().EventsAfter(w.Index, w.N, &id)
		if !whole {
			out.Events = append(out.Events, &meshpb.Event{Reset_: true})
		}
		for i := range events {
			out.Events = append(out.Events, encodeEvent(&events[i]))
			cursor = at{events[i].Index, events[i].N}
		}
		out.End = j.State.Terminal()
	})
	return out, cursor, err
}

func encodeEvent(e *job.Event) *meshpb.Event {
	var w codec.Writer
	job.PutEvent(&w, e)
	return &meshpb.Event{Event: w.Data()}
}

// liveReply turns what the hub said into a reply; nil for what the watcher has
// seen.
func liveReply(o observed, cursor *at) *meshpb.JobReply {
	if o.progress != nil {
		return &meshpb.JobReply{Events: []*meshpb.Event{{Progress: work.Encode(*o.progress), Worker: o.worker}}}
	}
	if !o.event.After(cursor.index, cursor.n) {
		return nil
	}
	*cursor = at{o.event.Index, o.event.N}
	end := o.event.Kind == job.EventCompleted || o.event.Kind == job.EventFailed || o.event.Kind == job.EventCancelled
	return &meshpb.JobReply{Events: []*meshpb.Event{encodeEvent(&o.event)}, End: end}
}

// errEndOfWatch ends a watch from inside a callback.
var errEndOfWatch = errors.New("end of watch")

// Watch implements api.Jobs. It follows the job over changes of coordinator; no
// event is missed or repeated, since a cursor means the same on every replica.
func (a *adapter) Watch(ctx context.Context, q api.WatchQuery, each func(api.Event) error) error {
	if q.Job == "" {
		return a.watchAll(ctx, each)
	}
	id, err := a.resolve(ctx, answerBy(), q.Job)
	if err != nil {
		return err
	}
	on := id.Shard(a.n.net.gen.Shards)
	cursor, err := parseCursor(q.After, on)
	if err != nil {
		return err
	}
	// A refusal counts only if it persists: leaders change.
	var silent time.Time
	for {
		var refused *api.Refusal
		req := &meshpb.JobRequest{What: &meshpb.JobRequest_Watch{Watch: &meshpb.Watch{Job: id[:], Index: cursor.index, N: cursor.n}}}
		err := a.leader(ctx, asked{shard: on, until: answerBy()}, req, func(r *meshpb.JobReply) error {
			silent = time.Time{}
			for _, e := range r.Events {
				ev, ok := decodeEvent(e, on, &cursor)
				if !ok {
					continue
				}
				ev.Job = id.String()
				if err := each(ev); err != nil {
					return err
				}
			}
			if r.End {
				return errEndOfWatch
			}
			return nil
		})
		switch {
		case errors.Is(err, errEndOfWatch):
			return nil
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.As(err, &refused) && refused.Code != api.CodeUnavailable:
			return err
		}
		if silent.IsZero() {
			silent = time.Now()
		} else if time.Since(silent) > watchPatience {
			return err
		}
		pause(ctx, 200*time.Millisecond)
	}
}

// watchPatience is how long a watch looks for a coordinator before it says that
// there is none.
const watchPatience = 30 * time.Second

func decodeEvent(e *meshpb.Event, on uint32, cursor *at) (api.Event, bool) {
	if len(e.Progress) > 0 {
		m, err := work.Decode(e.Progress)
		p, ok := m.(work.Progress)
		if err != nil || !ok {
			return api.Event{}, false
		}
		return progressEvent(p, e.Worker), true
	}
	if e.Reset_ {
		return api.Event{Schema: api.EventSchema, Kind: api.EventReset, At: api.At(time.Now())}, true
	}
	r := codec.NewReader(e.Event)
	ev := job.GetEvent(r)
	if r.Close() != nil || !ev.After(cursor.index, cursor.n) {
		return api.Event{}, false
	}
	*cursor = at{ev.Index, ev.N}
	return viewEvent(&ev, on)
}

// watchAll streams all events that the replicas of this node apply.
func (a *adapter) watchAll(ctx context.Context, each func(api.Event) error) error {
	sub := a.n.hub.subscribe(job.ID{}, true)
	if sub == nil {
		return api.Refuse(api.CodeBusy, "close some other event stream", "too many watchers on this node")
	}
	defer a.n.hub.unsubscribe(sub)
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case o, ok := <-sub.out:
			if !ok {
				return api.Refuse(api.CodeBusy, "connect again and read faster", "this stream was too slow and was cut off")
			}
			ev, show := viewObserved(o)
			if !show {
				continue
			}
			if err := each(ev); err != nil {
				return err
			}
		}
	}
}

func viewObserved(o observed) (api.Event, bool) {
	switch {
	case o.reset:
		return api.Event{Schema: api.EventSchema, Kind: api.EventReset, At: api.At(time.Now())}, true
	case o.progress != nil:
		return progressEvent(*o.progress, o.worker), true
	}
	return viewEvent(&o.event, o.shard)
}

// serveLogs streams what an attempt on this node prints.
func (n *Node) serveLogs(ctx context.Context, l *meshpb.Logs, each func(*meshpb.JobReply) error) error {
	id, _, bad := n.target(l.Job)
	if bad != nil {
		return each(bad)
	}
	var spool *spool
	if n.runner != nil {
		spool = n.runner.spool(taskRef{id, l.Task}, l.Attempt, l.Stderr)
	}
	if spool == nil {
		return each(refusal(api.CodeNotFound, "this node has no log of the attempt"))
	}
	buf := make([]byte, 64<<10)
	offset := l.Offset
	for {
		data, end, err := spool.read(ctx, buf, offset, l.Follow)
		if err != nil && !errors.Is(err, io.EOF) {
			return err
		}
		if len(data) > 0 || end {
			c := &meshpb.Chunk{Offset: offset, Data: slices.Clone(data), End: end, Attempt: l.Attempt}
			if err := each(&meshpb.JobReply{Chunk: c, End: end}); err != nil {
				return err
			}
		}
		offset += int64(len(data))
		if end || len(data) == 0 && !l.Follow {
			return nil
		}
	}
}
