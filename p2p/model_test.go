package p2p_test

import (
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	"github.com/libp2p/go-libp2p/core/peer"
)

// The model of gossip that package scheduler/sim uses, and its constants: what a
// message costs a subscriber, and how many hops it takes. See there.
const (
	modelDegree   = 8
	modelCopies   = 0.8
	modelEnvelope = 165
	modelIHave    = 38
	modelID       = 48
)

// modelBytes is what a subscriber sends and receives for one message.
func modelBytes(size int) float64 {
	return 2 * (modelDegree*modelCopies*float64(size+modelEnvelope) + modelIHave*modelID)
}

// modelHops returns the mean and the largest number of hops to a subscriber.
func modelHops(subscribers, direct int) (mean, most float64) {
	for at := range subscribers {
		hops := 1.0
		for reached := direct; at >= reached; reached *= modelDegree - 1 {
			hops++
		}
		mean += hops / float64(subscribers)
		most = max(most, hops)
	}
	return mean, most
}

// TestGossipIsAsModelled holds the model of gossip in the simulator against the
// real router: 200 hosts with about 20 connections each, all subscribed to one
// topic. Delivery time and bytes must be within a factor of two.
func TestGossipIsAsModelled(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some ten seconds of processor time")
	}
	synctest.Test(t, func(t *testing.T) {
		const hosts, links, messages, size, latency = 200, 7, 20, 900, 50 * time.Millisecond
		net := p2ptest.New(t, latency)
		defer net.Close()
		m := newMeasuredTopic(t, net, hosts)
		m.connect(t, links)
		time.Sleep(8 * time.Second) // the mesh forms
		quiet := m.bytes(t)
		time.Sleep(5 * time.Second)
		idle := (m.bytes(t) - quiet) / 5
		for i := range messages {
			m.publish(t, i%hosts, size)
			time.Sleep(200 * time.Millisecond)
		}
		time.Sleep(6 * time.Second)
		synctest.Wait()
		loaded := m.bytes(t) - quiet - idle*(5+6+messages/5)
		perMessage := loaded / hosts / messages
		t.Logf("per host: idle %.0f bytes a second, %.0f bytes for a message of %d bytes; the model says %.0f", idle/hosts, perMessage, size, modelBytes(size))
		within2(t, "bytes per message and subscriber", perMessage, modelBytes(size))

		mean, most := m.times(t, messages*(hosts-1))
		wantMean, wantMost := modelHops(hosts, 2*links)
		t.Logf("delivery after %v on average, %v at most; the model says %.2f and %.0f hops of %v", mean, most, wantMean, wantMost, latency)
		within2(t, "mean delivery time in hops", float64(mean)/float64(latency), wantMean)
		within2(t, "longest delivery time in hops", float64(most)/float64(latency), wantMost)
	})
}

func within2(t *testing.T, what string, got, model float64) {
	t.Helper()
	if got > 2*model || model > 2*got {
		t.Errorf("%s: %.2f, the model says %.2f: not within a factor of two", what, got, model)
	}
}

// measuredTopic is a topic to which many hosts subscribe.
type measuredTopic struct {
	hosts  []*p2p.Host
	topics []*p2p.Topic

	mu   sync.Mutex
	sent map[byte]time.Time
	took []time.Duration
}

func newMeasuredTopic(t *testing.T, net *p2ptest.Net, n int) *measuredTopic {
	t.Helper()
	m := &measuredTopic{sent: map[byte]time.Time{}}
	for range n {
		h := net.Host(func(c *p2p.Config) { c.DHT, c.Protocol = p2p.DHTClient, "/ciro/0123456789abcdef" })
		topic, err := h.Topic("shards", nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := topic.Subscribe(func(from peer.ID, data []byte) { m.heard(h.ID() == from, data[0]) }); err != nil {
			t.Fatal(err)
		}
		m.hosts, m.topics = append(m.hosts, h), append(m.topics, topic)
	}
	return m
}

func (m *measuredTopic) heard(own bool, id byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !own {
		m.took = append(m.took, time.Since(m.sent[id]))
	}
}

// connect gives each host that many connections to random others, beside those
// that others make to it.
func (m *measuredTopic) connect(t *testing.T, links int) {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, 2))
	var wg sync.WaitGroup
	for _, h := range m.hosts {
		for range links {
			to := m.hosts[rng.IntN(len(m.hosts))]
			wg.Go(func() {
				if err := h.Connect(t.Context(), p2ptest.Info(to)); err != nil {
					t.Error(err)
				}
			})
		}
	}
	wg.Wait()
}

func (m *measuredTopic) publish(t *testing.T, from, size int) {
	t.Helper()
	m.mu.Lock()
	id := byte(len(m.sent))
	m.sent[id] = time.Now()
	m.mu.Unlock()
	data := make([]byte, size)
	data[0] = id
	if err := m.topics[from].Publish(t.Context(), data); err != nil {
		t.Fatal(err)
	}
}

// bytes is what all routers have sent and received.
func (m *measuredTopic) bytes(t *testing.T) float64 {
	t.Helper()
	total := 0.0
	for _, h := range m.hosts {
		n, err := h.GossipBytes()
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// times returns the mean and the longest delivery time of so many deliveries.
func (m *measuredTopic) times(t *testing.T, want int) (mean, most time.Duration) {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.took) != want {
		t.Fatalf("%d messages were delivered, want %d", len(m.took), want)
	}
	sum := time.Duration(0)
	for _, d := range m.took {
		sum += d
	}
	return sum / time.Duration(want), slices.Max(m.took)
}
