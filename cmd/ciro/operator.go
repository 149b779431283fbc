package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
	"github.com/ciro-network/ciro/node/jobspec"
)

// operatorCommands are those of `ciro worker` that command the node asked.
func (c *console) operatorCommands() []*cli.Command {
	return []*cli.Command{
		{Name: "drain", Usage: "take nothing new on this node; what runs goes on, also after a restart",
			Flags: []cli.Flag{
				&cli.BoolFlag{DisableDefaultText: true, Name: "wait", Usage: "wait until nothing runs any more"},
				&cli.DurationFlag{Name: "timeout", Usage: "`TIME` to wait at most", Value: time.Hour},
			}, Action: withNode(0, c.drainWorker)},
		{Name: "resume", Usage: "take tasks on this node again", Action: withNode(0, func(ctx *cli.Context, node *client.Client) error {
			w, err := node.Drain(ctx.Context, false)
			return c.showWorker(ctx, w, err)
		})},
		{Name: "register", Usage: "change what this node offers to jobs, durably", Flags: registerFlags(), Action: withNode(0, c.registerWorker),
			Description: "Only what is given changes. --reset goes back to the configuration.\n\nExamples:\n" +
				"   ciro worker register --cpu-cores 2 --memory-gb 4\n   ciro worker register --types render3d,ai-inference --deny CLIENTKEY\n   ciro worker register --reset"},
	}
}

// registerFlags are the flags of `ciro worker register`.
func registerFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "worker-id", Usage: "the node's own `ID`, to be sure which one is meant"},
		&cli.Float64Flag{DefaultText: "unchanged", Name: "cpu-cores", Usage: "`CORES` that jobs may use"},
		&cli.Float64Flag{DefaultText: "unchanged", Name: "memory-gb", Usage: "`GB` of memory that jobs may use (1 is 2^30 bytes)"},
		&cli.Float64Flag{DefaultText: "unchanged", Name: "disk-gb", Usage: "`GB` of disk that running tasks may fill"},
		&cli.IntFlag{DefaultText: "unchanged", Name: "slots", Usage: "`N` tasks at the same time"},
		&cli.IntFlag{DefaultText: "unchanged", Name: "gpus", Usage: "`N` devices"},
		&cli.Float64Flag{DefaultText: "unchanged", Name: "gpu-memory-gb", Usage: "`GB` of each device"},
		&cli.StringFlag{Name: "types", Usage: "`LIST` of job types taken; empty: all"},
		&cli.StringSliceFlag{Name: "label", Usage: "`KEY=VALUE` that jobs can ask for; all labels are replaced; may be repeated"},
		&cli.StringFlag{Name: "price", Usage: "`PRICE` per core and hour"},
		&cli.StringSliceFlag{Name: "allow", Usage: "client `KEY` whose jobs alone are taken; replaces the list; may be repeated"},
		&cli.StringSliceFlag{Name: "deny", Usage: "client `KEY` whose jobs are not taken; replaces the list; may be repeated"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "reset", Usage: "offer what the configuration says again"},
	}
}

