package job

import (
	"fmt"
	"time"

	"github.com/ciro-network/ciro/scheduler/codec"
)

// Op is what a command does.
type Op uint8

// The commands. Numbers are permanent: they stand in logs.
const (
	OpAccept  Op = 1 // take an offer
	OpAssign  Op = 2 // give the next attempt of a queued task to a worker
	OpStarted Op = 3 // the worker runs the attempt
	OpDone    Op = 4 // the attempt's result
	OpFail    Op = 5 // the attempt ended otherwise
	OpCancel  Op = 6 // end the job at the client's wish
	OpLost    Op = 7 // a done task's outputs are gone
	OpSweep   Op = 8 // let time pass: deadlines, retention
	OpRetry   Op = 9 // open a failed job's next round

	OpCut      Op = 12 // cut a batch of leaves for the anchor
	OpAnchored Op = 13 // the oldest batch's anchor is final
)

// Command is one entry of a shard's log. Which fields count depends on Op.
type Command struct {
	Op      Op
	At      int64 // shard time, unix milliseconds
	Job     ID
	Task    int32    // wire index; Retry: AllTasks or a dead task
	Attempt uint32   // Assign: the attempt that it makes; Retry: the round that it makes; others: the attempt they concern
	Fence   uint64   // Started, Done, Fail: the assignment's fence; Lost: that of the lost result
	Worker  string   // Assign
	Offer   []byte   // Accept: encoded Offer
	Holders []string // Accept, Retry
	Result  *Result  // Done
	Cause   Cause    // Fail
	Detail  string   // Fail, Cancel
	Cut     *CutOrder
	Anchor  *Anchor // Anchored
}

const (
	commandVersion = 1
	maxPeerText    = 128
)

// Encode returns the command's one binary form. Holders and Detail are cut to
// their bounds, so that what is encoded can always be decoded.
func (c *Command) Encode() []byte {
	var w codec.Writer
	w.Uint(commandVersion)
	w.Uint(uint64(c.Op))
	w.Int(c.At)
	w.Fixed(c.Job[:])
	w.Int(int64(c.Task))
	w.Uint(uint64(c.Attempt))
	w.Uint(c.Fence)
	w.String(c.Worker)
	w.Bytes(c.Offer)
	w.Strings(c.Holders[:min(len(c.Holders), MaxHolders)])
	w.Bool(c.Result != nil)
	if c.Result != nil {
		putResult(&w, c.Result)
	}
	w.Uint(uint64(c.Cause))
	w.String(Clip(c.Detail))
	putCutOrder(&w, c.Cut)
	putAnchor(&w, c.Anchor)
	return w.Data()
}

// DecodeCommand reads a command.
func DecodeCommand(b []byte) (*Command, error) {
	r := codec.NewReader(b)
	if v := r.Uint(); v != commandVersion && r.Err() == nil {
		return nil, fmt.Errorf("command version %d is not known here; this node speaks %d, update it", v, commandVersion)
	}
	c := &Command{Op: getOp(r), At: r.Int()}
	copy(c.Job[:], r.Fixed(32))
	c.Task = getIndex(r)
	c.Attempt, c.Fence, c.Worker = r.Uint32(), r.Uint(), r.String(maxPeerText)
	c.Offer, c.Holders = r.Bytes(MaxSpecBytes+1024), r.Strings(MaxHolders, maxPeerText)
	if r.Bool() {
		c.Result = getResult(r)
	}
	c.Cause, c.Detail = getCause(r), r.String(MaxErrorText)
	c.Cut, c.Anchor = getCutOrder(r), getAnchor(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("command: %w", err)
	}
	return c, nil
}

func getOp(r *codec.Reader) Op {
	v := r.Uint()
	if known := v >= uint64(OpAccept) && v <= uint64(OpRetry) || v == uint64(OpCut) || v == uint64(OpAnchored); !known {
		r.Fail(fmt.Errorf("command %d is not known", v)) // as a whole: cut to a byte it might be
		return 0
	}
	return Op(v)
}

func getCause(r *codec.Reader) Cause {
	v := r.Uint()
	if v >= uint64(len(causeNames)) {
		r.Fail(fmt.Errorf("cause %d is not known", v))
		return CauseNone
	}
	return Cause(v)
}

func getIndex(r *codec.Reader) int32 {
	v := r.Int()
	if v < GatherIndex || v > MaxTasks {
		r.Fail(fmt.Errorf("task index %d is out of range", v))
		return 0
	}
	return int32(v)
}

// GetIndex reads a task's wire index, for messages of other packages.
func GetIndex(r *codec.Reader) int32 { return getIndex(r) }

// GetCause reads a cause, for messages of other packages.
func GetCause(r *codec.Reader) Cause { return getCause(r) }

func putResult(w *codec.Writer, v *Result) {
	w.Uint(uint64(v.Exit))
	w.String(v.Output)
	w.Uint(v.Size)
	w.String(v.Stdout)
	w.String(v.Stderr)
	w.Bytes(v.Inline[:min(len(v.Inline), MaxInline)])
	w.Strings(v.Holders[:min(len(v.Holders), MaxHolders)])
	w.Int(int64(v.WallTime))
	w.Int(int64(v.CPUTime))
}

func getResult(r *codec.Reader) *Result {
	return &Result{
		Exit: r.Uint32(), Output: r.String(MaxName), Size: r.Uint(), Stdout: r.String(MaxName), Stderr: r.String(MaxName),
		Inline: r.Bytes(MaxInline), Holders: r.Strings(MaxHolders, maxPeerText),
		WallTime: time.Duration(r.Int()), CPUTime: time.Duration(r.Int()),
	}
}

// PutResult appends a result, for messages of other packages.
func PutResult(w *codec.Writer, v *Result) { putResult(w, v) }

// GetResult reads what PutResult wrote.
func GetResult(r *codec.Reader) *Result { return getResult(r) }

// Clip shortens a text to MaxErrorText bytes so that it can be kept.
func Clip(s string) string {
	return clipTo(s, MaxErrorText)
}

func clipTo(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	return s[:limit-4] + " ..."
}
