package node

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/scheduler/job"
)

// Bounds of gossiped batches.
const (
	maxOffersPerBatch  = 64
	maxReportsPerBatch = maxShards
	offerLinger        = 5 * time.Millisecond
	maxUnaccepted      = 4096
)

// checkOffer decodes an offer and verifies all that does not need the shard's
// state: network, signature, time.
func (n *network) checkOffer(raw []byte) (*job.Offer, error) {
	o, err := job.DecodeOffer(raw)
	if err != nil {
		return nil, err
	}
	if o.Network != n.id {
		return nil, fmt.Errorf("the offer is for network %x…, this one is %x…", o.Network[:6], n.id[:6])
	}
	if err := o.CheckTime(time.Now()); err != nil {
		return nil, err
	}
	if !ed25519.Verify(o.ClientKey, o.Body(), o.Signature) {
		return nil, fmt.Errorf("the offer's signature does not match its key")
	}
	return o, nil
}

// gossip holds this node's topics.
type gossip struct {
	n      *Node
	shards *p2p.Topic
	kick   chan struct{} // offers wait

	offers  map[uint32]*p2p.Topic // never changed after newGossip
	workers map[uint32]*p2p.Topic // the same
	adverts adverts

	mu     sync.Mutex // guards what follows
	stops  map[uint32][]func()
	unsaid map[uint32][]announced
}

// announced is an offer that is said again, with back-off, until it is accepted.
type announced struct {
	id    job.ID
	raw   []byte
	next  time.Time
	pause time.Duration
	until time.Time
}

func newGossip(n *Node) (*gossip, error) {
	g := &gossip{n: n, kick: make(chan struct{}, 1), offers: map[uint32]*p2p.Topic{}, workers: map[uint32]*p2p.Topic{},
		adverts: adverts{seen: map[peer.ID]advert{}}, stops: map[uint32][]func(){}, unsaid: map[uint32][]announced{}}
	t, err := n.host.Topic("shards", g.judgeReports)
	if err != nil {
		return nil, fmt.Errorf("topic shards: %w", err)
	}
	g.shards = t
	for id := range n.net.gen.Shards {
		t, err := n.host.Topic("offers/"+strconv.Itoa(int(id)), g.judgeOffers(id))
		if err != nil {
			return nil, fmt.Errorf("topic offers/%d: %w", id, err)
		}
		g.offers[id] = t
		if g.workers[id], err = n.host.Topic("workers/"+strconv.Itoa(int(id)), g.adverts.judge, p2p.Periodic); err != nil {
			return nil, fmt.Errorf("topic workers/%d: %w", id, err)
		}
	}
	return g, nil
}

func (g *gossip) judgeReports(from peer.ID, data []byte) p2p.Verdict {
	m := &meshpb.ShardReports{}
	if proto.Unmarshal(data, m) != nil || len(m.Reports) > maxReportsPerBatch {
		return p2p.Reject
	}
	for _, r := range m.Reports {
		if r.Leader != from.String() || len(r.Voters) > 16 || len(r.Learners) > 16 {
			return p2p.Reject // a node speaks for the shards that it leads, only
		}
	}
	return p2p.Accept
}

func (g *gossip) judgeOffers(id uint32) p2p.Validator {
	return func(_ peer.ID, data []byte) p2p.Verdict {
		m := &meshpb.Offers{}
		if proto.Unmarshal(data, m) != nil || len(m.Offers) > maxOffersPerBatch {
			return p2p.Reject
		}
		for _, raw := range m.Offers {
			o, err := job.DecodeOffer(raw)
			if err != nil || o.Network != g.n.net.id || o.ID().Shard(g.n.net.gen.Shards) != id {
				return p2p.Reject
			}
			if o.CheckTime(time.Now()) != nil {
				return p2p.Ignore
			}
			if !ed25519.Verify(o.ClientKey, o.Body(), o.Signature) {
				return p2p.Reject
			}
		}
		return p2p.Accept
	}
}

// follow subscribes to the offers and the adverts of the shards in which this
// node has a replica, and to no others.
func (g *gossip) follow(shard uint32, member bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	stops := g.stops[shard]
	switch {
	case member && stops == nil:
		for topic, heard := range map[*p2p.Topic]func(peer.ID, uint32, []byte){
			g.offers[shard]: g.heardOffers, g.workers[shard]: g.heardAdvert,
		} {
			stop, err := topic.Subscribe(func(from peer.ID, data []byte) { heard(from, shard, data) })
			if err != nil {
				g.n.log.Warn("cannot subscribe to a shard's topics", "shard", shard, "error", err)
				continue
			}
			g.stops[shard] = append(g.stops[shard], stop)
		}
	case !member && stops != nil:
		delete(g.stops, shard)
		for _, stop := range stops {
			stop()
		}
	}
}

