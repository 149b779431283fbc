package executor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// ContractVersion is the version of the guest contract, see the package comment.
const ContractVersion = 1

// ExitRetry is the exit code with which a guest asks for another attempt
// (EX_TEMPFAIL of sysexits.h).
const ExitRetry = 75

// MaxStream is the number of bytes of stdout, and of stderr, that an executor
// passes on per attempt. What follows is counted and dropped, and a note is
// written to the stream instead.
const MaxStream = 64 << 20

// What a task gets whose field is zero, see [Task.WithDefaults].
const (
	// DefaultMemory is the guest's memory in bytes.
	DefaultMemory = 256 << 20
	// DefaultTimeout bounds an attempt, compilation included.
	DefaultTimeout = time.Hour
	// DefaultOutBytes is the quota in bytes of /out and /tmp together.
	DefaultOutBytes = 1 << 30
	// DefaultOutFiles is their quota in files and folders.
	DefaultOutFiles = 10_000
)

// Task is one attempt as the executor sees it. It is a value that the caller
// may reuse; the writers and the function in it are called from one goroutine
// at a time and only until Run returns.
type Task struct {
	// Job, Type, Index, Count and Attempt are told to the guest and otherwise
	// not interpreted.
	Job                   string
	Type                  string
	Index, Count, Attempt uint32
	// Gather marks the task that assembles the outputs of the others.
	Gather bool
	// Module is the path of the program on this machine.
	Module string
	// ModuleHash identifies the bytes of Module (a CID or hex SHA-256). When
	// set, a prepared module of the same hash may be used without reading the
	// file again; empty means that nothing is assumed.
	ModuleHash string
	// Args are the guest's arguments without the program name, Env its
	// variables as "K=V".
	Args, Env []string
	// In and Out are folders on this machine which the guest sees as /in and
	// /out. An empty one is an empty folder that nothing can be written to.
	In, Out string
	// Limits bound the attempt.
	Limits Limits
	// Deterministic hides real time, real randomness and the host's file
	// order from the guest. Seed then seeds its randomness and Clock is what
	// its wall clock shows at the start.
	Deterministic bool
	Seed          uint64
	Clock         time.Time
	// Sinks receive what the guest reports while it runs.
	Sinks Sinks
}

// Limits are the caps of one attempt; a zero field means the package's default.
type Limits struct {
	// Memory caps the guest's memory in bytes.
	Memory uint64
	// OutBytes and OutFiles cap /out and /tmp together.
	OutBytes, OutFiles uint64
	// Timeout bounds the attempt from Run's call on.
	Timeout time.Duration
}

// Sinks are where output goes while a guest runs. Any of them may be nil. A
// sink that blocks holds up the guest, never its deadline.
type Sinks struct {
	Stdout, Stderr io.Writer
	// Progress takes a fraction in [0, 1] and a message of one line.
	Progress func(fraction float64, message string)
}

// Cause says why an attempt ended.
type Cause string

// The causes. Their texts are part of the API and never change.
const (
	// Done: the guest exited with 0.
	Done Cause = ""
	// Exit: the guest exited with another code, which Outcome.Exit holds.
	Exit Cause = "exit"
	// Trap: the guest did what no program may (unreachable, out of bounds, …).
	Trap Cause = "trap"
	// Timeout: the attempt was killed at its deadline.
	Timeout Cause = "timeout"
	// Memory: the guest, or compiling it, wanted more memory than allowed.
	Memory Cause = "memory"
	// OutBytes: /out and /tmp together outgrew their quota in bytes.
	OutBytes Cause = "outBytes"
	// OutFiles: they outgrew their quota in files and folders.
	OutFiles Cause = "outFiles"
	// Module: the file is no module that this executor can run.
	Module Cause = "module"
	// Cancelled: the context given to Run ended.
	Cancelled Cause = "cancelled"
	// Sandbox: the machinery failed and the guest is not to blame.
	Sandbox Cause = "sandbox"
)

