package p2p

import (
	"strings"
	"time"

	pubsub "github.com/libp2p/go-libp2p-pubsub"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"google.golang.org/protobuf/proto"
)

// notAdmittedScore is far below every threshold: nothing is sent to or taken
// from such a peer, and it is itself again the moment it is admitted.
const notAdmittedScore = -1e6

func scoring(h *Host) (*pubsub.PeerScoreParams, *pubsub.PeerScoreThresholds) {
	params := &pubsub.PeerScoreParams{
		Topics:        map[string]*pubsub.TopicScoreParams{},
		TopicScoreCap: 100,
		AppSpecificScore: func(p peer.ID) float64 {
			if !h.Admitted(p) {
				return notAdmittedScore
			}
			return 0
		},
		AppSpecificWeight:           1,
		IPColocationFactorWeight:    -10,
		IPColocationFactorThreshold: 16,
		IPColocationFactorWhitelist: nearbyIPNets(),
		BehaviourPenaltyWeight:      -10,
		BehaviourPenaltyThreshold:   6,
		BehaviourPenaltyDecay:       pubsub.ScoreParameterDecay(time.Hour),
		DecayInterval:               time.Second,
		DecayToZero:                 0.01,
		RetainScore:                 time.Hour,
	}
	return params, &pubsub.PeerScoreThresholds{
		GossipThreshold: -500, PublishThreshold: -1000, GraylistThreshold: -2500,
		AcceptPXThreshold: 1000, OpportunisticGraftThreshold: 3.5,
	}
}

// topicScore makes a topic's parameters: time in the mesh and first deliveries
// earn, n invalid messages cost 200·n² times the topic's weight, missing
// deliveries (P3) cost nothing.
func topicScore(opts []TopicOption) *pubsub.TopicScoreParams {
	p := &pubsub.TopicScoreParams{
		TimeInMeshWeight: 1.0 / 360, TimeInMeshQuantum: time.Second, TimeInMeshCap: 3600,
		InvalidMessageDeliveriesWeight: -200, InvalidMessageDeliveriesDecay: pubsub.ScoreParameterDecay(time.Hour),
	}
	Steady(p)
	for _, o := range opts {
		o(p)
	}
	// P3 and P3b: validated even when their weight is zero.
	p.MeshMessageDeliveriesDecay = pubsub.ScoreParameterDecay(10 * time.Minute)
	p.MeshFailurePenaltyDecay = pubsub.ScoreParameterDecay(10 * time.Minute)
	return p
}

// tracer counts what the router does. It is called from the router's loop, one
// call at a time but for SendRPCCompleted, and must not block.
type tracer struct {
	metrics *metrics
	prefix  string
	mesh    map[string]map[peer.ID]bool // by topic, bounded by the router's own
}

func newTracer(m *metrics, prefix string) *tracer {
	return &tracer{metrics: m, prefix: prefix, mesh: map[string]map[peer.ID]bool{}}
}

func (t *tracer) count(event string) { t.metrics.gossip.WithLabelValues(event).Inc() }

func (t *tracer) measure(topic string) {
	t.metrics.mesh.WithLabelValues(strings.TrimPrefix(topic, t.prefix)).Set(float64(len(t.mesh[topic])))
}

// Graft notes a peer in a topic's mesh.
func (t *tracer) Graft(p peer.ID, topic string) {
	if t.mesh[topic] == nil {
		t.mesh[topic] = map[peer.ID]bool{}
	}
	t.mesh[topic][p] = true
	t.measure(topic)
}

// Prune notes a peer out of a topic's mesh.
func (t *tracer) Prune(p peer.ID, topic string) {
	delete(t.mesh[topic], p)
	t.measure(topic)
}

// OnClosedOutboundStream notes a peer out of every mesh.
func (t *tracer) OnClosedOutboundStream(p peer.ID) {
	for topic, peers := range t.mesh { // any order: each topic by itself
		delete(peers, p)
		t.measure(topic)
	}
}

// Leave forgets the mesh of a topic that was left.
func (t *tracer) Leave(topic string) {
	delete(t.mesh, topic)
	t.metrics.mesh.DeleteLabelValues(strings.TrimPrefix(topic, t.prefix))
}

// DeliverMessage counts messages delivered here.
func (t *tracer) DeliverMessage(*pubsub.Message) { t.count("delivered") }

// RejectMessage counts messages refused or ignored, by reason.
func (t *tracer) RejectMessage(_ *pubsub.Message, reason string) {
	t.metrics.rejected.WithLabelValues(reason).Inc()
}

// DuplicateMessage counts messages that had come before.
func (t *tracer) DuplicateMessage(*pubsub.Message) { t.count("duplicate") }

// UndeliverableMessage counts messages lost to a slow subscriber.
func (t *tracer) UndeliverableMessage(*pubsub.Message) { t.count("slow_subscriber") }

// DropRPC counts what was lost to a full outbound queue.
func (t *tracer) DropRPC(*pubsub.RPC, peer.ID) { t.count("dropped_rpc") }

// RecvRPC counts RPCs in.
func (t *tracer) RecvRPC(r *pubsub.RPC) {
	t.count("received_rpc")
	t.metrics.gossipBytes.WithLabelValues("received").Add(float64(proto.Size(&r.RPC)))
}

// SendRPC counts RPCs out.
func (t *tracer) SendRPC(r *pubsub.RPC, _ peer.ID) {
	t.count("sent_rpc")
	t.metrics.gossipBytes.WithLabelValues("sent").Add(float64(proto.Size(&r.RPC)))
}

// The rest of pubsub.RawTracer is not counted.

// OnNewOutboundStream does nothing.
func (t *tracer) OnNewOutboundStream(peer.ID, protocol.ID) {}

// Join does nothing.
func (t *tracer) Join(string) {}

// ValidateMessage does nothing.
func (t *tracer) ValidateMessage(*pubsub.Message) {}

// ThrottlePeer counts peers that are throttled.
func (t *tracer) ThrottlePeer(peer.ID) { t.count("throttled") }

// SendRPCCompleted does nothing.
func (t *tracer) SendRPCCompleted(*pubsub.RPC, peer.ID, time.Duration) {}
