package worker

import (
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// Event is one thing that happened to a worker: one of the types below.
type Event interface{ event() }

// Tick lets time pass.
type Tick struct{}

// Leader says who leads a shard that this node serves. An empty Peer means that
// nobody knows; it also ends the service of a shard. News of an older term than
// the newest known are ignored; Term 0 means that the term is not known.
type Leader struct {
	Shard uint32
	Peer  string
	Term  uint64
}

// Message is a message from an authenticated peer that concerns a shard.
type Message struct {
	Shard uint32
	From  string
	Msg   work.Message
}

// Started says that the executor has begun an attempt.
type Started struct{ Key work.Key }

// Progressed is a running attempt's own word on how far it is.
type Progressed struct {
	Key      work.Key
	Permille uint32 // 0..1000
	Text     string
}

// Finished says that an attempt has ended, by itself or killed, and holds
// nothing any more. The report's own key does not count.
type Finished struct {
	Key    work.Key
	Report work.Report
}

// Drain starts or ends draining: what runs goes on, nothing new is taken.
type Drain struct{ On bool }

// Capability replaces what the node offers.
type Capability struct{ work.Capability }

// HandBack reports all that runs as drained and kills it; draining begins.
type HandBack struct{}

func (Tick) event()       {}
func (Leader) event()     {}
func (Message) event()    {}
func (Started) event()    {}
func (Progressed) event() {}
func (Finished) event()   {}
func (Drain) event()      {}
func (Capability) event() {}
func (HandBack) event()   {}

// Action is one thing that the owner must do: one of the types below. They are
// performed in order.
type Action interface{ action() }

// Send carries a message to the leader of a shard. It may be lost.
type Send struct {
	Shard uint32
	To    string
	Msg   work.Message
}

// Run starts an attempt. The owner answers with Started and, exactly once,
// Finished.
type Run struct {
	Shard  uint32
	Assign work.Assign
	Need   job.Resources
}

// Kill ends an attempt that was started by Run. Finished follows as ever.
type Kill struct {
	Key work.Key
	Why string
}

// Keep stores a report; it must be durable before any later action is performed.
type Keep struct {
	Shard  uint32
	Report work.Report
}

// Forget deletes the kept report of an attempt.
type Forget struct{ Key work.Key }

func (Send) action()   {}
func (Run) action()    {}
func (Kill) action()   {}
func (Keep) action()   {}
func (Forget) action() {}
