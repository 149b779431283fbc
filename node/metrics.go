package node

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ciro-network/ciro/scheduler/job"
)

// metrics collects what the node's cores know at the moment of a scrape. The
// parts below (p2p, executor) register their own.
type metrics struct {
	n *Node

	batches, records, open, mismatches *prometheus.Desc

	jobs, tasks, shards, noops, applied, attempts, members, inbox *prometheus.Desc
}

// meters are the registry and what is counted as it happens.
type meters struct {
	reg     *prometheus.Registry
	refused *prometheus.CounterVec // submissions that a shard led here did not take
}

func newMeters() meters {
	m := meters{reg: prometheus.NewRegistry(), refused: prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "ciro_submissions_refused_total", Help: "Submissions that a coordinator here did not take, by reason code.",
	}, []string{"reason"})}
	m.reg.MustRegister(m.refused)
	return m
}

func newMetrics(n *Node) *metrics {
	d := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ciro_"+name, help, labels, nil)
	}
	return &metrics{
		n:        n,
		jobs:     d("jobs", "Jobs in the shards that this node leads, by state and type.", "state", "type"),
		tasks:    d("tasks", "Tasks of jobs that have not ended in the shards that this node leads, by state.", "state"),
		shards:   d("shards", "Shards by this node's part in them.", "part"),
		noops:    d("log_noops_total", "Commands that no longer matched when they were applied, over this node's replicas."),
		applied:  d("log_applied_index", "Sum of the applied log indexes of this node's replicas."),
		attempts: d("attempts_running", "Attempts under way on this node."),
		members:  d("members", "Connected nodes that said hello."),
		inbox:    d("engine_inbox", "Inputs that wait for the engine."),

		batches:    d("anchor_batches", "Batches in the shards that this node leads, by how far their anchor is.", "state"),
		records:    d("anchor_records", "Records in anchored batches of the shards that this node leads."),
		open:       d("anchor_open_records", "Records that are in no batch yet, in the shards that this node leads."),
		mismatches: d("anchor_mismatches", "Ledger entries at which this node disagrees with what was anchored."),
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(c chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{m.jobs, m.tasks, m.shards, m.noops, m.applied, m.attempts, m.members, m.inbox, m.batches, m.records, m.open, m.mismatches} {
		c <- d
	}
}

// counts is what one look at the cores gives.
type counts struct {
	jobs           map[[2]string]int
	tasks          map[string]int
	leads, follows int
	noops, applied uint64

	anchored, records uint64
	pending, open     int
}

func (m *metrics) look(ctx context.Context) (counts, error) {
	c := counts{jobs: map[[2]string]int{}, tasks: map[string]int{}}
	err := m.n.engine.query(ctx, func(e *engine) {
		for _, r := range e.replicas {
			h := r.Health()
			c.noops += h.Noops
			c.applied += h.Applied
			if !h.Mine {
				c.follows++
				continue
			}
			c.leads++
			a := &r.State().Anchoring
			c.anchored, c.records = c.anchored+a.Head.Seq, c.records+a.First
			c.pending, c.open = c.pending+len(a.Cuts), c.open+a.Open()
			for _, j := range r.State().Jobs {
				c.jobs[[2]string{j.State.String(), j.Spec.Type}]++
				if !j.State.Terminal() {
					for s := job.Queued; s <= job.Dead; s++ {
						c.tasks[s.String()] += int(j.Count(s))
					}
				}
			}
		}
	})
	return c, err
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	c, err := m.look(ctx)
	if err != nil {
		return // a stopping node has nothing to say
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for k, v := range c.jobs {
		gauge(m.jobs, float64(v), k[0], k[1])
	}
	for k, v := range c.tasks {
		gauge(m.tasks, float64(v), k)
	}
	gauge(m.shards, float64(c.leads), "leader")
	gauge(m.shards, float64(c.follows), "follower")
	out <- prometheus.MustNewConstMetric(m.noops, prometheus.CounterValue, float64(c.noops))
	gauge(m.applied, float64(c.applied))
	if m.n.runner != nil {
		gauge(m.attempts, float64(m.n.runner.busy()))
	}
	gauge(m.members, float64(len(m.n.dir.members(true))))
	gauge(m.inbox, float64(len(m.n.engine.inbox)))
	m.collectAnchors(gauge, c)
}

func (m *metrics) collectAnchors(gauge func(*prometheus.Desc, float64, ...string), c counts) {
	gauge(m.batches, float64(c.anchored), "anchored")
	gauge(m.batches, float64(c.pending), "pending")
	gauge(m.records, float64(c.records))
	gauge(m.open, float64(c.open))
	bad := 0
	for _, n := range m.n.chain.mismatched() {
		bad += n
	}
	gauge(m.mismatches, float64(bad))
}
