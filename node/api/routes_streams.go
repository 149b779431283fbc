package api

import (
	"cmp"
	"context"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

type eventsInput struct {
	ID     string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
	After  string `query:"after" maxLength:"128" doc:"Cursor of the last event seen"`
	LastID string `header:"Last-Event-ID" maxLength:"128" doc:"The same; wins over after, because it is newer when a browser reconnects"`
}

type allEventsInput struct {
	After  string `query:"after" maxLength:"128" doc:"Cursor of the last event seen"`
	LastID string `header:"Last-Event-ID" maxLength:"128" doc:"The same; wins over after"`
}

type logsInput struct {
	ID      string `path:"id" minLength:"4" maxLength:"64" doc:"Job id or a unique prefix of it"`
	Task    int    `query:"task" default:"0" minimum:"-1" maximum:"9999" doc:"Task index; -1 is the gather task"`
	Attempt int    `query:"attempt" minimum:"0" doc:"Attempt number; 0 is the newest"`
	Stream  string `query:"stream" default:"stdout" enum:"stdout,stderr"`
	Offset  int64  `query:"offset" minimum:"0" doc:"First byte wanted"`
	Follow  bool   `query:"follow" doc:"Go on until the attempt is over"`
	Accept  string `header:"Accept" doc:"text/event-stream for chunks with their positions; otherwise plain text"`
}

// streamRoutes registers events and logs.
func (s *Server) streamRoutes(desk huma.API) {
	const sse = "text/event-stream"
	raw(s, desk, answers(op("job-events", http.MethodGet, "/jobs/{id}/events", "Follow a job's events until it has ended"),
		sse, "Server-sent events: id is the cursor, event the kind, data an Event; last comes end"),
		func(w http.ResponseWriter, r *http.Request, in *eventsInput) error {
			return s.events(w, r, WatchQuery{Job: in.ID, After: cmp.Or(in.LastID, in.After)})
		})
	raw(s, desk, answers(op("all-events", http.MethodGet, "/events", "Follow all events this node hears of"),
		sse, "Server-sent events: id is the cursor, event the kind, data an Event"),
		func(w http.ResponseWriter, r *http.Request, in *allEventsInput) error {
			return s.events(w, r, WatchQuery{After: cmp.Or(in.LastID, in.After)})
		})
	raw(s, desk, answers(op("job-logs", http.MethodGet, "/jobs/{id}/logs", "Read or follow what a task prints"),
		"text/plain", "The bytes; with Accept: text/event-stream server-sent LogChunk objects"), s.logs)
}

// events streams what Watch yields.
func (s *Server) events(w http.ResponseWriter, r *http.Request, q WatchQuery) error {
	produce := func(ctx context.Context, each func(Event) error) error { return s.cfg.Jobs.Watch(ctx, q, each) }
	return stream(s, r, produce, eventSink(w, func(e Event) (string, string) { return e.Cursor, e.Kind }))
}

// logs streams what Logs yields, in the form the client asked for.
func (s *Server) logs(w http.ResponseWriter, r *http.Request, in *logsInput) error {
	q := LogQuery{Job: in.ID, Task: in.Task, Attempt: in.Attempt, Stream: in.Stream, Offset: in.Offset, Follow: in.Follow}
	produce := func(ctx context.Context, each func(LogChunk) error) error { return s.cfg.Logs.Logs(ctx, q, each) }
	if strings.Contains(in.Accept, "text/event-stream") {
		return stream(s, r, produce, eventSink(w, func(LogChunk) (string, string) { return "", "log" }))
	}
	return stream(s, r, produce, textSink(w))
}
