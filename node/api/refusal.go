package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"
)

// The stable codes of refusals, with the HTTP status each has by default.
const (
	CodeInvalidSpec    = "invalid_spec"    // 422: the job spec is wrong; the sentence names where
	CodeInvalidRequest = "invalid_request" // 422: a parameter is wrong
	CodeUnknownJob     = "unknown_job"     // 404: no shard knows a job of this id
	CodeAmbiguousID    = "ambiguous_id"    // 409: the prefix fits several jobs
	CodeNotFound       = "not_found"       // 404: no such endpoint, CID or file
	CodeConflict       = "conflict"        // 409: the job's state does not allow it
	CodeNotAnchored    = "not_anchored"    // 409: records of the job still wait for their anchor; see RetryAfter
	CodeExpired        = "expired"         // 410: the job was there and is forgotten, or the offer is too old
	CodeTooLarge       = "too_large"       // 413: over a size limit
	CodeBusy           = "busy"            // 429: a limit or queue is full; see RetryAfter
	CodeClientLimit    = "client_limit"    // 429: the client has as many jobs or tasks under way as it may
	CodeClientRate     = "client_rate"     // 429: the client submits too fast
	CodeUnavailable    = "unavailable"     // 503: unknown outcome or no leader; repeat with the same id
	CodeUnauthorized   = "unauthorized"    // 401: the bearer token is missing or wrong
	CodeForbidden      = "forbidden"       // 403: wrong host, foreign origin, or not this node's to do
	CodeInternal       = "internal"        // 500: a bug; the node's log has the details
)

// Refusal is why a request was not served, in a form for programs (Code), one
// for people (Message) and what to do about it (Next). It travels as an RFC 9457
// problem document and is an error on both sides of the wire.
type Refusal struct {
	Code       string        // one of the Code constants, or a finer one of the node's
	Message    string        // one sentence, the cause
	Next       string        // one sentence, the next step; may be empty
	Status     int           // HTTP status; 0 means the code's default
	RetryAfter time.Duration // for busy and unavailable: when to try again; 0 means unsaid
}

// Error is the message followed by the next step.
func (r *Refusal) Error() string {
	if r.Next == "" {
		return r.Message
	}
	return r.Message + "; " + r.Next
}

// Passing says whether the same request may be served later, unchanged: a queue
// or limit is full, or no coordinator could be asked.
func (r *Refusal) Passing() bool {
	switch r.Code {
	case CodeBusy, CodeClientLimit, CodeClientRate, CodeUnavailable:
		return true
	}
	return false
}

// Refuse makes a refusal with the code's default status. The message is
// formatted as by fmt.Sprintf.
func Refuse(code, next, format string, args ...any) *Refusal {
	return &Refusal{Code: code, Next: next, Message: fmt.Sprintf(format, args...), Status: StatusOf(code)}
}

