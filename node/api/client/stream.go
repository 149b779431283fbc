package client

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/api"
)

// maxEvent bounds one line of an event stream: a log chunk of 1 MiB in base64.
const maxEvent = 4 << 20

// silence is how long a stream may say nothing, not even a comment (those come
// every 15 s), before it is given up as dead.
const silence = 45 * time.Second

// errStreamEnded is the cause when a stream broke off without its end event.
var errStreamEnded = errors.New("the stream broke off")

// stopError carries the error of a caller's function through the retry loop.
type stopError struct{ error }

// Watch calls each for every event after q.After. It returns nil after the job's
// terminal event, ctx's error, each's error, or a refusal that trying again does
// not cure (an unknown job). Lost connections and busy or unavailable nodes are
// tried again from the last cursor, for as long as ctx lasts; see OnRetry.
func (c *Client) Watch(ctx context.Context, q api.WatchQuery, each func(api.Event) error) error {
	path := "/events"
	if q.Job != "" {
		path = jobPath(q.Job) + "/events"
	}
	wait := c.first
	for {
		err := c.stream(ctx, path, q.After, func(e sse) error {
			wait = c.first // something came: the node is there
			return deliver(e, &q.After, each)
		})
		var stop stopError
		switch {
		case err == nil:
			return nil
		case errors.As(err, &stop):
			return stop.error
		case ctx.Err() != nil:
			return ctx.Err()
		case !curable(err):
			return err
		}
		pause := wait/2 + rand.N(wait/2+1)
		if r, ok := errors.AsType[*api.Refusal](err); ok && r.RetryAfter > pause {
			pause = r.RetryAfter
		}
		if c.notice != nil {
			c.notice(err, pause)
		}
		if err := sleep(ctx, pause); err != nil {
			return err
		}
		wait = min(2*wait, c.last)
	}
}

// deliver hands one event on and moves the cursor.
func deliver(e sse, cursor *string, each func(api.Event) error) error {
	var event api.Event
	if err := json.Unmarshal(e.data, &event); err != nil {
		return stopError{fmt.Errorf("event %s: %w", e.name, err)}
	}
	if err := each(event); err != nil {
		return stopError{err}
	}
	if e.id != "" {
		*cursor = e.id
	}
	return nil
}

// curable reports whether the same request may succeed later.
func curable(err error) bool {
	r, ok := errors.AsType[*api.Refusal](err)
	return !ok || r.Passing() || r.Code == api.CodeInternal
}

// sleep waits for d or for ctx.
func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Logs calls each for every chunk of an attempt's stdout or stderr. It is tried
// once; on an error go on from the offset after the last chunk.
func (c *Client) Logs(ctx context.Context, q api.LogQuery, each func(api.LogChunk) error) error {
	query := url.Values{"task": {strconv.Itoa(q.Task)}}
	setText(query, "stream", q.Stream)
	if q.Attempt > 0 {
		query.Set("attempt", strconv.Itoa(q.Attempt))
	}
	if q.Offset > 0 {
		query.Set("offset", strconv.FormatInt(q.Offset, 10))
	}
	if q.Follow {
		query.Set("follow", "true")
	}
	err := c.stream(ctx, jobPath(q.Job)+"/logs?"+query.Encode(), "", func(e sse) error {
		var chunk api.LogChunk
		if err := json.Unmarshal(e.data, &chunk); err != nil {
			return fmt.Errorf("log chunk: %w", err)
		}
		return each(chunk)
	})
	if stop, ok := errors.AsType[stopError](err); ok {
		return stop.error
	}
	return err
}

// sse is one server-sent event.
type sse struct {
	id, name string
	data     []byte
}

// stream reads one event stream to its end event (nil), an error event (the
// refusal), each's error, or its breaking off.
func (c *Client) stream(ctx context.Context, path, after string, each func(sse) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watchdog := time.AfterFunc(silence, func() { cancel(errStreamEnded) })
	defer watchdog.Stop()
	header := http.Header{"Accept": {"text/event-stream"}}
	if after != "" {
		header.Set("Last-Event-ID", after)
	}
	response, err := c.do(ctx, request{method: http.MethodGet, path: path, header: header})
	if err != nil {
		return cmpCause(ctx, err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	lines.Buffer(make([]byte, 0, 16<<10), maxEvent)
	var e sse
	for lines.Scan() {
		watchdog.Reset(silence)
		if line := lines.Text(); line != "" {
			e.field(line)
			continue
		}
		if e.data == nil {
			continue
		}
		switch e.name {
		case "end":
			return nil
		case "error":
			return e.refusal()
		}
		if err := each(e); err != nil {
			return err
		}
		e = sse{}
	}
	if err := lines.Err(); err != nil {
		return cmpCause(ctx, fmt.Errorf("%w: %w", errStreamEnded, err))
	}
	return errStreamEnded
}

// cmpCause prefers the reason for which a stream's context ended.
func cmpCause(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); errors.Is(cause, errStreamEnded) {
		return fmt.Errorf("%w: nothing came for %v", errStreamEnded, silence)
	}
	return err
}

// field takes one line of an event.
func (e *sse) field(line string) {
	name, value, _ := strings.Cut(line, ":")
	value = strings.TrimPrefix(value, " ")
	switch name {
	case "id":
		e.id = value
	case "event":
		e.name = value
	case "data":
		if e.data != nil {
			e.data = append(e.data, '\n')
		}
		e.data = append(e.data, value...)
	}
}

// refusal reads an error event.
func (e *sse) refusal() error {
	var p api.Problem
	if err := json.Unmarshal(e.data, &p); err != nil {
		return fmt.Errorf("error event: %w", err)
	}
	return p.Refusal()
}

// discard reads a body to its end so that its connection can be used again.
func discard(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 1<<20)) // only a connection is at stake
	_ = body.Close()
}
