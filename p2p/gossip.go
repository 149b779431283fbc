package p2p

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

const (
	maxGossip      = 1 << 20 // bytes of one message, framing included
	gossipQueue    = 4096    // outbound per peer, and before validation
	topicBuffer    = 1024    // per subscription
	maxTopicsKnown = 8192    // distinct topics of others that are tracked
	maxTopicName   = 200
	maxRPCTopics   = 1024 // subscriptions in one RPC
)

// Verdict is what a Validator thinks of a message.
type Verdict int

const (
	// Accept delivers the message and forwards it.
	Accept Verdict = iota
	// Ignore drops it without blame: stale, duplicate, not for now.
	Ignore
	// Reject drops it and costs the forwarder score: only for what every honest
	// node rejects as well, such as a bad signature.
	Reject
)

// Validator judges a message before it is delivered or forwarded, and also our
// own before it leaves. from is the author, authenticated. It runs inline, on
// several goroutines: it must be quick and must not block.
type Validator func(from peer.ID, data []byte) Verdict

// Topic is a gossip topic of the network. Having one allows to publish;
// receiving needs Subscribe, and without it this host forwards nothing either.
type Topic struct {
	h     *Host
	name  string
	topic *pubsub.Topic
}

// gossip is the router and what surrounds it.
type gossip struct {
	router *pubsub.PubSub
	filter *topicFilter
	mu     sync.Mutex
	topics map[string]*Topic
}

func newGossip(ctx context.Context, h *Host) (*gossip, error) {
	g := &gossip{topics: map[string]*Topic{}, filter: &topicFilter{prefix: h.topicName(""), own: map[string]bool{}, others: map[string]bool{}}}
	params := pubsub.DefaultGossipSubParams()
	params.D, params.Dlo, params.Dhi, params.Dscore, params.Dout = 8, 6, 12, 5, 3
	params.HistoryLength, params.HistoryGossip = 10, 4
	score, thresholds := scoring(h)
	var err error
	g.router, err = pubsub.NewGossipSub(ctx, h.host,
		pubsub.WithGossipSubParams(params),
		pubsub.WithGossipSubProtocols([]protocol.ID{h.gossipProtocol()}, features),
		pubsub.WithPeerScore(score, thresholds),
		pubsub.WithMaxMessageSize(maxGossip),
		// With the default of 32, a burst of 100 messages loses a third for good.
		pubsub.WithPeerOutboundQueueSize(gossipQueue), pubsub.WithValidateQueueSize(gossipQueue),
		// Our own messages go to all subscribers we know: a mesh that is still
		// forming would lose them.
		pubsub.WithFloodPublish(true),
		pubsub.WithSubscriptionFilter(g.filter),
		pubsub.WithPeerFilter(func(p peer.ID, _ string) bool { return h.Admitted(p) }),
		pubsub.WithAppSpecificRpcInspector(h.inspect),
		pubsub.WithRawTracer(newTracer(h.metrics, h.topicName(""))))
	return g, err
}

func (h *Host) gossipProtocol() protocol.ID { return h.Protocol("meshsub/1.2.0") }

// features is what our sealed protocol can do: GossipSub 1.2.
func features(f pubsub.GossipSubFeature, _ protocol.ID) bool {
	return f != pubsub.GossipSubFeatureExtensions
}

// inspect strips all but subscriptions from a peer that is not admitted. The
// subscriptions stay, since a peer announces them once and may be admitted later.
func (h *Host) inspect(p peer.ID, rpc *pubsub.RPC) error {
	if !h.Admitted(p) {
		rpc.Publish, rpc.Control = nil, nil
	}
	return nil
}

func (h *Host) topicName(name string) string { return h.cfg.Protocol + "/topic/" + name }

// TopicOption tunes a topic.
type TopicOption func(*pubsub.TopicScoreParams)

// Topic opens the topic name, below the network's prefix, with a validator (nil
// accepts all). It may be opened once; open it before Run if possible. It does
// not subscribe. Options: Bursty, Periodic, Steady.
func (h *Host) Topic(name string, v Validator, opts ...TopicOption) (*Topic, error) {
	g := h.gossip
	g.mu.Lock()
	defer g.mu.Unlock()
	full := h.topicName(name)
	if name == "" || len(full) > maxTopicName {
		return nil, fmt.Errorf("p2p: topic name %q must have 1 to %d bytes", name, maxTopicName-len(h.topicName("")))
	}
	if _, ok := g.topics[name]; ok {
		return nil, fmt.Errorf("p2p: topic %q is open already", name)
	}
	g.filter.add(full)
	if v != nil {
		if err := g.router.RegisterTopicValidator(full, h.validator(v), pubsub.WithValidatorInline(true)); err != nil {
			return nil, fmt.Errorf("p2p: topic %q: validator: %w", name, err)
		}
	}
	t, err := g.router.Join(full)
	if err == nil {
		err = t.SetScoreParams(topicScore(opts))
	}
	if err != nil {
		return nil, fmt.Errorf("p2p: topic %q: %w", name, err)
	}
	g.topics[name] = &Topic{h: h, name: name, topic: t}
	return g.topics[name], nil
}

