package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/urfave/cli/v2"
	"golang.org/x/sync/errgroup"

	"github.com/ciro-network/ciro/scheduler/sim"
)

// Flags with which the command starts itself: one process per core, since raft's
// jitter comes from a source that is the process's own.
const (
	simPartFlag  = "part"  // which of how many parts this process plays, as 0/2
	simFirstFlag = "first" // stop at the first failure
)

// batchSeeds is the number of seeds after which a part says how far it is.
const batchSeeds = 5

func simParts() uint64 { return uint64(max(1, runtime.GOMAXPROCS(0))) }

// playPart plays every parts-th seed and writes its measurements as lines of
// JSON.
func (p *simPlan) playPart(ctx context.Context, out io.Writer, part uint64) error {
	enc := json.NewEncoder(out)
	var t simTotal
	flush := func() error {
		err := enc.Encode(&t)
		t = simTotal{}
		return err
	}
	replays := 0
	for seed := p.seed + part; seed < p.seed+p.seeds && ctx.Err() == nil; seed += p.parts {
		cfg := p.config(seed)
		r, err := sim.Run(cfg)
		var v *sim.Violation
		if err != nil && !errors.As(err, &v) {
			return usage("%v", err)
		}
		t.Seeds++
		t.Report.Add(r)
		switch {
		case v == nil:
		case p.first:
			t.Failures = append(t.Failures, simFailure{Seed: seed, Rule: v.Rule, Detail: v.Detail})
			return flush()
		case replays < maxReplays:
			replays++
			t.Failures = append(t.Failures, failureOf(cfg, v))
		default:
			t.Failures = append(t.Failures, simFailure{Seed: seed, Rule: v.Rule, Detail: v.Error()})
		}
		if t.Seeds >= batchSeeds {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

// simChild plays one part in a process of its own.
func simChild(ctx *cli.Context, extra []string, heard func(*simTotal)) error {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program: %w", err)
	}
	args := []string{"sim"}
	for _, name := range append([]string{"seed", "seeds"}, shapes...) {
		if ctx.IsSet(name) {
			args = append(args, "--"+name, fmt.Sprint(ctx.Value(name)))
		}
	}
	cmd := exec.CommandContext(ctx.Context, self, append(args, extra...)...)
	cmd.Env = append(os.Environ(), "GOMAXPROCS=1") // one goroutine works; its collector may take turns with it
	var said bytes.Buffer                          // children share no writer
	cmd.Stderr = &said
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("simulation: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("simulation: %w", err)
	}
	lines := bufio.NewScanner(pipe)
	lines.Buffer(nil, 256<<20)
	for lines.Scan() {
		t := &simTotal{}
		if err := json.Unmarshal(lines.Bytes(), t); err != nil {
			return errors.Join(fmt.Errorf("simulation: %w", err), cmd.Cancel(), cmd.Wait())
		}
		heard(t)
	}
	if err := errors.Join(lines.Err(), cmd.Wait()); err != nil {
		return fmt.Errorf("simulation: %w: %s", err, bytes.TrimSpace(said.Bytes()))
	}
	return nil
}

// simCampaign plays many seeds, a part of them in each of several processes.
func (c *console) simCampaign(ctx *cli.Context, p *simPlan) error {
	began := time.Now()
	total := &simTotal{}
	var mu sync.Mutex
	shown := began
	group := errgroup.Group{}
	for part := range p.parts {
		extra := []string{"--" + simPartFlag, fmt.Sprintf("%d/%d", part, p.parts)}
		if p.mutation != "" {
			extra = append(extra, "--mutation", p.mutation)
		}
		group.Go(func() error {
			return simChild(ctx, extra, func(t *simTotal) {
				mu.Lock()
				defer mu.Unlock()
				total.add(t)
				if now := time.Now(); now.Sub(shown) > c.simPace() {
					shown = now
					c.simProgress("%d of %d seeds, %d broke a promise, %.0f s", total.Seeds, p.seeds, len(total.Failures), now.Sub(began).Seconds())
				}
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	c.simProgress("")
	total.wall = time.Since(began)
	return c.simEnd(ctx, total)
}

// simPace is the time between two words on progress: often where the line is
// drawn anew, else now and then.
func (c *console) simPace() time.Duration {
	if c.live {
		return 500 * time.Millisecond
	}
	return 15 * time.Second
}

func (c *console) simProgress(format string, args ...any) {
	switch text := fmt.Sprintf(format, args...); {
	case c.live:
		fmt.Fprintf(c.err, "\r\x1b[K%s", text)
	case text != "":
		fmt.Fprintln(c.err, text)
	}
}

// simFound is the first seed that showed a planted bug.
type simFound struct {
	Mutation string `json:"mutation"`
	Found    bool   `json:"found"`
	Rule     string `json:"rule,omitempty"`
	Seed     uint64 `json:"seed,omitempty"`
	Detail   string `json:"detail,omitempty"`
}

// simMutations plants one bug after another and looks for the first seed that
// shows it.
func (c *console) simMutations(ctx *cli.Context, p *simPlan) error {
	if p.seeds == 0 {
		return usage("--mutation all needs --seeds N: how many to try for each")
	}
	names := sim.Mutations()
	found := make([]simFound, len(names))
	group := errgroup.Group{}
	group.SetLimit(int(p.parts))
	for i, name := range names {
		found[i].Mutation = name
		group.Go(func() error {
			// One part plays all seeds, so that the first one is found.
			extra := []string{"--mutation", name, "--" + simFirstFlag, "--" + simPartFlag, "0/1"}
			return simChild(ctx, extra, func(t *simTotal) {
				for _, f := range t.Failures {
					found[i] = simFound{Mutation: name, Found: true, Rule: f.Rule, Seed: f.Seed, Detail: f.Detail}
				}
			})
		})
	}
	if err := group.Wait(); err != nil {
		return err
	}
	missing := 0
	err := c.show(ctx, found, func(w io.Writer) {
		row(w, "MUTATION", "RULE", "SEED", "SEEN")
		for _, f := range found {
			if !f.Found {
				row(w, f.Mutation, "", "", "not in "+strconv.FormatUint(p.seeds, 10)+" seeds")
				continue
			}
			row(w, f.Mutation, f.Rule, f.Seed, f.Detail)
		}
	})
	for _, f := range found {
		if !f.Found {
			missing++
		}
	}
	if err == nil && missing > 0 {
		return outcomeError{exitFailed, fmt.Sprintf("%d planted bugs were not found", missing)}
	}
	return err
}