// heardOffers brings gossiped offers to the shard if this node leads it.
func (g *gossip) heardOffers(from peer.ID, shard uint32, data []byte) {
	m := &meshpb.Offers{}
	if from == g.n.host.ID() || proto.Unmarshal(data, m) != nil || g.n.dir.shard(shard).Leader != g.n.self {
		return
	}
	for _, raw := range m.Offers {
		g.n.background(func(ctx context.Context) {
			ctx, cancel := context.WithTimeout(ctx, acceptTimeout)
			defer cancel()
			// Its client asks directly too and is told there what became of it.
			if r := g.n.accept(ctx, from.String(), &meshpb.Submit{Offer: raw, Holders: []string{from.String()}}); r.Code != "" {
				g.n.log.Debug("gossiped offer not accepted", "from", from, "code", r.Code, "reason", r.Message)
			}
		})
	}
}

// announce says an offer in its shard's topic until accepted is called.
func (g *gossip) announce(o *job.Offer, raw []byte) {
	id := o.ID()
	shard := id.Shard(g.n.net.gen.Shards)
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.unsaid[shard]) >= maxUnaccepted {
		return // the direct way is still there
	}
	g.unsaid[shard] = append(g.unsaid[shard], announced{
		id: id, raw: raw, next: time.Now(), pause: time.Second, until: time.UnixMilli(o.NotAfter),
	})
	select {
	case g.kick <- struct{}{}:
	default: // it is awake already
	}
}

// accepted ends the announcing of an offer.
func (g *gossip) accepted(id job.ID) {
	shard := id.Shard(g.n.net.gen.Shards)
	g.mu.Lock()
	defer g.mu.Unlock()
	g.unsaid[shard] = slices.DeleteFunc(g.unsaid[shard], func(a announced) bool { return a.id == id })
}

// sayAgain lets a shard's unaccepted offers be said soon, however long their
// pauses had become: gossip does not replay what was lost.
func (g *gossip) sayAgain(shard uint32) {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	for i := range g.unsaid[shard] {
		g.unsaid[shard][i].next, g.unsaid[shard][i].pause = now, time.Second
	}
}

// dueOffers takes the offers whose time has come, by shard, in batches.
func (g *gossip) dueOffers(now time.Time) map[uint32][]*meshpb.Offers {
	g.mu.Lock()
	defer g.mu.Unlock()
	out := map[uint32][]*meshpb.Offers{}
	for shard, list := range g.unsaid {
		list = slices.DeleteFunc(list, func(a announced) bool { return now.After(a.until) })
		g.unsaid[shard] = list
		var batch *meshpb.Offers
		for i := range list {
			if a := &list[i]; !now.Before(a.next) {
				if batch == nil || len(batch.Offers) == maxOffersPerBatch {
					batch = &meshpb.Offers{}
					out[shard] = append(out[shard], batch)
				}
				batch.Offers = append(batch.Offers, a.raw)
				a.next, a.pause = now.Add(a.pause), min(2*a.pause, time.Minute)
			}
		}
	}
	return out
}

// run listens to who leads what and publishes the offers that wait.
func (g *gossip) run(ctx context.Context) error {
	// Never taken back: a node that left the topic and is there again within 10 s
	// would be refused.
	_, err := g.shards.Subscribe(func(_ peer.ID, data []byte) {
		m := &meshpb.ShardReports{}
		if proto.Unmarshal(data, m) != nil {
			return
		}
		for _, r := range m.Reports {
			g.n.learn(r, true)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to shards: %w", err)
	}
	again := time.NewTicker(500 * time.Millisecond)
	defer again.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.kick: // let a few more join the batch
			pause(ctx, offerLinger)
		case <-again.C:
		}
		for shard, batches := range g.dueOffers(time.Now()) {
			for _, b := range batches {
				g.publish(ctx, g.offers[shard], b)
			}
		}
	}
}

func (g *gossip) publish(ctx context.Context, t *p2p.Topic, m proto.Message) {
	raw, err := proto.Marshal(m)
	if err == nil {
		err = t.Publish(ctx, raw)
	}
	if err != nil && ctx.Err() == nil {
		g.n.log.Debug("gossip not published", "error", err)
	}
}
