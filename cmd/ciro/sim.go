package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/scheduler/sim"
)

// shrinkRuns bounds the search for a smaller run that fails, maxReplays the
// number of failing seeds that a process searches for.
const (
	shrinkRuns = 150
	maxReplays = 3
)

// latencies are the networks that --latency names.
var latencies = map[string]func() sim.Faults{"lan": sim.Lan, "wan": sim.Wan, "lossy": sim.Lossy}

func (c *console) simCommand() *cli.Command {
	return &cli.Command{
		Name: "sim", Usage: "play a mesh of the very same schedulers in virtual time while everything goes wrong, and check its promises",
		UsageText: "ciro sim [--seed N] [options]      one run\n" +
			"ciro sim --seeds N [options]       a campaign, one process per core\n" +
			"ciro sim --replay FILE             a run again, bit for bit\n" +
			"ciro sim --mutation all --seeds N  show that planted bugs are found",
		Description: "A run is made by its seed alone. Without options a campaign plays small meshes of random size, network and\n" +
			"faults, a new one for every seed; with any of --nodes to --script all its seeds play that one.\n" +
			"A run that breaks a promise is shrunk and written to a replay file, and the command exits with 1.\n\n" +
			"Faults, for --faults and for lines of a script such as\n" +
			"  3.5s crash n1 n2 for=2s\n  4s slowdisk n0 for=3s by=300ms\n\n" + faultHelp(),
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "nodes", Value: 5, Usage: "`N` nodes"},
			&cli.IntFlag{Name: "bystanders", Usage: "`N` of them without a role"},
			&cli.IntFlag{Name: "shards", Value: 2, Usage: "`N` shards"},
			&cli.IntFlag{Name: "jobs", Value: 8, Usage: "`N` jobs of random shape"},
			&cli.Float64Flag{Name: "rate", Usage: "instead of --jobs: `N` jobs of one task per second"},
			&cli.DurationFlag{Name: "duration", Value: 12 * time.Second, Usage: "virtual `TIME` under faults"},
			&cli.StringFlag{Name: "latency", Value: "lan", Usage: "`NETWORK`: lan, wan (10-100 ms) or lossy"},
			&cli.StringFlag{Name: "faults", Value: "all", Usage: "`KINDS` of faults that happen at random, with commas between them; all or none"},
			&cli.DurationFlag{Name: "gap", Value: 500 * time.Millisecond, Usage: "least `TIME` between two of them"},
			&cli.Float64Flag{Name: "churn", Usage: "`SHARE` of the nodes that leave and come back in an hour, beside --faults"},
			&cli.StringFlag{Name: "script", Usage: "`FILE` of faults to happen instead of random ones"},
			&cli.Uint64Flag{Name: "seed", Value: 1, Usage: "`N` that makes the run; the first one of a campaign"},
			&cli.Uint64Flag{Name: "seeds", Usage: "play a campaign of `N` seeds"},
			&cli.StringFlag{Name: "replay", Usage: "play a replay `FILE`"},
			&cli.BoolFlag{Name: "trace", Usage: "show everything that happens in a single run"},
			&cli.StringFlag{Name: "mutation", Usage: "plant the bug `NAME`, or one after another with all: " + strings.Join(sim.Mutations(), ", ")},
			&cli.StringFlag{Name: "dest", Value: ".", Usage: "`FOLDER` for replay files"},
			&cli.StringFlag{Name: simPartFlag, Hidden: true},
			&cli.BoolFlag{Name: simFirstFlag, Hidden: true},
		},
		Action: c.simAction,
	}
}

// faultHelp describes the kinds of faults.
func faultHelp() string {
	var b strings.Builder
	for _, k := range sim.Kinds() {
		fmt.Fprintf(&b, "  %-10s %s\n", k, sim.Help(k))
	}
	return strings.TrimRight(b.String(), "\n")
}

