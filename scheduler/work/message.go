// Package work is the protocol between a shard's leader and a worker: what each
// may say to the other, in one closed set of messages with one deterministic
// encoding. Neither side's logic is here (see packages shard and worker).
//
// # The conversation
//
// A worker attaches to the leader of every shard that it serves and then sends
// a heartbeat every second, with what is free and what it holds. For each task
// the leader first books a place (Book, answered by Booked or Refused; the
// worker holds it for the booking's time), then commits the assignment in the
// shard's log, then sends Assign with the fence, which is the log index of the
// assignment. So a worker never receives an assignment that is not in the log.
// The worker says Started once and Report when the attempt ends, and repeats a
// report, from disk if need be, until the leader acknowledges it; it forgets an
// attempt only on Ack or Stop.
//
// Messages may be lost, repeated and reordered. Everything is idempotent by
// (job, task, fence): a worker refuses a fence lower than the newest it knows
// for the task, and an Assign that it already holds is only acknowledged by the
// next heartbeat.
package work

import (
	"fmt"

	"github.com/ciro-network/ciro/scheduler/codec"
	"github.com/ciro-network/ciro/scheduler/job"
)

// Bounds of one message.
const (
	MaxHeld     = 4096 // attempts named in one heartbeat
	MaxClients  = 64   // client keys that a worker allows, and as many that it denies
	maxText     = 128
	version     = 1
	maxAssigned = job.MaxSpecBytes + 1024
)

// Key names one attempt of one task.
type Key struct {
	Job     job.ID
	Task    int32  // wire index
	Attempt uint32 // 1 is the first
	Fence   uint64 // log index of the assignment; 0 in a booking, which has none yet
}

// Message is one of the message types below.
type Message interface{ message() }

// Attach tells a leader that the worker serves its shard: sent on a new leader,
// on a reconnection and when the capability changes. Boot differs after every
// start of the worker's process.
type Attach struct {
	Boot       uint64
	Capability Capability
	Free       job.Resources
	FreeSlots  uint32
	Draining   bool
	Held       []Key // of this shard: running, or ended and not acknowledged
}

// Heartbeat renews the leases of what is held. Sent every second.
type Heartbeat struct {
	Boot      uint64
	Free      job.Resources
	FreeSlots uint32
	Draining  bool
	Held      []Key
}

// Book asks for a place for one attempt. The worker holds it for two seconds.
type Book struct {
	Key  Key
	Need job.Resources
}

// Booked says that the place is held.
type Booked struct {
	Key       Key
	Free      job.Resources
	FreeSlots uint32
}

// Refused says that a booking or an assignment was not taken. It costs no retry.
type Refused struct {
	Key       Key // Fence 0: a booking
	Free      job.Resources
	FreeSlots uint32
	Why       string
}

// Assign hands over an attempt that is in the log.
type Assign struct {
	Key      Key
	Term     uint64 // of the leader that sends it
	Offer    []byte // the encoded, signed offer
	Accepted int64  // shard time of the acceptance, for deterministic clocks
	Holders  []string
	Inputs   []TaskOutput // gather task: the outputs of all tasks, by index
}

// TaskOutput is one finished task's output as a gather task's input.
type TaskOutput struct {
	Task    int32
	Attempt uint32
	Fence   uint64
	CID     string // "": the task left no files
	Holders []string
}

// Started says that the attempt runs.
type Started struct{ Key Key }

// Progress is a task's own word on how far it is; best effort.
type Progress struct {
	Key      Key
	Permille uint32 // 0..1000
	Text     string
}

// Report is how an attempt ended. Result is set when it is done; otherwise
// Cause and Detail say why not, and Missing names tasks whose outputs a gather
// attempt could fetch nowhere.
type Report struct {
	Key     Key
	Result  *job.Result
	Cause   job.Cause
	Detail  string
	Missing []TaskOutput
}

// Ack says that the leader has judged a report: accepted, or refused because
// the attempt no longer stood. Either way the worker may forget it.
type Ack struct {
	Key      Key
	Accepted bool
}

// Stop tells the worker to end an attempt that no longer counts.
type Stop struct {
	Key Key
	Why string
}

// Release gives a booking back before its time.
type Release struct{ Key Key }

func (Attach) message()    {}
func (Heartbeat) message() {}
func (Book) message()      {}
func (Booked) message()    {}
func (Refused) message()   {}
func (Assign) message()    {}
func (Started) message()   {}
func (Progress) message()  {}
func (Report) message()    {}
func (Ack) message()       {}
func (Stop) message()      {}
func (Release) message()   {}

func putKey(w *codec.Writer, k Key) {
	w.Fixed(k.Job[:])
	w.Int(int64(k.Task))
	w.Uint(uint64(k.Attempt))
	w.Uint(k.Fence)
}

func getKey(r *codec.Reader) (k Key) {
	copy(k.Job[:], r.Fixed(32))
	k.Task, k.Attempt, k.Fence = job.GetIndex(r), r.Uint32(), r.Uint()
	return k
}

func putKeys(w *codec.Writer, ks []Key) {
	w.Uint(uint64(len(ks)))
	for _, k := range ks {
		putKey(w, k)
	}
}

func getKeys(r *codec.Reader) (ks []Key) {
	for range r.Count(MaxHeld) {
		ks = append(ks, getKey(r))
	}
	return ks
}

func putOutputs(w *codec.Writer, os []TaskOutput) {
	w.Uint(uint64(len(os)))
	for _, o := range os {
		w.Int(int64(o.Task))
		w.Uint(uint64(o.Attempt))
		w.Uint(o.Fence)
		w.String(o.CID)
		w.Strings(o.Holders)
	}
}

