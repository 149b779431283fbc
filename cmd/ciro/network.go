package main

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// coordinatorCommands are the commands of `ciro network` that change who
// coordinates.
func (c *console) coordinatorCommands() []*cli.Command {
	return []*cli.Command{
		{Name: "admission", Usage: "which coordinators may vote", Action: withNode(0, c.admission)},
		{Name: "allow", Usage: "let a coordinator vote (on the founder's node)", ArgsUsage: "PEER", Action: withNode(1, c.allow(true))},
		{Name: "disallow", Aliases: []string{"deny"}, Usage: "let a coordinator vote no more (on the founder's node)", ArgsUsage: "PEER", Action: withNode(1, c.allow(false))},
		{Name: "leave", Usage: "give up the node's replicas, so that it can be stopped for good", Action: withNode(0, c.leave)},
		{Name: "recover-shard", Usage: "begin a shard anew that lost a majority of its voters for good", ArgsUsage: "SHARD",
			Description: "The way out when a majority of a shard's voters will never come back. It is refused while a\n" +
				"majority answers. It says what may be lost and asks; the group then begins anew with the\n" +
				"replica that knows most, and what returns of the old group is never heard again.\n\n" +
				"Example:\n   ciro network recover-shard 3 --lost 12D3KooWA… --lost 12D3KooWB…",
			Flags: []cli.Flag{
				&cli.StringSliceFlag{Name: "lost", Usage: "`PEER` that is lost for good; may be repeated"},
				&cli.BoolFlag{DisableDefaultText: true, Name: "yes", Usage: "do it without asking"},
			}, Action: withNode(1, c.recoverShard)},
	}
}

// maxShards is what a network may have.
const maxShards = 1024

// recoverShard is `ciro network recover-shard`.
func (c *console) recoverShard(ctx *cli.Context, node *client.Client) error {
	shard, err := strconv.Atoi(ctx.Args().First())
	if err != nil || shard < 0 || shard >= maxShards {
		return usage("%q is no number of a shard; ciro network shards lists them", ctx.Args().First())
	}
	if len(ctx.StringSlice("lost")) == 0 {
		return usage("name each voter that will never come back with --lost PEER; ciro network shards --output json names the shard's voters")
	}
	look, err := node.Recover(ctx.Context, shard, ctx.StringSlice("lost"), false)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.err, "shard %d would begin anew with the replica of %s: %s\n", shard, look.From, look.MayLose)
	if !ctx.Bool("yes") {
		fmt.Fprint(c.err, "type yes to go on: ")
		line, _ := bufio.NewReader(c.in).ReadString('\n') // no answer is a no
		if strings.TrimSpace(line) != "yes" {
			return fmt.Errorf("nothing was changed: the answer was not yes")
		}
	}
	done, err := node.Recover(ctx.Context, shard, ctx.StringSlice("lost"), true)
	if err != nil {
		return err
	}
	return c.show(ctx, done, func(w io.Writer) {
		fmt.Fprintf(w, "shard %d began anew with %s, recovery %d; it grows again as coordinators are there\n", shard, done.From, done.Epoch)
	})
}

// admission is `ciro network admission`.
func (c *console) admission(ctx *cli.Context, node *client.Client) error {
	a, err := node.Admission(ctx.Context)
	if err != nil {
		return err
	}
	return c.showAdmission(ctx, a)
}

func (c *console) showAdmission(ctx *cli.Context, a api.Admission) error {
	return c.show(ctx, a, func(w io.Writer) {
		rule := a.Rule
		switch rule {
		case api.AdmissionOpen:
			rule += " (every coordinator of the network may vote)"
		case api.AdmissionList:
			rule += " (the founder may vote, and whom it allows)"
		}
		row(w, "Rule:", rule)
		row(w, "Founder:", a.Founder)
		for _, p := range a.Allowed {
			row(w, "Allowed:", p)
		}
	})
}

// allow is `ciro network allow` and `disallow`.
func (c *console) allow(on bool) func(*cli.Context, *client.Client) error {
	return func(ctx *cli.Context, node *client.Client) error {
		a, err := node.Allow(ctx.Context, ctx.Args().First(), on)
		if err != nil {
			return err
		}
		return c.showAdmission(ctx, a)
	}
}

// leave is `ciro network leave`.
func (c *console) leave(ctx *cli.Context, node *client.Client) error {
	d, err := node.Leave(ctx.Context)
	if err != nil {
		return err
	}
	err = c.show(ctx, d, func(w io.Writer) {
		if len(d.Left) > 0 || len(d.Kept) == 0 {
			fmt.Fprintf(w, "left the groups of %d shards; until the node is started again it holds no more\n", len(d.Left))
		}
	})
	if err == nil && len(d.Kept) > 0 {
		return fmt.Errorf("shards %s could not be left: nobody else can hold them now; start another coordinator, wait until "+
			"ciro network health says that all voters are there, and leave again", numbers(d.Kept))
	}
	return err
}
