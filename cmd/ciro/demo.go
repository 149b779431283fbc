package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// The faults that the demonstration can make.
const (
	faultWorker      = "worker"
	faultCoordinator = "coordinator"
)

// demoNodes is the number of processes; the last has no role and takes the job.
const demoNodes = 5

func (c *console) demoCommand() *cli.Command {
	return &cli.Command{
		Name: "demo", Usage: "five nodes on this machine render an image although one of them is killed",
		Description: "Starts five processes on free loopback ports in a temporary folder, submits render3d through a node\n" +
			"without any role, kills a worker (or, with --fault coordinator, the coordinator of the job) halfway with\n" +
			"SIGKILL, and writes the image. In the end the coordinator that accepted the job is killed too, and a process\n" +
			"that has only a proof file and the network's id checks what was decided. It fails when the fault did not hit\n" +
			"what it should.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "fault", Value: faultWorker, Usage: "what to kill: `worker` or coordinator"},
			&cli.StringFlag{Name: "dest", Value: "demo-out", Usage: "`FOLDER` for the image and the nodes' logs"},
			&cli.DurationFlag{Name: "limit", Value: 2 * time.Minute, Usage: "give up after this `TIME`"},
		},
		Action: c.demoAction,
	}
}

// demo is one demonstration under way.
type demo struct {
	c     *console
	cli   *cli.Context
	fault string
	dest  string
	began time.Time
	nodes []*demoNode
	door  *client.Client

	job      api.Acceptance
	victim   *demoNode
	killedAt time.Time
	done     map[string]map[int]bool // worker -> tiles it has finished
	running  map[string]map[int]int  // worker -> tile -> attempt
	lost     map[int]int             // tiles that ran on the victim -> attempt
	again    map[int]bool            // of those, finished since
	recovery chan time.Duration      // from the kill until the mesh had judged it
	attempts int
}