func (c *console) simAction(ctx *cli.Context) error {
	if ctx.Args().Present() {
		return usage("sim takes no arguments, %q is one", ctx.Args().First())
	}
	if _, err := formatOf(ctx); err != nil {
		return err
	}
	p, err := simPlanOf(ctx)
	if err != nil {
		return err
	}
	switch {
	case ctx.IsSet(simPartFlag):
		var part uint64
		if _, err := fmt.Sscanf(ctx.String(simPartFlag), "%d/%d", &part, &p.parts); err != nil || p.parts == 0 {
			return usage("--%s: %q is not a part", simPartFlag, ctx.String(simPartFlag))
		}
		return p.playPart(ctx.Context, c.out, part)
	case ctx.IsSet("replay"):
		return c.simReplay(ctx, ctx.String("replay"))
	case ctx.String("mutation") == "all":
		return c.simMutations(ctx, p)
	case p.seeds > 0:
		return c.simCampaign(ctx, p)
	}
	return c.simOne(ctx, p.config(p.seed))
}

// simPlan is what a command line asks to play.
type simPlan struct {
	fixed    *sim.Config // nil: one of its own for every seed
	mutation string
	seed     uint64
	seeds    uint64
	parts    uint64 // processes
	first    bool   // stop at the first seed that fails
}

// config is the configuration of a seed.
func (p *simPlan) config(seed uint64) sim.Config {
	c := sim.Campaign(seed)
	if p.fixed != nil {
		c = *p.fixed
		c.Seed = seed
	}
	c.Mutation = p.mutation
	return c
}

// shapes are the flags that fix the configuration of all seeds.
var shapes = []string{"nodes", "bystanders", "shards", "jobs", "rate", "duration", "latency", "faults", "gap", "churn", "script"}

func simPlanOf(ctx *cli.Context) (*simPlan, error) {
	p := &simPlan{mutation: ctx.String("mutation"), seed: ctx.Uint64("seed"), seeds: ctx.Uint64("seeds"), first: ctx.Bool(simFirstFlag), parts: simParts()}
	if p.mutation == "all" {
		p.mutation = ""
	}
	if p.mutation != "" && !slices.Contains(sim.Mutations(), p.mutation) {
		return nil, usage("--mutation %s is not known; there are all, %s", p.mutation, strings.Join(sim.Mutations(), ", "))
	}
	if p.seeds == 0 || slices.ContainsFunc(shapes, ctx.IsSet) {
		cfg, err := simConfigOf(ctx)
		if err != nil {
			return nil, err
		}
		p.fixed = &cfg
	}
	return p, nil
}

// simConfigOf reads the flags that describe a run.
func simConfigOf(ctx *cli.Context) (sim.Config, error) {
	network, ok := latencies[ctx.String("latency")]
	if !ok {
		return sim.Config{}, usage("--latency %s: choose lan, wan or lossy", ctx.String("latency"))
	}
	cfg := sim.Config{
		Nodes: ctx.Int("nodes"), Bystanders: ctx.Int("bystanders"), Shards: ctx.Int("shards"), Jobs: ctx.Int("jobs"), Rate: ctx.Float64("rate"),
		Duration: ctx.Duration("duration"), Faults: network(), Mutation: ctx.String("mutation"),
	}
	if cfg.Nodes == 0 || cfg.Shards == 0 {
		return cfg, usage("--nodes and --shards: there has to be at least one of each")
	}
	if cfg.Jobs == 0 {
		cfg.Jobs = -1 // none, rather than the default
	}
	if cfg.Mutation == "all" {
		cfg.Mutation = ""
	}
	cfg.Faults.Gap, cfg.Faults.Churn = ctx.Duration("gap"), ctx.Float64("churn")
	switch kinds := ctx.String("faults"); kinds {
	case "all":
		cfg.Faults.Kinds = sim.Kinds()
	case "none", "":
	default:
		cfg.Faults.Kinds = strings.Split(kinds, ",")
	}
	if name := ctx.String("script"); name != "" {
		read, _, err := readScript(name, cfg)
		if err != nil {
			return cfg, err
		}
		cfg = read
	}
	if err := cfg.Validate(); err != nil {
		return cfg, usage("%v", err)
	}
	return cfg, nil
}

