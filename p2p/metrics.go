package p2p

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the host's own counters; libp2p registers its own beside them.
// They count even when nobody registered for them.
type metrics struct {
	registerer prometheus.Registerer
	registered []prometheus.Collector

	exchangeSent     *prometheus.CounterVec // by exchange
	exchangeReceived *prometheus.CounterVec // by exchange
	exchangeDropped  *prometheus.CounterVec // by exchange and reason
	calls            *prometheus.CounterVec // by service and side
	gossip           *prometheus.CounterVec // by event
	gossipBytes      *prometheus.CounterVec // by direction
	rejected         *prometheus.CounterVec // by reason
	mesh             *prometheus.GaugeVec   // by topic
}

func newMetrics(r prometheus.Registerer, h *Host) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "ciro", Name: name, Help: help}, labels)
	}
	m := &metrics{
		registerer:       r,
		exchangeSent:     counter("exchange_sent_total", "Messages handed to the transport.", "exchange"),
		exchangeReceived: counter("exchange_received_total", "Messages received.", "exchange"),
		exchangeDropped:  counter("exchange_dropped_total", "Messages not sent, by reason.", "exchange", "reason"),
		calls:            counter("calls_total", "Calls begun, by side.", "service", "side"),
		gossip:           counter("gossip_total", "Gossip events: published and received messages, duplicates, drops.", "event"),
		gossipBytes:      counter("gossip_bytes_total", "Bytes of the gossip router's messages, before the transport.", "direction"),
		rejected:         counter("gossip_rejected_total", "Gossip messages not delivered, by reason.", "reason"),
		mesh: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "ciro", Name: "gossip_mesh_peers", Help: "Peers in the gossip mesh of a topic."}, []string{"topic"}),
	}
	if r == nil {
		return m, nil
	}
	peers := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "ciro", Name: "peers", Help: "Connected peers."},
		func() float64 { return float64(len(h.connected())) })
	routing := prometheus.NewGaugeFunc(prometheus.GaugeOpts{Namespace: "ciro", Name: "dht_routing_peers", Help: "Peers in the DHT routing table."},
		func() float64 { return float64(h.RoutingSize()) })
	for _, c := range []prometheus.Collector{m.exchangeSent, m.exchangeReceived, m.exchangeDropped, m.calls, m.gossip, m.gossipBytes, m.rejected, m.mesh, peers, routing} {
		if err := r.Register(c); err != nil {
			m.unregister()
			return nil, fmt.Errorf("register metrics (each host needs a registerer of its own): %w", err)
		}
		m.registered = append(m.registered, c)
	}
	return m, nil
}

func (m *metrics) unregister() {
	for _, c := range m.registered {
		m.registerer.Unregister(c)
	}
	m.registered = nil
}
