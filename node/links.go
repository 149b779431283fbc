package node

import (
	"context"
	"errors"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/scheduler/shard"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// links are the streams between nodes: long-lived ones for the cores' messages,
// calls for requests.
type links struct {
	n        *Node
	raft     *p2p.Exchange
	work     *p2p.Exchange
	group    *p2p.Exchange
	hello    *p2p.Calls
	jobs     *p2p.Calls
	chunks   *p2p.Calls
	fetching chan struct{}                // held while a chunk is fetched: one at a time
	batches  map[string]*meshpb.RaftBatch // of the engine's goroutine
}

const (
	linkQueue  = 4096
	linkRate   = 5000 // messages per second and peer, far beyond what a busy one sends
	maxMessage = 16 << 20
	maxBatch   = 4 << 20 // Raft messages beyond that go in a further frame
)

func newLinks(n *Node) *links {
	l := &links{n: n, fetching: make(chan struct{}, 1)}
	l.raft = n.host.Exchange(p2p.ExchangeConfig{Name: "raft", Handler: l.onRaft, Queue: linkQueue, Rate: linkRate, MaxMessage: maxMessage})
	l.work = n.host.Exchange(p2p.ExchangeConfig{Name: "work", Handler: l.onWork, Queue: linkQueue, Rate: linkRate, MaxMessage: 8 << 20})
	l.group = n.host.Exchange(p2p.ExchangeConfig{Name: "group", Handler: n.onGroup, Queue: 1024, Rate: 500})
	l.hello = n.host.Calls(p2p.CallsConfig{Name: "hello", Open: true, Handler: n.onHello, MaxMessage: 1 << 20, MaxPerPeer: 4, Rate: 10})
	l.jobs = n.host.Calls(p2p.CallsConfig{Name: "job", Handler: n.serve, MaxMessage: 8 << 20, MaxPerPeer: 512, Rate: 2000})
	l.chunks = n.host.Calls(p2p.CallsConfig{Name: "snapshot", Handler: n.onFetch, MaxMessage: shard.MaxChunk + 1<<10, MaxPerPeer: 2, Rate: 200})
	return l
}

// send encodes and queues a message; what does not fit in the queue is dropped,
// and its core repeats it.
func (l *links) send(x *p2p.Exchange, to string, m proto.Message) {
	p, err := peer.Decode(to)
	if err != nil {
		return
	}
	raw, err := proto.Marshal(m)
	if err == nil {
		err = x.Send(p, raw)
	}
	if err != nil {
		l.n.log.Debug("message dropped", "to", to, "error", err)
	}
}

// onRaft takes what only coordinators say: they are trusted not to lie, others
// are not heard.
func (l *links) onRaft(from peer.ID, data []byte) {
	if !l.n.dir.coordinates(from) {
		return
	}
	b := &meshpb.RaftBatch{}
	if proto.Unmarshal(data, b) != nil {
		return
	}
	for _, m := range b.Messages {
		l.n.engine.offer(input{shard: m.Shard, event: shard.Received{From: from.String(), Data: m.Data}})
	}
}

func (l *links) onWork(from peer.ID, data []byte) {
	w := &meshpb.Work{}
	if proto.Unmarshal(data, w) != nil || w.Shard >= l.n.net.gen.Shards {
		return
	}
	m, err := work.Decode(w.Message)
	if err != nil {
		l.n.log.Debug("malformed work message", "from", from, "error", err)
		return
	}
	switch m.(type) {
	case work.Book, work.Assign, work.Ack, work.Stop, work.Release:
		if !l.n.dir.coordinates(from) {
			return // a worker that knows no leader would take anybody for one
		}
		l.n.engine.offer(input{worker: worker.Message{Shard: w.Shard, From: from.String(), Msg: m}})
	default:
		l.n.engine.offer(input{shard: w.Shard, event: shard.Heard{From: from.String(), Msg: m}})
	}
}

// raft queues a Raft message for the batch that sendBatches sends. It is part of
// the engine's outlet.
func (n *Node) raft(to string, id uint32, data []byte) {
	if n.links.batches == nil {
		n.links.batches = map[string]*meshpb.RaftBatch{}
	}
	b := n.links.batches[to]
	if b == nil {
		b = &meshpb.RaftBatch{}
		n.links.batches[to] = b
	}
	b.Messages = append(b.Messages, &meshpb.RaftMessage{Shard: id, Data: data})
}

// sent sends the Raft messages of one flush: one frame per node, whatever the
// number of shards. It is part of the engine's outlet.
func (n *Node) sent() {
	// any order: different nodes
	for to, b := range n.links.batches {
		for len(b.Messages) > 0 {
			k, size := 0, 0
			for k < len(b.Messages) && (k == 0 || size+len(b.Messages[k].Data) < maxBatch) {
				size += len(b.Messages[k].Data)
				k++
			}
			n.links.send(n.links.raft, to, &meshpb.RaftBatch{Messages: b.Messages[:k]})
			b.Messages = b.Messages[k:]
		}
	}
	clear(n.links.batches)
}

// work sends a message between a leader and a worker. It is part of the engine's
// outlet.
func (n *Node) work(to string, id uint32, m work.Message) {
	n.links.send(n.links.work, to, &meshpb.Work{Shard: id, Message: work.Encode(m)})
}

// attempt passes the worker core's wishes on to the runner. It is part of the
// engine's outlet.
func (n *Node) attempt(a worker.Action) {
	switch a := a.(type) {
	case worker.Run:
		n.runner.begin(a)
	case worker.Kill:
		n.runner.kill(a.Key, a.Why)
	}
}

// call sends one request to a node and gives its replies to each, in order.
func (l *links) call(ctx context.Context, to string, req *meshpb.JobRequest, each func(*meshpb.JobReply) error) error {
	p, err := peer.Decode(to)
	if err != nil {
		return err
	}
	if to == l.n.self {
		return l.n.answer(ctx, l.n.self, req, each)
	}
	raw, err := proto.Marshal(req)
	if err != nil {
		return err
	}
	return l.jobs.Call(ctx, p, raw, func(b []byte) error {
		r := &meshpb.JobReply{}
		if err := proto.Unmarshal(b, r); err != nil {
			return err
		}
		return each(r)
	})
}

// errNoReply says that a node ended a call without a word.
var errNoReply = errors.New("the node gave no reply")

// one sends a request that has one reply.
func (l *links) one(ctx context.Context, to string, req *meshpb.JobRequest) (*meshpb.JobReply, error) {
	var out *meshpb.JobReply
	err := l.call(ctx, to, req, func(r *meshpb.JobReply) error { out = r; return nil })
	if err == nil && out == nil {
		err = errNoReply
	}
	return out, err
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}