// drainWorker is `ciro worker drain`.
func (c *console) drainWorker(ctx *cli.Context, node *client.Client) error {
	w, err := node.Drain(ctx.Context, true)
	until := time.Now().Add(ctx.Duration("timeout"))
	for err == nil && ctx.Bool("wait") {
		s, failed := node.Status(ctx.Context)
		if err = failed; err != nil {
			break
		}
		if w.Running = s.Running; w.Running == 0 {
			break
		}
		if time.Now().After(until) {
			return outcomeError{code: exitFailed, text: fmt.Sprintf("%d attempts still run; the node goes on draining", w.Running)}
		}
		select {
		case <-ctx.Context.Done():
			return ctx.Context.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
	return c.showWorker(ctx, w, err)
}

// registerWorker is `ciro worker register`.
func (c *console) registerWorker(ctx *cli.Context, node *client.Client) error {
	if id := ctx.String("worker-id"); id != "" {
		s, err := node.Status(ctx.Context)
		if err != nil {
			return err
		}
		if !strings.HasSuffix(s.Peer, strings.TrimPrefix(id, "…")) {
			return usage("the node at %s is %s, not %s; every node's own API changes its offer", node.Addr(), s.Peer, id)
		}
	}
	if ctx.Bool("reset") {
		w, err := node.Offer(ctx.Context, nil)
		return c.showWorker(ctx, w, err)
	}
	change, err := offeringOf(ctx)
	if err != nil {
		return err
	}
	if *change == (api.Offering{}) {
		return usage("nothing is to be changed; see %s --help", ctx.Command.HelpName)
	}
	w, err := node.Offer(ctx.Context, change)
	return c.showWorker(ctx, w, err)
}

// offeringOf reads the change that the flags describe.
func offeringOf(ctx *cli.Context) (*api.Offering, error) {
	o := &api.Offering{}
	if ctx.IsSet("cpu-cores") {
		o.CPUs = new(ctx.Float64("cpu-cores"))
	}
	for name, to := range map[string]**int64{"memory-gb": &o.Memory, "disk-gb": &o.Disk, "gpu-memory-gb": &o.GPUMemory} { // any order: each flag alone
		if ctx.IsSet(name) {
			if ctx.Float64(name) < 0 || ctx.Float64(name) > 1<<20 {
				return nil, usage("--%s: %v is outside 0..%d", name, ctx.Float64(name), 1<<20)
			}
			*to = new(int64(ctx.Float64(name) * (1 << 30)))
		}
	}
	for name, to := range map[string]**int{"slots": &o.Slots, "gpus": &o.GPUs} { // any order: likewise
		if ctx.IsSet(name) {
			*to = new(ctx.Int(name))
		}
	}
	if ctx.IsSet("types") {
		types := strings.FieldsFunc(ctx.String("types"), func(r rune) bool { return r == ',' || r == ' ' })
		o.Types = &types
	}
	if ctx.IsSet("allow") {
		o.Allow = new(lists(ctx.StringSlice("allow")))
	}
	if ctx.IsSet("deny") {
		o.Deny = new(lists(ctx.StringSlice("deny")))
	}
	if ctx.IsSet("label") {
		labels := map[string]string{}
		for _, l := range lists(ctx.StringSlice("label")) {
			key, value, ok := strings.Cut(l, "=")
			if !ok || key == "" {
				return nil, usage("--label: %q is not KEY=VALUE", l)
			}
			labels[key] = value
		}
		o.Labels = &labels
	}
	if ctx.IsSet("price") {
		micro, err := jobspec.ParsePrice(ctx.String("price"))
		if err != nil {
			return nil, usage("--price: %v", err)
		}
		o.Price = new(float64(micro) / 1e6)
	}
	return o, nil
}

// lists drops empty elements, so that an empty value empties a list.
func lists(all []string) []string {
	out := []string{}
	for _, s := range all {
		if s != "" {
			out = append(out, s)
		}
	}
	return out
}

// showWorker writes one worker.
func (c *console) showWorker(ctx *cli.Context, w api.Worker, err error) error {
	if err != nil {
		return err
	}
	return c.show(ctx, w, func(out io.Writer) {
		row(out, "Worker:", strings.TrimSpace(w.ID+" "+w.Name))
		row(out, "State:", w.State)
		row(out, "Running:", w.Running)
		row(out, "Offers:", resources(w.Total)+"; free "+resources(w.Free))
		if len(w.JobTypes) > 0 {
			row(out, "Job types:", strings.Join(w.JobTypes, ", "))
		}
		if len(w.Labels) > 0 {
			row(out, "Labels:", labels(w.Labels))
		}
		if w.State == api.WorkerDraining {
			row(out, "Next:", "ciro worker resume, to take tasks again")
		}
	})
}

// blobGroup is `ciro blob …`.
func (c *console) blobGroup() *cli.Command {
	usage := func(collect bool) cli.ActionFunc {
		return withNode(0, func(ctx *cli.Context, node *client.Client) error {
			u, err := node.Usage(ctx.Context, collect)
			if err != nil {
				return err
			}
			return c.show(ctx, u, func(w io.Writer) {
				quota := "no limit"
				if u.Quota > 0 {
					quota = jobspec.ShowSize(u.Quota)
				}
				row(w, "Stored:", fmt.Sprintf("%s in %d blocks", jobspec.ShowSize(u.Bytes), u.Blocks))
				row(w, "Quota:", quota)
				row(w, "Pinned:", fmt.Sprintf("%d contents, kept for jobs", u.Pins))
				if collect {
					row(w, "Freed:", jobspec.ShowSize(u.Freed))
				}
			})
		})
	}
	return &cli.Command{Name: "blob", Usage: "content that the node keeps", Subcommands: []*cli.Command{
		{Name: "usage", Usage: "what content takes, and the quota", Action: usage(false)},
		{Name: "collect", Aliases: []string{"gc"}, Usage: "remove content that no job needs (the node also does it by itself)", Action: usage(true)},
	}}
}

// identityGroup is `ciro identity …`: it works on the data directory, whether or
// not its node runs.
func (c *console) identityGroup() *cli.Command {
	return &cli.Command{Name: "identity", Usage: "the keys that make this node what it is", Subcommands: []*cli.Command{
		{Name: "show", Usage: "the node's peer id and the key of its clients", Action: func(ctx *cli.Context) error {
			if err := wantArgs(ctx, 0); err != nil {
				return err
			}
			id, err := c.identity(ctx, false)
			if err != nil {
				return err
			}
			return c.show(ctx, id, func(w io.Writer) {
				row(w, "Peer:", id.Peer)
				row(w, "Client key:", id.Client)
			})
		}},
		{Name: "export", ArgsUsage: "FILE", Usage: "write the secret keys to a file, for a backup or a new machine", Action: c.exportIdentity,
			Description: "FILE holds the secrets: whoever has it is this node. - writes to standard output. The keys are one part of\n" +
				"a node; its promises as a coordinator are in its data directory. Never run two nodes with one identity."},
		{Name: "import", ArgsUsage: "FILE", Usage: "put exported keys into a data directory that has none", Action: c.importIdentity},
	}}
}

func (c *console) identity(ctx *cli.Context, secrets bool) (node.Identity, error) {
	dir, err := dataDir(ctx)
	if err != nil {
		return node.Identity{}, err
	}
	return node.ReadIdentity(dir, secrets)
}

// exportIdentity is `ciro identity export`.
func (c *console) exportIdentity(ctx *cli.Context) error {
	if err := wantArgs(ctx, 1); err != nil {
		return err
	}
	id, err := c.identity(ctx, true)
	if err != nil {
		return err
	}
	data, err := json.MarshalIndent(id, "", "  ")
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	data = append(data, '\n')
	name := ctx.Args().First()
	if name == "-" {
		_, err = c.out.Write(data)
		return err
	}
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("export identity: %w; name a file that does not exist", err)
	}
	_, err = f.Write(data)
	if closed := f.Close(); err == nil {
		err = closed
	}
	if err != nil {
		return fmt.Errorf("export identity: %w", err)
	}
	fmt.Fprintf(c.err, "the secrets of %s are in %s; keep it safe\n", id.Peer, name)
	return nil
}

// importIdentity is `ciro identity import`.
func (c *console) importIdentity(ctx *cli.Context) error {
	if err := wantArgs(ctx, 1); err != nil {
		return err
	}
	dir, err := dataDir(ctx)
	if err != nil {
		return err
	}
	data, err := readBounded(c, ctx.Args().First(), 64<<10)
	if err != nil {
		return fmt.Errorf("import identity: %w", err)
	}
	var id node.Identity
	if err := json.Unmarshal(data, &id); err != nil {
		return fmt.Errorf("import identity: %s is no exported identity: %w", ctx.Args().First(), err)
	}
	if err := node.WriteIdentity(dir, id); err != nil {
		return err
	}
	fmt.Fprintf(c.err, "%s is now %s\n", dir, id.Peer)
	return nil
}

// readBounded reads a file, or standard input for -, of at most limit bytes.
func readBounded(c *console, name string, limit int64) ([]byte, error) {
	in := c.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, limit+1))
	if err == nil && int64(len(data)) > limit {
		err = fmt.Errorf("%s is larger than %d bytes", name, limit)
	}
	return data, err
}
