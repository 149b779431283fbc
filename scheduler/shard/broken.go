package shard

import (
	"fmt"

	"go.etcd.io/raft/v3/raftpb"
)

// Broken says that this replica has stopped because a log that it was given
// contradicts its own, or cannot be read: a disk that has lost what was synced,
// a member that does not keep to the protocol, or a bug. It does nothing any
// more and nothing of its last Step has happened; the node's other replicas are
// not concerned. A restart of the node tries again from what is on disk.
type Broken struct{ Why string }

func (Broken) action() {}

// contradict ends a Step that must not go on: what was committed cannot be used.
func contradict(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// contain turns a panic into Broken: this package's and raft's own, with which
// they refuse what can never be. The runtime's are bugs and go on.
func (r *Replica) contain(p any) []Action {
	if _, bug := p.(interface{ RuntimeError() }); bug {
		panic(p)
	}
	r.out, r.gone = nil, true
	r.stepDown() // whoever waits is told
	r.do(Broken{Why: fmt.Sprint(p)})
	return r.out
}

// beyond says whether a heartbeat counts on entries that are not here.
func (r *Replica) beyond(m *raftpb.Message) bool {
	last, err := r.store.LastIndex()
	return m.GetType() == raftpb.MsgHeartbeat && err == nil && m.GetCommit() > last
}
