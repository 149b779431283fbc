package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// answer is one response as it is being written: headers go out with the first
// write, so that a producer which fails at once still gets a status.
type answer struct {
	w           http.ResponseWriter
	control     *http.ResponseController
	contentType string
	started     bool
}

// newAnswer prepares a long answer to w.
func newAnswer(w http.ResponseWriter, contentType string) *answer {
	control := http.NewResponseController(w)
	holdOpen(control)
	return &answer{w: w, control: control, contentType: contentType}
}

// begin sends the headers, once.
func (a *answer) begin() {
	if a.started {
		return
	}
	a.started = true
	h := a.w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	a.w.WriteHeader(http.StatusOK)
}

// write sends p now; a reader that takes none of it for ioTimeout is dropped.
func (a *answer) write(p []byte) error {
	a.begin()
	// Recorders in tests have no deadlines.
	_ = a.control.SetWriteDeadline(time.Now().Add(ioTimeout))
	if len(p) > 0 {
		if _, err := a.w.Write(p); err != nil {
			return err
		}
	}
	if err := a.control.Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// event sends one server-sent event. id and name may be empty.
func (a *answer) event(id, name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("event %s: %w", name, err)
	}
	var b strings.Builder
	if id != "" {
		fmt.Fprintf(&b, "id: %s\n", oneLine(id))
	}
	if name != "" {
		fmt.Fprintf(&b, "event: %s\n", oneLine(name))
	}
	fmt.Fprintf(&b, "data: %s\n\n", data)
	return a.write([]byte(b.String()))
}

// oneLine keeps a value from ending its line and starting a field of its own.
func oneLine(s string) string {
	return strings.NewReplacer("\n", " ", "\r", " ").Replace(s)
}

// source produces items until there are no more, each's error, or ctx's end.
type source[T any] func(ctx context.Context, each func(T) error) error

// sink is how a stream's items, its quiet moments and its end look.
type sink[T any] struct {
	item  func(T) error
	quiet func() error
	end   func() error
	fail  func(*Refusal) error
}

// stream runs produce in a goroutine and writes what it yields from this one,
// until the producer ends, the client goes, or the server closes. It is counted
// against the bound on streams. The producer has always returned when it returns.
func stream[T any](s *Server, r *http.Request, produce source[T], out sink[T]) error {
	if !s.streams.enter() {
		return busy("too many event and log streams are open on this node")
	}
	defer s.streams.leave()
	ctx, cancel := context.WithCancel(r.Context())
	items := make(chan T)
	ended := make(chan error, 1)
	go func() {
		ended <- produceSafely(ctx, produce, func(item T) error {
			select {
			case items <- item:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	}()
	finished := false
	defer func() {
		cancel()
		if !finished {
			<-ended
		}
	}()
	quiet := time.NewTimer(time.Second) // the first comes early: it sends the headers
	defer quiet.Stop()
	for {
		var err error
		select {
		case item := <-items:
			err = out.item(item)
		case <-quiet.C:
			err = out.quiet()
		case err = <-ended:
			finished = true
			return endStream(s, r, err, out)
		case <-s.closing:
			return nil
		}
		if err != nil {
			return nil // the client is gone: nobody is left to tell
		}
		quiet.Reset(keepAlive)
	}
}

// endStream says how a stream ended.
func endStream[T any](s *Server, r *http.Request, err error, out sink[T]) error {
	if r.Context().Err() != nil {
		return nil
	}
	if err == nil {
		return out.end()
	}
	refusal, ours := refusalOf(err)
	if ours {
		s.cfg.Log.Error("API stream failed", "path", r.URL.Path, "error", err)
	}
	return out.fail(refusal)
}

// produceSafely turns a producer's panic into an error: it runs in a goroutine
// that no handler's recovery covers.
func produceSafely[T any](ctx context.Context, produce source[T], each func(T) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("stream producer panicked: %v", p)
		}
	}()
	return produce(ctx, each)
}

// eventSink writes items as server-sent events. Before the first byte a failure
// is an ordinary refusal, after it an event named error.
func eventSink[T any](w http.ResponseWriter, frame func(T) (id, name string)) sink[T] {
	a := newAnswer(w, "text/event-stream")
	return sink[T]{
		item: func(item T) error {
			id, name := frame(item)
			return a.event(id, name, item)
		},
		quiet: func() error { return a.write([]byte(": still here\n\n")) },
		end:   func() error { return a.event("", "end", struct{}{}) },
		fail: func(r *Refusal) error {
			if !a.started {
				return r
			}
			return a.event("", "error", problemOf(r))
		},
	}
}

// textSink writes log chunks as the bytes they are, with a line where some are missing.
func textSink(w http.ResponseWriter) sink[LogChunk] {
	a := newAnswer(w, "text/plain; charset=utf-8")
	return sink[LogChunk]{
		item: func(c LogChunk) error {
			if c.Gap > 0 {
				if err := a.write(fmt.Appendf(nil, "\n[ciro: %d bytes are no longer kept]\n", c.Gap)); err != nil {
					return err
				}
			}
			return a.write(c.Data)
		},
		quiet: func() error { return a.write(nil) },
		end:   func() error { return a.write(nil) },
		fail: func(r *Refusal) error {
			if !a.started {
				return r
			}
			return a.write([]byte("\n[ciro: " + r.Error() + "]\n"))
		},
	}
}

// steadyReader lets a body take as long as it keeps coming: each read has its
// own deadline.
type steadyReader struct {
	r       io.Reader
	control *http.ResponseController
}

// Read reads from the body after moving the deadline on.
func (s steadyReader) Read(p []byte) (int, error) {
	_ = s.control.SetReadDeadline(time.Now().Add(ioTimeout))
	n, err := s.r.Read(p)
	if err != nil {
		holdOpen(s.control)
	}
	return n, err
}

// holdOpen takes the read deadline away: the server goes on reading after a body's
// end to notice that the client left, and would take a deadline for that.
func holdOpen(control *http.ResponseController) {
	_ = control.SetReadDeadline(time.Time{}) // recorders in tests have no deadlines
}

// steadyWriter is the same for content going out.
type steadyWriter struct {
	http.ResponseWriter
	control *http.ResponseController
}

// Write writes to the client after moving the deadline on.
func (s steadyWriter) Write(p []byte) (int, error) {
	_ = s.control.SetWriteDeadline(time.Now().Add(ioTimeout))
	return s.ResponseWriter.Write(p)
}