func (h *Host) validator(v Validator) pubsub.ValidatorEx {
	return func(_ context.Context, forwarder peer.ID, m *pubsub.Message) pubsub.ValidationResult {
		if !h.Admitted(forwarder) {
			return pubsub.ValidationIgnore
		}
		switch v(m.GetFrom(), m.Data) {
		case Accept:
			return pubsub.ValidationAccept
		case Reject:
			return pubsub.ValidationReject
		default:
			return pubsub.ValidationIgnore
		}
	}
}

// Publish sends data to the subscribers of the topic and returns at once; that
// there are none is no error. Data that our own validator does not accept is
// refused. It must not be changed afterwards.
func (t *Topic) Publish(ctx context.Context, data []byte) error {
	if t.h.ctx.Err() != nil {
		return ErrClosed
	}
	if err := t.topic.Publish(ctx, data); err != nil {
		return fmt.Errorf("p2p: publish on %s: %w", t.name, err)
	}
	t.h.metrics.gossip.WithLabelValues("published").Inc()
	return nil
}

// Subscribe joins the topic and calls handler for each message of others and
// our own, from one goroutine. from is the author. While the handler is 1024
// messages behind, further ones are dropped and counted. stop ends it without
// waiting for a handler that is running; coming back within 10 s leaves this
// host out of the mesh for a while.
func (t *Topic) Subscribe(handler func(from peer.ID, data []byte)) (stop func(), err error) {
	sub, err := t.topic.Subscribe(pubsub.WithBufferSize(topicBuffer))
	if err != nil {
		return nil, fmt.Errorf("p2p: subscribe to %s: %w", t.name, err)
	}
	done := make(chan struct{})
	ok := t.h.spawn(func(ctx context.Context) {
		// When the host ends, the subscription is not taken back: that would have
		// others refuse this host's topics for 10 s, and punish it if it is back by then.
		for {
			m, err := sub.Next(ctx)
			if err != nil {
				return
			}
			select {
			case <-done:
				return
			default:
				handler(m.GetFrom(), m.Data)
			}
		}
	})
	if !ok {
		sub.Cancel()
		return nil, ErrClosed
	}
	return sync.OnceFunc(func() { close(done); sub.Cancel() }), nil
}

// Peers are the admitted peers known to subscribe to the topic.
func (t *Topic) Peers() []peer.ID {
	var out []peer.ID
	for _, p := range t.topic.ListPeers() {
		if t.h.Admitted(p) {
			out = append(out, p)
		}
	}
	return out
}

// subscribes says whether p is known to subscribe to any topic opened here.
func (h *Host) subscribes(p peer.ID) bool {
	h.gossip.mu.Lock()
	defer h.gossip.mu.Unlock()
	for _, t := range h.gossip.topics { // any order: one is enough
		if slices.Contains(t.topic.ListPeers(), p) {
			return true
		}
	}
	return false
}

// topicFilter tracks only topics of this network, and not without bound.
type topicFilter struct {
	prefix string
	mu     sync.Mutex
	own    map[string]bool
	others map[string]bool
}

func (f *topicFilter) add(topic string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.own[topic] = true
}

// CanSubscribe allows the topics that were opened. The router calls it.
func (f *topicFilter) CanSubscribe(topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.own[topic]
}

// FilterIncomingSubscriptions keeps subscriptions to topics of this network, as
// long as the table has room. The router calls it.
func (f *topicFilter) FilterIncomingSubscriptions(_ peer.ID, subs []*pb.RPC_SubOpts) ([]*pb.RPC_SubOpts, error) {
	if len(subs) > maxRPCTopics {
		return nil, errors.New("too many subscriptions")
	}
	return pubsub.FilterSubscriptions(subs, f.known), nil
}

func (f *topicFilter) known(topic string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.own[topic] || f.others[topic] {
		return true
	}
	if !strings.HasPrefix(topic, f.prefix) || len(topic) > maxTopicName || len(f.others) >= maxTopicsKnown {
		return false
	}
	f.others[topic] = true
	return true
}

// The score parameters of a kind of topic: what delivering first is worth.
// Silence is never held against a peer: topics here may be quiet for hours.

// Bursty is for topics such as offers.
func Bursty(p *pubsub.TopicScoreParams) {
	p.TopicWeight, p.FirstMessageDeliveriesWeight, p.FirstMessageDeliveriesCap = 0.5, 1, 50
	p.FirstMessageDeliveriesDecay = pubsub.ScoreParameterDecay(time.Hour)
}

// Periodic is for topics such as capability records.
func Periodic(p *pubsub.TopicScoreParams) {
	p.TopicWeight, p.FirstMessageDeliveriesWeight, p.FirstMessageDeliveriesCap = 0.25, 0.1, 200
	p.FirstMessageDeliveriesDecay = pubsub.ScoreParameterDecay(10 * time.Minute)
}

// Steady is for topics such as coordinators' summaries, once a second. It is
// the default.
func Steady(p *pubsub.TopicScoreParams) {
	p.TopicWeight, p.FirstMessageDeliveriesWeight, p.FirstMessageDeliveriesCap = 1, 0.5, 100
	p.FirstMessageDeliveriesDecay = pubsub.ScoreParameterDecay(10 * time.Minute)
}