func readScript(name string, over sim.Config) (sim.Config, sim.Expectation, error) {
	f, err := os.Open(name)
	if err != nil {
		return over, sim.Expectation{}, usage("%v", err)
	}
	defer f.Close()
	cfg, want, err := sim.ParseScript(f, over)
	if err != nil {
		return cfg, want, usage("%s: %v", name, err)
	}
	return cfg, want, nil
}

// simOne plays one run and shows what it measured.
func (c *console) simOne(ctx *cli.Context, cfg sim.Config) error {
	began := time.Now()
	r, v, err := c.simRun(ctx, cfg)
	if err != nil {
		return err
	}
	out := &simTotal{Seeds: 1, Report: r, wall: time.Since(began)}
	if v != nil {
		out.Failures = append(out.Failures, failureOf(cfg, v))
	}
	return c.simEnd(ctx, out)
}

func (c *console) simRun(ctx *cli.Context, cfg sim.Config) (sim.Report, *sim.Violation, error) {
	var trace io.Writer
	if ctx.Bool("trace") {
		trace = c.out
	}
	r, err := sim.Replay(cfg, trace)
	var v *sim.Violation
	if err != nil && !errors.As(err, &v) {
		return r, nil, usage("%v", err)
	}
	return r, v, nil
}

// simReplay plays a replay file and says whether it went as the file says.
func (c *console) simReplay(ctx *cli.Context, name string) error {
	cfg, want, err := readScript(name, sim.Config{})
	if err != nil {
		return err
	}
	began := time.Now()
	r, v, err := c.simRun(ctx, cfg)
	if err != nil {
		return err
	}
	out := &simTotal{Seeds: 1, Report: r, wall: time.Since(began)}
	switch {
	case v != nil:
		out.Failures = append(out.Failures, simFailure{Seed: cfg.Seed, Rule: v.Rule, Detail: v.Error()})
		out.Note = "the run is another one than the file's: programs differ"
		if v.Rule == want.Rule && r.TraceHash == want.Hash {
			out.Note = "as the file says, bit for bit"
		}
	case want.Rule != "":
		out.Note = fmt.Sprintf("the rule %s, which the file saw broken, holds now", want.Rule)
	}
	return c.simEnd(ctx, out)
}

// simFailure is a seed that broke a promise.
type simFailure struct {
	Seed   uint64 `json:"seed"`
	Rule   string `json:"rule"`
	Detail string `json:"detail"`
	File   string `json:"file,omitempty"` // where its replay was written
	Replay string `json:"replay,omitempty"`
}

// failureOf shrinks a run that failed.
func failureOf(cfg sim.Config, v *sim.Violation) simFailure {
	f := simFailure{Seed: cfg.Seed, Rule: v.Rule, Detail: v.Error()}
	small, smallest, hash := sim.Shrink(cfg, v, shrinkRuns)
	var b bytes.Buffer
	if sim.WriteReplay(&b, small, smallest, hash) == nil { // memory takes everything
		f.Replay = b.String()
	}
	return f
}

// simEnd writes replay files, shows the totals and decides on the exit code.
func (c *console) simEnd(ctx *cli.Context, t *simTotal) error {
	for i := range t.Failures {
		f := &t.Failures[i]
		if f.Replay == "" {
			continue
		}
		f.File = filepath.Join(ctx.String("dest"), fmt.Sprintf("sim-%s-%d.replay", f.Rule, f.Seed))
		err := os.MkdirAll(filepath.Dir(f.File), 0o755)
		if err == nil {
			err = os.WriteFile(f.File, []byte(f.Replay), 0o644)
		}
		if err != nil {
			return fmt.Errorf("replay file: %w", err)
		}
	}
	if err := c.show(ctx, t.summary(), t.write); err != nil {
		return err
	}
	if n := len(t.Failures); n > 0 {
		return outcomeError{exitFailed, fmt.Sprintf("%d of %d seeds broke a promise", n, t.Seeds)}
	}
	return nil
}