// StatusOf gives the default HTTP status of a code: 400 for one unknown here.
func StatusOf(code string) int {
	switch code {
	case CodeInvalidSpec, CodeInvalidRequest:
		return http.StatusUnprocessableEntity
	case CodeUnknownJob, CodeNotFound:
		return http.StatusNotFound
	case CodeAmbiguousID, CodeConflict, CodeNotAnchored:
		return http.StatusConflict
	case CodeExpired:
		return http.StatusGone
	case CodeTooLarge:
		return http.StatusRequestEntityTooLarge
	case CodeBusy, CodeClientLimit, CodeClientRate:
		return http.StatusTooManyRequests
	case CodeUnavailable:
		return http.StatusServiceUnavailable
	case CodeUnauthorized:
		return http.StatusUnauthorized
	case CodeForbidden:
		return http.StatusForbidden
	case CodeInternal:
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// Problem is a refusal on the wire: RFC 9457 with code and next beside it.
type Problem struct {
	Type       string  `json:"type,omitempty" doc:"Always about:blank; code tells problems apart"`
	Title      string  `json:"title,omitempty" doc:"The status in words"`
	Status     int     `json:"status" doc:"HTTP status"`
	Code       string  `json:"code" doc:"Stable reason code"`
	Detail     string  `json:"detail" doc:"The cause, for people"`
	Next       string  `json:"next,omitempty" doc:"The next step, for people"`
	RetryAfter float64 `json:"retryAfter,omitempty" doc:"Seconds after which trying again makes sense"`
}

// ProblemType is the media type of a [Problem].
const ProblemType = "application/problem+json"

// Refusal turns the document back into the error it was.
func (p Problem) Refusal() *Refusal {
	wait := time.Duration(p.RetryAfter * float64(time.Second))
	return &Refusal{Code: p.Code, Message: p.Detail, Next: p.Next, Status: p.Status, RetryAfter: wait}
}

// problemOf makes the document of a refusal, filling in what was left out.
func problemOf(r *Refusal) *Problem {
	status := r.Status
	if status < 400 || status > 599 {
		status = StatusOf(r.Code)
	}
	return &Problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status,
		Code: r.Code, Detail: r.Message, Next: r.Next, RetryAfter: r.RetryAfter.Seconds(),
	}
}

// problemError lets a typed handler return a refusal through huma.
type problemError struct{ *Problem }

func (e problemError) Error() string             { return e.Detail }
func (e problemError) GetStatus() int            { return e.Status }
func (e problemError) ContentType(string) string { return ProblemType }

// GetHeaders says when to come back.
func (e problemError) GetHeaders() http.Header {
	h := http.Header{}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", retrySeconds(e.RetryAfter))
	}
	return h
}

// retrySeconds is the header's form: whole seconds, at least one.
func retrySeconds(seconds float64) string {
	return strconv.Itoa(max(1, int(seconds+0.999)))
}

// refusalOf finds the refusal in err or makes one. The second result is true
// when err is nobody's fault but ours and belongs in the log.
func refusalOf(err error) (*Refusal, bool) {
	var r *Refusal
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &r):
		return r, false
	case errors.As(err, &tooLarge):
		return tooLargeRefusal(tooLarge.Limit), false
	case errors.Is(err, context.DeadlineExceeded):
		return Refuse(CodeUnavailable, "try again", "the mesh did not answer in time"), false
	case errors.Is(err, context.Canceled), errors.Is(err, io.ErrUnexpectedEOF):
		return Refuse(CodeUnavailable, "try again", "the request was broken off"), false
	}
	return Refuse(CodeInternal, "see the node's log", "the node failed to answer"), true
}

// tooLargeRefusal names the limit that a body went over.
func tooLargeRefusal(limit int64) *Refusal {
	return Refuse(CodeTooLarge, "split the job's inputs or make them smaller",
		"the body is larger than %d bytes (%d MiB)", limit, limit>>20)
}

// writeRefusal answers with a problem document. Nothing may have been written.
func writeRefusal(w http.ResponseWriter, r *Refusal) {
	p := problemOf(r)
	h := w.Header()
	h.Set("Content-Type", ProblemType)
	h.Set("Cache-Control", "no-store")
	h.Del("Content-Length")
	h.Del("Etag")
	if p.RetryAfter > 0 {
		h.Set("Retry-After", retrySeconds(p.RetryAfter))
	}
	if p.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="ciro"`)
	}
	w.WriteHeader(p.Status)
	// The client is gone when this fails: nobody is left to tell.
	_ = json.NewEncoder(w).Encode(p)
}

// translateErrors turns the errors that huma finds by itself (validation) into
// our documents. It is a huma.Transformer.
func translateErrors(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	code := CodeInvalidRequest
	switch m.Status {
	case http.StatusRequestEntityTooLarge:
		code = CodeTooLarge
	case http.StatusNotFound:
		code = CodeNotFound
	case http.StatusInternalServerError:
		code = CodeInternal
	}
	detail := m.Detail
	for i, e := range m.Errors {
		if e == nil || i >= 4 {
			break
		}
		detail += "; " + e.Location + ": " + e.Message
	}
	return &Problem{Type: "about:blank", Title: m.Title, Status: m.Status, Code: code, Detail: detail,
		Next: "see /openapi.yaml for what the endpoint takes"}, nil
}