// Outcome is how an attempt ended.
type Outcome struct {
	// Exit is the guest's exit code if it exited by itself.
	Exit uint32
	// Cause is why it ended; Detail is one sentence, or a stack trace of
	// bounded length, for people.
	Cause  Cause
	Detail string
	// Retry reports that the guest exited with ExitRetry.
	Retry bool
	// CPU is the processor time used, Wall the time from the call of Run.
	CPU, Wall time.Duration
	// PeakMemory is the most memory, in bytes, that the attempt held at once,
	// the sandbox included; 0 if it could not be learnt.
	PeakMemory uint64
	// Started is when the attempt began, in this machine's time.
	Started time.Time
}

// OK reports whether the guest is done.
func (o Outcome) OK() bool { return o.Cause == Done }

// String is one line for logs.
func (o Outcome) String() string {
	if o.OK() {
		return "done"
	}
	if o.Cause == Exit {
		return "exit " + strconv.FormatUint(uint64(o.Exit), 10)
	}
	line, _, _ := strings.Cut(o.Detail, "\n")
	return string(o.Cause) + ": " + line
}

// An Executor runs tasks. Its methods may be called concurrently.
type Executor interface {
	// Name is the executor's name in job specs and capabilities.
	Name() string
	// Run makes one attempt and returns when it is over and nothing of it is
	// left running. Ending ctx ends the attempt with Cause Cancelled. An error
	// means that there was no attempt, see [ErrTask].
	Run(ctx context.Context, t Task) (Outcome, error)
	// Check reports why the module at a local path could never run here, as an
	// error for the one who submitted it, or nil.
	Check(ctx context.Context, module string) error
}

// ErrTask is wrapped by the errors of Run that are the task's fault, so that
// the same task will be refused again; any other error is the machine's.
var ErrTask = errors.New("executor: invalid task")

// WithDefaults returns the task with its zero limits replaced by defaults and
// a zero clock by the Unix epoch.
func (t Task) WithDefaults() Task {
	if t.Limits.Memory == 0 {
		t.Limits.Memory = DefaultMemory
	}
	if t.Limits.OutBytes == 0 {
		t.Limits.OutBytes = DefaultOutBytes
	}
	if t.Limits.OutFiles == 0 {
		t.Limits.OutFiles = DefaultOutFiles
	}
	if t.Limits.Timeout == 0 {
		t.Limits.Timeout = DefaultTimeout
	}
	if t.Clock.IsZero() {
		t.Clock = time.Unix(0, 0)
	}
	return t
}

// Validate reports what is wrong with the task as given, or nil. Its errors
// wrap ErrTask.
func (t Task) Validate() error {
	if t.Module == "" {
		return fmt.Errorf("%w: no module", ErrTask)
	}
	if t.Limits.Timeout < 0 {
		return fmt.Errorf("%w: timeout %v is negative", ErrTask, t.Limits.Timeout)
	}
	for _, a := range t.Args {
		if strings.ContainsRune(a, 0) {
			return fmt.Errorf("%w: argument %q holds a NUL", ErrTask, a)
		}
	}
	for _, kv := range t.Env {
		k, _, ok := strings.Cut(kv, "=")
		if !ok || k == "" || strings.ContainsRune(kv, 0) {
			return fmt.Errorf("%w: environment entry %q is not NAME=value", ErrTask, kv)
		}
	}
	return nil
}

// Environ is the guest's whole environment in a fixed order: the user's
// entries without those named CIRO_*, then the contract's.
func (t Task) Environ() []string {
	env := make([]string, 0, len(t.Env)+7)
	for _, kv := range t.Env {
		if !strings.HasPrefix(kv, "CIRO_") {
			env = append(env, kv)
		}
	}
	num := func(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
	if t.Gather {
		env = append(env, "CIRO_GATHER=1")
	}
	return append(env,
		"CIRO_CONTRACT="+strconv.Itoa(ContractVersion),
		"CIRO_JOB_ID="+t.Job,
		"CIRO_JOB_TYPE="+t.Type,
		"CIRO_TASK_INDEX="+num(t.Index),
		"CIRO_TASK_COUNT="+num(t.Count),
		"CIRO_ATTEMPT="+num(t.Attempt),
	)
}