func (c *console) demoAction(ctx *cli.Context) (err error) {
	d := &demo{c: c, cli: ctx, fault: ctx.String("fault"), dest: ctx.String("dest"), began: time.Now(),
		recovery: make(chan time.Duration, 1), done: map[string]map[int]bool{}, running: map[string]map[int]int{}, lost: map[int]int{}, again: map[int]bool{}}
	if d.fault != faultWorker && d.fault != faultCoordinator {
		return usage("--fault %s: choose worker or coordinator", d.fault)
	}
	limited, cancel := context.WithTimeout(ctx.Context, ctx.Duration("limit"))
	defer cancel()
	dir, err := os.MkdirTemp("", "ciro-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, d.stop(), os.RemoveAll(dir)) }()
	if err := os.MkdirAll(d.dest, 0o755); err != nil {
		return err
	}
	for _, step := range []func(context.Context, string) error{d.startNodes, d.awaitHealth, d.submit, d.follow, d.collect} {
		if err := step(limited, dir); err != nil {
			if limited.Err() != nil {
				err = fmt.Errorf("%w (nothing more within %v; the nodes' logs are in %s)", err, ctx.Duration("limit"), d.dest)
			}
			return err
		}
	}
	if err := d.summary(limited); err != nil {
		return err
	}
	return d.prove(limited)
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintf(d.c.out, "%6.1fs  %s\n", time.Since(d.began).Seconds(), fmt.Sprintf(format, args...))
}

// startNodes founds a network and has the others join it at one address.
func (d *demo) startNodes(ctx context.Context, dir string) error {
	join := ""
	for i := range demoNodes {
		roles := "worker,coordinator"
		if i == demoNodes-1 {
			roles = "none"
		}
		n, err := startDemoNode(ctx, demoStart{name: fmt.Sprintf("node-%d", i+1), dir: dir, roles: roles, join: join, logs: d.dest})
		if n != nil {
			d.nodes = append(d.nodes, n)
		}
		if err != nil {
			return err
		}
		d.say("%s started  %s  roles %s", n.name, n.peer[len(n.peer)-8:], roles)
		if join == "" {
			join = n.join
		}
	}
	d.door = d.nodes[demoNodes-1].client
	return nil
}

// awaitHealth waits until every shard has all its voters and all workers are
// known.
func (d *demo) awaitHealth(ctx context.Context, _ string) error {
	for {
		h, err := d.door.Health(ctx)
		if err == nil && h.FullyReplicated {
			if w, err := d.door.Workers(ctx); err == nil && len(w.Workers) == demoNodes-1 {
				break
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("the network did not become fully replicated: %+v", h.Checks)
		case <-time.After(100 * time.Millisecond):
		}
	}
	d.say("all shards have three voters, %d workers are attached", demoNodes-1)
	return nil
}

func (d *demo) submit(context.Context, string) error {
	o, err := d.c.templateOffer("render3d")
	if err != nil {
		return err
	}
	acc, err := d.c.submit(d.cli, d.door, o)
	if err != nil {
		return err
	}
	d.job = acc
	d.say("job %s accepted by %s: shard %d, term %d, log index %d", acc.Job[:12], d.name(acc.Coordinator), acc.Shard, acc.Term, acc.Index)
	return nil
}

// name is a node's name by peer id.
func (d *demo) name(peer string) string {
	for _, n := range d.nodes {
		if n.peer == peer {
			return n.name
		}
	}
	return peer
}

// follow shows the job's events and makes the fault when its moment has come.
func (d *demo) follow(ctx context.Context, _ string) error {
	var terminal string
	err := d.door.Watch(ctx, api.WatchQuery{Job: d.job.Job}, func(e api.Event) error {
		d.show(e)
		d.count(e)
		if api.Terminal(e.Kind) {
			terminal = e.Kind
		}
		if d.victim == nil {
			return d.maybeKill(ctx)
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("watch the job: %w", err)
	}
	if terminal != api.JobCompleted {
		return fmt.Errorf("the job ended %s", terminal)
	}
	return d.judge()
}

func (d *demo) show(e api.Event) {
	if e.Kind == api.EventProgress {
		return
	}
	task := ""
	if e.Attempt > 0 {
		task = fmt.Sprintf("tile %2d attempt %d", e.Task, e.Attempt)
		if e.Task == api.GatherIndex {
			task = fmt.Sprintf("gather  attempt %d", e.Attempt)
		}
	}
	why := strings.TrimSpace(e.Cause + " " + e.Detail)
	if why != "" {
		why = "(" + why + ")"
	}
	who := ""
	if e.Worker != "" {
		who = d.name(e.Worker)
	}
	d.say("%-10s %-18s %-7s %s %s", e.Kind, task, who, d.bar(), why)
}

// bar draws how many tiles are done.
func (d *demo) bar() string {
	n := 0
	for _, tiles := range d.done {
		n += len(tiles)
	}
	n = min(n, 12)
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", 12-n) + "]"
}

func (d *demo) count(e api.Event) {
	if d.victim != nil && d.fault == faultWorker && e.Kind == api.EventRequeued && e.Worker == d.victim.peer {
		d.recovered()
	}
	if e.Task < 0 || e.Worker == "" {
		return
	}
	if d.running[e.Worker] == nil {
		d.running[e.Worker], d.done[e.Worker] = map[int]int{}, map[int]bool{}
	}
	switch e.Kind {
	case api.EventAssigned:
		d.attempts++
	case api.EventStarted:
		d.running[e.Worker][e.Task] = e.Attempt
	case api.EventDone:
		delete(d.running[e.Worker], e.Task)
		d.done[e.Worker][e.Task] = true
		if n, was := d.lost[e.Task]; was && e.Attempt > n {
			d.again[e.Task] = true
		}
	case api.EventRequeued:
		delete(d.running[e.Worker], e.Task)
	}
}

// recovered notes the time at which the mesh had replaced what was killed; the
// first one counts.
func (d *demo) recovered() {
	select {
	case d.recovery <- time.Since(d.killedAt):
	default:
	}
}

// awaitSuccessor waits until another coordinator answers for the job.
func (d *demo) awaitSuccessor(ctx context.Context) {
	for ctx.Err() == nil {
		if j, err := d.door.Describe(ctx, d.job.Job, false); err == nil && j.Coordinator != d.victim.peer {
			d.recovered()
			return
		}
	}
}

// maybeKill kills a worker that holds a finished and a running tile, or the
// coordinator of the job's shard once some tiles are done and others run.
func (d *demo) maybeKill(ctx context.Context) error {
	leader := ""
	if d.fault == faultCoordinator {
		finished, busy := 0, 0
		for w := range d.done {
			finished += len(d.done[w])
			busy += len(d.running[w])
		}
		if finished < 2 || busy < 1 {
			return nil
		}
		j, err := d.door.Describe(ctx, d.job.Job, false)
		if err != nil {
			return err
		}
		leader = j.Coordinator
	} else {
		j, err := d.door.Describe(ctx, d.job.Job, false)
		if err != nil {
			return err
		}
		for w := range d.done {
			if w != j.Coordinator && len(d.done[w]) > 0 && len(d.running[w]) > 0 {
				leader = w
			}
		}
	}
	for _, n := range d.nodes[:demoNodes-1] {
		if n.peer != leader {
			continue
		}
		if err := n.kill(); err != nil {
			return err
		}
		d.victim, d.killedAt = n, time.Now()
		if d.fault == faultCoordinator {
			go d.awaitSuccessor(ctx)
		}
		for tile, attempt := range d.running[n.peer] {
			d.lost[tile] = attempt
		}
		d.say("KILL -9    %s: %s; it ran tiles %v and had finished %v", n.name, d.fault, keys(d.lost), keys(d.done[n.peer]))
	}
	return nil
}

func keys[V any](m map[int]V) []int {
	var out []int
	for i := range 64 {
		if _, ok := m[i]; ok {
			out = append(out, i)
		}
	}
	return out
}

// stop ends all processes and says so when one would not end.
func (d *demo) stop() error {
	var errs []error
	for _, n := range d.nodes {
		n.terminate()
	}
	for _, n := range d.nodes {
		errs = append(errs, n.await(20*time.Second))
	}
	return errors.Join(errs...)
}
