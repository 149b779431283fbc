package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// benchModule is a WASM module that does nothing: one function of type ()→(),
// exported as _start.
const benchModule = "\x00asm\x01\x00\x00\x00\x01\x04\x01\x60\x00\x00\x03\x02\x01\x00" +
	"\x07\x0a\x01\x06_start\x00\x00\x0a\x04\x01\x02\x00\x0b"

// maxBenchNodes bounds the processes that a measurement starts.
const maxBenchNodes = 32

func (c *console) benchCommand() *cli.Command {
	return &cli.Command{
		Name: "bench", Usage: "measure how many small jobs a node or a network of its own carries",
		Description: "Runs jobs that do nothing, one task each, from several clients at once and waits for each one's end. It\n" +
			"measures the node that --api names, or, with --nodes, a network of that many processes that it starts in a\n" +
			"temporary folder on free loopback ports and ends afterwards; only of those it can tell processor time and\n" +
			"memory, sandboxes included. Every job is checked to have completed.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "jobs", Value: 300, Usage: "`NUMBER` of jobs"},
			&cli.IntFlag{Name: "clients", Value: 16, Usage: "`NUMBER` of clients; each has one job under way"},
			&cli.IntFlag{Name: "nodes", Usage: "start a network of this `NUMBER` of nodes instead of using a running one"},
			&cli.IntFlag{Name: "warmup", Value: 20, Usage: "`NUMBER` of jobs that run before and are not counted"},
			&cli.DurationFlag{Name: "limit", Value: 5 * time.Minute, Usage: "give up after this `TIME`"},
		},
		Action: c.benchAction,
	}
}

// benchReport is what a measurement found. Times are in milliseconds.
type benchReport struct {
	Jobs       int         `json:"jobs"`
	Clients    int         `json:"clients"`
	Nodes      int         `json:"nodes,omitempty"` // that were started; 0: the node measured was running
	Seconds    float64     `json:"seconds"`
	JobsPerSec float64     `json:"jobsPerSecond"`
	Submit     benchTimes  `json:"submitMs"`
	EndToEnd   benchTimes  `json:"endToEndMs"`
	Retried    int         `json:"retried"` // submissions that were answered "not now" first
	Processes  []benchProc `json:"processes,omitempty"`
}

// benchTimes are quantiles.
type benchTimes struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

// benchProc is one node's process.
type benchProc struct {
	Name     string  `json:"name"`
	Daemon   float64 `json:"daemonCpuMsPerJob"`
	Sandbox  float64 `json:"sandboxCpuMsPerJob"`
	Resident uint64  `json:"residentBytes"`
}

// bench is a measurement under way.
type bench struct {
	doors   []*client.Client // clients take turns among them
	nodes   []*demoNode
	spec    []byte
	next    atomic.Int64
	retried atomic.Int64

	mu           sync.Mutex // guards what follows
	submit, ends []time.Duration
}

func (c *console) benchAction(ctx *cli.Context) (err error) {
	jobs, clients, nodes := ctx.Int("jobs"), ctx.Int("clients"), ctx.Int("nodes")
	if jobs < 1 || clients < 1 || nodes < 0 || nodes > maxBenchNodes || ctx.Int("warmup") < 0 {
		return usage("--jobs and --clients must be at least 1, --nodes 0 to %d, --warmup not negative", maxBenchNodes)
	}
	if _, err := formatOf(ctx); err != nil {
		return err
	}
	limited, cancel := context.WithTimeout(ctx.Context, ctx.Duration("limit"))
	defer cancel()
	b := &bench{}
	if nodes == 0 {
		node, err := connect(ctx)
		if err != nil {
			return err
		}
		defer node.Close()
		b.doors = append(b.doors, node)
	} else {
		dir, err := os.MkdirTemp("", "ciro-bench-")
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, b.stop(), os.RemoveAll(dir)) }()
		if err := b.startNodes(limited, dir, nodes); err != nil {
			return err
		}
	}
	report, err := b.measure(limited, jobs, clients, ctx.Int("warmup"))
	if err != nil {
		return err
	}
	report.Nodes = nodes
	return c.show(ctx, report, report.table)
}

