package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/scheduler/work"
)

// Times of adverts.
const (
	advertEvery = 5 * time.Minute
	advertLife  = 3 * advertEvery
	maxAdverts  = 20_000
	// advertDebounce lets several changes by an operator be one advert.
	advertDebounce = time.Second
)

var errMalformedAdvert = errors.New("malformed advert")

// advertStarts are the pauses before the first adverts: the first may be said
// before the topic's mesh is there.
var advertStarts = [...]time.Duration{2 * time.Second, 30 * time.Second}

// adverts are the capabilities that workers gossip. They are a hint: a leader
// that hears one of a worker that is not attached to it says hello, so that the
// worker learns who leads. What a leader decides on comes over the work stream.
type adverts struct {
	mu   sync.Mutex
	seen map[peer.ID]advert
}

// advert is the newest advert of a worker.
type advert struct {
	sequence uint64
	expires  time.Time
	name     string
	work.Attach
}

// judge checks an advert before it is forwarded: only newer ones, never expired
// ones, and a worker speaks for itself alone, since the author signs.
func (a *adverts) judge(from peer.ID, data []byte) p2p.Verdict {
	m, _, err := decodeAdvert(data)
	if err != nil {
		return p2p.Reject
	}
	until := time.UnixMilli(m.Expires)
	if now := time.Now(); until.Before(now) || until.After(now.Add(2*advertLife)) {
		return p2p.Ignore
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if old, ok := a.seen[from]; ok && old.sequence > m.Sequence {
		return p2p.Ignore
	}
	return p2p.Accept
}

func decodeAdvert(data []byte) (*meshpb.Advert, work.Attach, error) {
	m := &meshpb.Advert{}
	if err := proto.Unmarshal(data, m); err != nil {
		return nil, work.Attach{}, err
	}
	msg, err := work.Decode(m.Attach)
	at, ok := msg.(work.Attach)
	if err == nil && (!ok || len(m.Name) > 128) {
		err = errMalformedAdvert
	}
	return m, at, err
}

// take keeps an advert; the table is bounded, expired ones go first.
func (a *adverts) take(from peer.ID, m *meshpb.Advert, at work.Attach) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.seen) >= maxAdverts {
		now := time.Now()
		// any order: each is judged alone
		for p, old := range a.seen {
			if old.expires.Before(now) {
				delete(a.seen, p)
			}
		}
		if len(a.seen) >= maxAdverts {
			return
		}
	}
	a.seen[from] = advert{sequence: m.Sequence, expires: time.UnixMilli(m.Expires), name: m.Name, Attach: at}
}

// all returns the adverts that have not expired.
func (a *adverts) all() map[peer.ID]advert {
	a.mu.Lock()
	defer a.mu.Unlock()
	out, now := make(map[peer.ID]advert, len(a.seen)), time.Now()
	// any order: a copy
	for p, ad := range a.seen {
		if ad.expires.After(now) {
			out[p] = ad
		}
	}
	return out
}

// heardAdvert takes an advert in a topic that this node follows as a voter.
func (g *gossip) heardAdvert(from peer.ID, shard uint32, data []byte) {
	m, at, err := decodeAdvert(data)
	if err != nil || from == g.n.host.ID() {
		return
	}
	g.adverts.take(from, m, at)
	if g.n.dir.shard(shard).Leader != g.n.self {
		return
	}
	g.n.background(func(ctx context.Context) {
		attached := true
		err := g.n.engine.query(ctx, func(e *engine) {
			r := e.replicas[shard]
			attached = r == nil || r.Attached(from.String())
		})
		if err == nil && !attached {
			err = g.n.sayHello(ctx, from)
		}
		if err != nil {
			g.n.log.Debug("worker that advertised is not reachable", "worker", from, "error", err)
		}
	})
}

// advertise gossips this worker's capability, in the topics of the shards that
// it serves, without subscribing to them.
func (n *Node) advertise(ctx context.Context) error {
	for sequence := 0; ; sequence++ {
		wait := advertEvery - time.Duration(rand.Int64N(int64(advertEvery/4)))
		if sequence < len(advertStarts) {
			wait = advertStarts[sequence]
		}
		select {
		case <-n.changed:
			wait = advertDebounce
		case <-time.After(wait):
			wait = 0
		case <-ctx.Done():
			return nil
		}
		if pause(ctx, wait); ctx.Err() != nil {
			return nil
		}
		var draining bool
		if n.engine.query(ctx, func(e *engine) { draining = e.worker.Status().Draining }) != nil {
			return nil
		}
		offered := n.runner.offered()
		m := &meshpb.Advert{
			Attach:   work.Encode(work.Attach{Capability: offered, Free: offered.Total, Draining: draining}),
			Sequence: uint64(time.Now().UnixMilli()), Expires: time.Now().Add(advertLife).UnixMilli(), Name: n.cfg.Name,
		}
		for _, id := range n.serves {
			n.gossip.publish(ctx, n.gossip.workers[id], m)
		}
	}
}
