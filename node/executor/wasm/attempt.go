package wasm

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/ciro-network/ciro/node/executor"
)

// errDeadline is the cause of a context whose attempt ran out of time.
var errDeadline = errors.New("deadline of the attempt")

// served is what came of one request.
type served struct {
	executor.Outcome
	compile time.Duration
}

// serve has the child make one attempt and kills it; the caller has to bury it.
// It reports false if the child ended before it took the request, by itself.
func (p *process) serve(ctx context.Context, req request, to executor.Sinks) (served, bool) {
	stop := p.killWhenDone(ctx)
	r := &receiver{out: sink{w: to.Stdout, name: "stdout"}, err: sink{w: to.Stderr, name: "stderr"}, progress: to.Progress}
	sent := writeJSON(p.stdin, kindRequest, req)
	var failed error
	if sent == nil {
		failed = r.receive(p.frames)
	}
	stop()
	var s served
	switch {
	case r.result != nil:
		p.kill()
		s = served{Outcome: r.outcome(), compile: r.result.Compile}
	case ctx.Err() != nil:
		state := p.end()
		s.Outcome = interrupted(ctx, req.Limits.Timeout)
		s.CPU = state.UserTime() + state.SystemTime()
	case !r.accepted:
		return s, false
	default:
		s.Outcome = p.crashed(failed, req.Limits.Timeout)
	}
	s.Detail = printable(s.Detail)
	s.PeakMemory = p.peak
	r.out.close()
	r.err.close()
	return s, true
}

// printable is a text of the guest's that people will read, without what would
// move their cursor, name their window, or reorder what they read.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			return utf8.RuneError
		}
		return r
	}, s)
}

// interrupted is the outcome of an attempt that its parent killed.
func interrupted(ctx context.Context, timeout time.Duration) executor.Outcome {
	if errors.Is(context.Cause(ctx), errDeadline) {
		return executor.Outcome{Cause: executor.Timeout, Detail: fmt.Sprintf("not done after %v: killed", timeout)}
	}
	return executor.Outcome{Cause: executor.Cancelled, Detail: fmt.Sprintf("cancelled: %v", context.Cause(ctx))}
}

// crashed is the outcome of a child that ended without a result.
func (p *process) crashed(why error, timeout time.Duration) executor.Outcome {
	if !errors.Is(why, io.EOF) {
		p.end() // it talks nonsense
		return executor.Outcome{Cause: executor.Sandbox, Detail: fmt.Sprintf("the sandbox sent what it should not: %v", why)}
	}
	state := p.wait()
	o := executor.Outcome{CPU: state.UserTime() + state.SystemTime()}
	o.Cause, o.Detail = crashCause(state, p.words.String())
	// The kernel limits by one account of processor time and reports another: the
	// first counts ticks, and is ahead by a tenth where many processes take turns.
	if limit := time.Duration(maxCPU(timeout)) * time.Second; o.Cause == executor.Sandbox && o.CPU >= limit/4*3 {
		o.Cause, o.Detail = executor.Timeout, outOfTime
	}
	return o
}

// outOfTime is said of a child that met its limit of processor time.
const outOfTime = "the sandbox used up its processor time (RLIMIT_CPU)"

// crashCause tells from a child's end and last words which limit it met.
func crashCause(state *os.ProcessState, words string) (executor.Cause, string) {
	status, _ := state.Sys().(syscall.WaitStatus)
	line, _, _ := strings.Cut(strings.TrimSpace(words), "\n")
	switch {
	case strings.Contains(words, "out of memory"), strings.Contains(words, "cannot allocate memory"),
		strings.Contains(words, "failed to create new OS thread"):
		return executor.Memory, "the sandbox ran out of address space, most likely while compiling the module: " + line
	case status.Signaled():
		return executor.Sandbox, fmt.Sprintf("the sandbox was killed by signal %d (%v)", int(status.Signal()), status.Signal())
	}
	return executor.Sandbox, fmt.Sprintf("the sandbox ended with %v: %s", state, line)
}

// receiver takes a child's frames. It holds one frame at a time: a guest that
// writes faster than the sinks take waits in its write.
type receiver struct {
	out, err sink
	progress func(float64, string)
	accepted bool
	result   *result
}

// receive reads until the result, or until the child ends or talks nonsense.
func (r *receiver) receive(frames *frameReader) error {
	for r.result == nil {
		kind, payload, err := frames.next()
		if err != nil {
			return err
		}
		if err := r.take(kind, payload); err != nil {
			return err
		}
	}
	return nil
}

func (r *receiver) take(kind byte, payload []byte) error {
	if !r.accepted && kind != kindAccepted {
		return fmt.Errorf("%w: kind %d before the request was accepted", errFrame, kind)
	}
	switch kind {
	case kindAccepted:
		r.accepted = true
	case kindStdout:
		r.out.write(payload)
	case kindStderr:
		r.err.write(payload)
	case kindProgress:
		var p progress
		if err := json.Unmarshal(payload, &p); err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
		if r.progress != nil {
			r.progress(p.Fraction, printable(p.Message))
		}
	case kindResult:
		var res result
		if err := json.Unmarshal(payload, &res); err != nil {
			return fmt.Errorf("%w: %w", errFrame, err)
		}
		r.result = &res
	default:
		return fmt.Errorf("%w: unexpected kind %d", errFrame, kind)
	}
	return nil
}

// outcome is the result in the words of the interface.
func (r *receiver) outcome() executor.Outcome {
	res := r.result
	r.out.dropped = r.out.dropped || res.Dropped[0] > 0
	r.err.dropped = r.err.dropped || res.Dropped[1] > 0
	return executor.Outcome{
		Exit: res.Exit, Cause: res.Cause, Detail: res.Detail, CPU: res.CPU,
		Retry: res.Cause == executor.Exit && res.Exit == executor.ExitRetry,
	}
}

// sink passes one stream on, up to executor.MaxStream bytes.
type sink struct {
	w       io.Writer // nil: nobody listens, or no longer
	name    string
	passed  int
	dropped bool
}

func (s *sink) write(b []byte) {
	if room := executor.MaxStream - s.passed; len(b) > room {
		s.dropped, b = true, b[:room]
	}
	s.passed += len(b)
	s.put(b)
}

// put forgets a writer that fails: the attempt does not depend on it.
func (s *sink) put(b []byte) {
	if s.w == nil || len(b) == 0 {
		return
	}
	if _, err := s.w.Write(b); err != nil {
		s.w = nil
	}
}

// close writes the note about what is missing. A full stream of a killed guest
// counts as truncated, since nobody is left to say that it was not.
func (s *sink) close() {
	if s.dropped || s.passed == executor.MaxStream {
		s.put([]byte(fmt.Sprintf("\n[ciro: %s truncated after %d MiB]\n", s.name, executor.MaxStream>>20)))
	}
}