func getOutputs(r *codec.Reader) (os []TaskOutput) {
	for range r.Count(job.MaxTasks) {
		os = append(os, TaskOutput{
			Task: job.GetIndex(r), Attempt: r.Uint32(), Fence: r.Uint(), CID: r.String(maxText),
			Holders: r.Strings(job.MaxHolders, maxText),
		})
	}
	return os
}

// Numbers of the messages on the wire; permanent.
const (
	tagAttach = iota + 1
	tagHeartbeat
	tagBook
	tagBooked
	tagRefused
	tagAssign
	tagStarted
	tagProgress
	tagReport
	tagAck
	tagStop
	tagRelease
)

// Encode returns the message's one binary form.
func Encode(m Message) []byte {
	w := codec.NewWriter(make([]byte, 0, 64)) // enough for the most frequent ones
	w.Uint(version)
	switch m := m.(type) {
	case Attach:
		w.Uint(tagAttach)
		w.Uint(m.Boot)
		putCapability(&w, &m.Capability)
		putFree(&w, m.Free, m.FreeSlots)
		w.Bool(m.Draining)
		putKeys(&w, m.Held)
	case Heartbeat:
		w.Uint(tagHeartbeat)
		w.Uint(m.Boot)
		putFree(&w, m.Free, m.FreeSlots)
		w.Bool(m.Draining)
		putKeys(&w, m.Held)
	case Book:
		w.Uint(tagBook)
		putKey(&w, m.Key)
		job.PutResources(&w, m.Need)
	case Booked:
		w.Uint(tagBooked)
		putKey(&w, m.Key)
		putFree(&w, m.Free, m.FreeSlots)
	case Refused:
		w.Uint(tagRefused)
		putKey(&w, m.Key)
		putFree(&w, m.Free, m.FreeSlots)
		w.String(job.Clip(m.Why))
	default:
		encodeAttempt(&w, m)
	}
	return w.Data()
}

func putFree(w *codec.Writer, free job.Resources, slots uint32) {
	job.PutResources(w, free)
	w.Uint(uint64(slots))
}

// encodeAttempt writes the messages that concern an assigned attempt.
func encodeAttempt(w *codec.Writer, m Message) {
	switch m := m.(type) {
	case Assign:
		w.Uint(tagAssign)
		putKey(w, m.Key)
		w.Uint(m.Term)
		w.Bytes(m.Offer)
		w.Int(m.Accepted)
		w.Strings(m.Holders)
		putOutputs(w, m.Inputs)
	case Started:
		w.Uint(tagStarted)
		putKey(w, m.Key)
	case Progress:
		w.Uint(tagProgress)
		putKey(w, m.Key)
		w.Uint(uint64(m.Permille))
		w.String(job.Clip(m.Text))
	case Report:
		w.Uint(tagReport)
		putKey(w, m.Key)
		w.Bool(m.Result != nil)
		if m.Result != nil {
			job.PutResult(w, m.Result)
		}
		w.Uint(uint64(m.Cause))
		w.String(job.Clip(m.Detail))
		putOutputs(w, m.Missing)
	case Ack:
		w.Uint(tagAck)
		putKey(w, m.Key)
		w.Bool(m.Accepted)
	case Stop:
		w.Uint(tagStop)
		putKey(w, m.Key)
		w.String(job.Clip(m.Why))
	case Release:
		w.Uint(tagRelease)
		putKey(w, m.Key)
	}
}

// Decode reads a message from untrusted bytes.
func Decode(b []byte) (Message, error) {
	r := codec.NewReader(b)
	if v := r.Uint(); v != version && r.Err() == nil {
		return nil, fmt.Errorf("work message version %d is not known here; this node speaks %d", v, version)
	}
	m := decode(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("work message: %w", err)
	}
	return m, nil
}

func decode(r *codec.Reader) Message {
	switch tag := r.Uint(); tag {
	case tagAttach:
		return Attach{Boot: r.Uint(), Capability: getCapability(r), Free: job.GetResources(r), FreeSlots: r.Uint32(), Draining: r.Bool(), Held: getKeys(r)}
	case tagHeartbeat:
		return Heartbeat{Boot: r.Uint(), Free: job.GetResources(r), FreeSlots: r.Uint32(), Draining: r.Bool(), Held: getKeys(r)}
	case tagBook:
		return Book{Key: getKey(r), Need: job.GetResources(r)}
	case tagBooked:
		return Booked{Key: getKey(r), Free: job.GetResources(r), FreeSlots: r.Uint32()}
	case tagRefused:
		return Refused{Key: getKey(r), Free: job.GetResources(r), FreeSlots: r.Uint32(), Why: r.String(job.MaxErrorText)}
	case tagAssign:
		return Assign{
			Key: getKey(r), Term: r.Uint(), Offer: r.Bytes(maxAssigned), Accepted: r.Int(),
			Holders: r.Strings(job.MaxHolders, maxText), Inputs: getOutputs(r),
		}
	case tagStarted:
		return Started{Key: getKey(r)}
	case tagProgress:
		return Progress{Key: getKey(r), Permille: r.Uint32(), Text: r.String(job.MaxErrorText)}
	case tagReport:
		m := Report{Key: getKey(r)}
		if r.Bool() {
			m.Result = job.GetResult(r)
		}
		m.Cause, m.Detail, m.Missing = job.GetCause(r), r.String(job.MaxErrorText), getOutputs(r)
		return m
	case tagAck:
		return Ack{Key: getKey(r), Accepted: r.Bool()}
	case tagStop:
		return Stop{Key: getKey(r), Why: r.String(job.MaxErrorText)}
	case tagRelease:
		return Release{Key: getKey(r)}
	default:
		r.Fail(fmt.Errorf("work message %d is not known", tag))
		return nil
	}
}