// startNodes founds a network and waits until all of it is there.
func (b *bench) startNodes(ctx context.Context, dir string, nodes int) error {
	join := ""
	for i := range nodes {
		n, err := startDemoNode(ctx, demoStart{name: fmt.Sprintf("node-%d", i+1), dir: dir, roles: "worker,coordinator", join: join, logs: dir})
		if n != nil {
			b.nodes = append(b.nodes, n)
		}
		if err != nil {
			return err
		}
		b.doors = append(b.doors, n.client)
		if join == "" {
			join = n.join
		}
	}
	for {
		h, err := b.doors[0].Health(ctx)
		if err == nil && h.FullyReplicated {
			if w, err := b.doors[0].Workers(ctx); err == nil && len(w.Workers) == nodes {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the network did not become fully replicated in time: %+v", h.Checks)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (b *bench) stop() error {
	var err error
	for _, n := range b.nodes {
		n.terminate()
	}
	for _, n := range b.nodes {
		err = errors.Join(err, n.await(20*time.Second))
	}
	return err
}

// measure runs the jobs and sums up.
func (b *bench) measure(ctx context.Context, jobs, clients, warmup int) (benchReport, error) {
	module, err := b.doors[0].Upload(ctx, bytes.NewReader([]byte(benchModule)), int64(len(benchModule)))
	if err != nil {
		return benchReport{}, fmt.Errorf("upload the module: %w", err)
	}
	b.spec, err = json.Marshal(map[string]any{
		"name": "bench", "module": module.CID, "timeout": "30s", "retries": 0,
		"resources": map[string]any{"cpu": 0.05, "memory": "16MiB", "disk": "1MiB"},
	})
	if err != nil {
		return benchReport{}, err
	}
	if err := b.run(ctx, warmup, clients); err != nil {
		return benchReport{}, fmt.Errorf("warm up: %w", err)
	}
	b.submit, b.ends = nil, nil
	b.retried.Store(0)
	before := b.usage()
	began := time.Now()
	if err := b.run(ctx, jobs, clients); err != nil {
		return benchReport{}, err
	}
	took := time.Since(began).Seconds()
	report := benchReport{
		Jobs: jobs, Clients: clients, Seconds: took, JobsPerSec: float64(jobs) / took,
		Submit: timesOf(b.submit), EndToEnd: timesOf(b.ends), Retried: int(b.retried.Load()),
	}
	for i, u := range b.usage() {
		perJob := func(now, then time.Duration) float64 {
			return float64(now-then) / float64(time.Millisecond) / float64(jobs)
		}
		report.Processes = append(report.Processes, benchProc{
			Name: b.nodes[i].name, Resident: u.resident,
			Daemon: perJob(u.own, before[i].own), Sandbox: perJob(u.children, before[i].children),
		})
	}
	return report, nil
}

// run has the clients run jobs until so many are through.
func (b *bench) run(ctx context.Context, jobs, clients int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	left := atomic.Int64{}
	left.Store(int64(jobs))
	var group sync.WaitGroup
	for range min(clients, jobs) {
		group.Go(func() {
			for left.Add(-1) >= 0 && ctx.Err() == nil {
				if err := b.job(ctx); err != nil {
					cancel(err)
				}
			}
		})
	}
	group.Wait()
	return context.Cause(ctx)
}

// job runs one job from its submission to its end.
func (b *bench) job(ctx context.Context) error {
	door := b.doors[int(b.next.Add(1))%len(b.doors)]
	began := time.Now()
	accepted, err := b.accepted(ctx, door)
	if err != nil {
		return fmt.Errorf("submit a job: %w", err)
	}
	submitted := time.Since(began)
	how := ""
	err = door.Watch(ctx, api.WatchQuery{Job: accepted.Job}, func(e api.Event) error {
		if api.Terminal(e.Kind) {
			how = e.Kind + " " + e.Detail
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("watch job %s: %w", accepted.Job, err)
	}
	if how != api.JobCompleted+" " {
		return fmt.Errorf("job %s ended %q instead of %s", accepted.Job, how, api.JobCompleted)
	}
	took := time.Since(began)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.submit, b.ends = append(b.submit, submitted), append(b.ends, took)
	return nil
}

// accepted submits one job, again while the answer is "not now".
func (b *bench) accepted(ctx context.Context, door *client.Client) (api.Acceptance, error) {
	key := fmt.Sprintf("bench-%d-%d", time.Now().UnixNano(), b.next.Load())
	for {
		accepted, err := door.Submit(ctx, api.Submission{Spec: b.spec, IdempotencyKey: key})
		refusal, ok := errors.AsType[*api.Refusal](err)
		if !ok || !refusal.Passing() {
			return accepted, err
		}
		b.retried.Add(1)
		select {
		case <-ctx.Done():
			return accepted, ctx.Err()
		case <-time.After(max(refusal.RetryAfter, 100*time.Millisecond)):
		}
	}
}

// timesOf sums durations up.
func timesOf(all []time.Duration) benchTimes {
	if len(all) == 0 {
		return benchTimes{}
	}
	slices.Sort(all)
	at := func(q float64) float64 {
		i := min(len(all)-1, int(q*float64(len(all))))
		return float64(all[i].Microseconds()) / 1000
	}
	return benchTimes{P50: at(0.5), P99: at(0.99), Max: at(1)}
}

func (r benchReport) table(w io.Writer) {
	row(w, "jobs", fmt.Sprintf("%d from %d clients in %.2f s", r.Jobs, r.Clients, r.Seconds))
	row(w, "throughput", fmt.Sprintf("%.1f jobs/s", r.JobsPerSec))
	row(w, "submit", r.Submit.text())
	row(w, "end to end", r.EndToEnd.text())
	if r.Retried > 0 {
		row(w, "retried", fmt.Sprintf("%d submissions were answered \"not now\" first", r.Retried))
	}
	for _, p := range r.Processes {
		row(w, p.Name, fmt.Sprintf("daemon %.1f ms and sandboxes %.1f ms of processor time per job, %d MiB resident", p.Daemon, p.Sandbox, p.Resident>>20))
	}
}

func (t benchTimes) text() string {
	return fmt.Sprintf("p50 %.1f ms, p99 %.1f ms, max %.1f ms", t.P50, t.P99, t.Max)
}
