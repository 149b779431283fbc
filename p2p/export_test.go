package p2p

import "github.com/prometheus/client_golang/prometheus"

// GossipBytes is what the host's router has sent and received, together.
func (h *Host) GossipBytes() (total float64, err error) {
	r := prometheus.NewRegistry()
	if err := r.Register(h.metrics.gossipBytes); err != nil {
		return 0, err
	}
	families, err := r.Gather()
	if err != nil {
		return 0, err
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			total += m.GetCounter().GetValue()
		}
	}
	return total, nil
}
