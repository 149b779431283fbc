package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// maxProofFile bounds what verify reads.
const maxProofFile = 64 << 20

// chainGroup is `ciro chain …`.
func (c *console) chainGroup() *cli.Command {
	return &cli.Command{Name: "chain", Usage: "the shards' ledgers, and proofs of what they hold", Subcommands: []*cli.Command{
		{
			Name: "prove", Usage: "write the proof file of a job", ArgsUsage: "JOB",
			Description: "Writes to standard output, or to --out, a file that shows who was given which attempt of the job and which\n" +
				"results count, to anybody who has the network's id. Waits until the job's records are anchored.\n\n" +
				"Example:\n   ciro chain prove JOB > proof.json",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "out", Usage: "`FILE` instead of standard output"},
				&cli.DurationFlag{Name: "timeout", Usage: "how long to wait for the anchor; 0: ask once", Value: time.Minute},
			},
			Action: withNode(1, c.proveJob),
		},
		{
			Name: "verify", Usage: "check a proof file; needs no node", ArgsUsage: "FILE",
			Description: "FILE is a proof; - reads it from standard input. Exit code 0 says that it holds, 1 that it does not (the\n" +
				"sentence names what does not fit), 2 that the command line is wrong.\n\n" +
				"What it proves: replicas that the network's founder leads to signed exactly these records, and everything up\n" +
				"to the ledger's head after them. It proves the shard's consistency, not its honesty, and not that results are\n" +
				"right.\n\nExample:\n   ciro chain verify proof.json --network ID",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "network", Usage: "`ID` of the network, as ciro status prints it (default: the file's own, to be compared by you)"},
				&cli.StringSliceFlag{Name: "trust", Usage: "take the signatures of this `PEER` too, whoever named it"},
			},
			Action: c.verifyProof,
		},
		{Name: "status", Usage: "how far every shard's ledger is", Action: withNode(0, c.chainStatus)},
		{
			Name: "entries", Usage: "a shard's ledger, newest entries first", ArgsUsage: "SHARD",
			Flags: []cli.Flag{
				&cli.IntFlag{Name: "limit", Usage: "at most `N` entries, 1 to 1000", Value: 20},
				&cli.Uint64Flag{Name: "before", Usage: "entries with lower numbers than `N`"},
			},
			Action: withNode(1, c.chainEntries),
		},
	}}
}

// proveJob is `ciro chain prove`.
func (c *console) proveJob(ctx *cli.Context, n *client.Client) error {
	data, err := c.awaitProof(ctx.Context, n, ctx.Args().First(), ctx.Duration("timeout"))
	if err != nil {
		return err
	}
	if name := ctx.String("out"); name != "" {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return err
		}
		fmt.Fprintf(c.err, "%s: %d bytes\n", name, len(data))
		return nil
	}
	_, err = c.out.Write(data)
	return err
}

// awaitProof asks for a proof until the job's records are anchored.
func (c *console) awaitProof(ctx context.Context, n *client.Client, id string, limit time.Duration) ([]byte, error) {
	told, until := false, time.Now().Add(limit)
	for {
		data, err := n.Proof(ctx, id)
		var refused *api.Refusal
		if err == nil || !errors.As(err, &refused) || refused.Code != api.CodeNotAnchored {
			return data, err
		}
		if limit <= 0 || time.Now().After(until) {
			return nil, refused
		}
		if !told {
			fmt.Fprintf(c.err, "%s; waiting\n", refused.Message)
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// readProof reads a proof file, or standard input.
func (c *console) readProof(name string) ([]byte, error) {
	in := c.in
	if name != "-" {
		f, err := os.Open(name)
		if err != nil {
			return nil, usage("%v", err)
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxProofFile+1))
	if err != nil {
		return nil, fmt.Errorf("read the proof: %w", err)
	}
	return data, nil
}

// verifyProof is `ciro chain verify`.
func (c *console) verifyProof(ctx *cli.Context) error {
	if ctx.NArg() != 1 {
		return usage("name one proof file; see ciro chain verify --help")
	}
	network := strings.ToLower(strings.TrimSpace(ctx.String("network")))
	if network != "" && (len(network) != 64 || strings.Trim(network, "0123456789abcdef") != "") {
		return usage("--network %q is no network id; it has 64 hexadecimal digits, as ciro status prints it", clean(network))
	}
	data, err := c.readProof(ctx.Args().First())
	if err != nil {
		return err
	}
	v, err := node.VerifyProof(data, node.ProofRules{Network: network, Trust: ctx.StringSlice("trust")})
	if err != nil {
		return outcomeError{code: exitFailed, text: "NOT PROVED: " + clean(err.Error())}
	}
	return c.show(ctx, v, func(w io.Writer) {
		row(w, "PROVED:", fmt.Sprintf("%d records of job %s", len(v.Records), v.Job))
		row(w, "Network:", fmt.Sprintf("%s %s", v.Network, clean(v.Name)))
		row(w, "Founder:", v.Founder)
		row(w, "Shard:", v.Shard)
		row(w, "Batches:", fmt.Sprint(v.Batches))
		row(w, "Ledger head:", fmt.Sprintf("entry %d, cut %s", v.Head, moment(api.At(time.UnixMilli(v.HeadAt)))))
		row(w, "Signed by:", strings.Join(v.Signers, ", "))
		if len(v.Through) > 0 {
			row(w, "Named by:", fmt.Sprintf("entries %v, back to the founder", v.Through))
		}
		fmt.Fprintln(w)
		row(w, "RECORD", "TASK", "ATTEMPT", "WORKER", "FENCE", "EXIT", "OUTPUT")
		for _, r := range v.Records {
			exit, output := "-", "-"
			if r.Result != nil {
				exit, output = fmt.Sprint(r.Result.Exit), clean(r.Result.Output)
			}
			row(w, r.Kind, taskName(int(r.Task)), r.Attempt, short(clean(r.Worker)), r.Fence, exit, output)
		}
		fmt.Fprintln(w)
		if !v.Given {
			fmt.Fprintln(w, "The network is the file's own word: compare its id with the one that you know, or give --network.")
		}
		fmt.Fprintln(w, "This shows that the shard's replicas signed these records and all up to the head: its consistency, not its")
		fmt.Fprintln(w, "honesty, not that results are right, and not that there are no other records of the job.")
	})
}

// chainStatus is `ciro chain status`.
func (c *console) chainStatus(ctx *cli.Context, n *client.Client) error {
	s, err := n.ChainStatus(ctx.Context)
	if err != nil {
		return err
	}
	err = c.show(ctx, s, func(w io.Writer) {
		row(w, "Network:", s.Network)
		row(w, "Anchor:", s.Anchor)
		fmt.Fprintln(w)
		row(w, "SHARD", "ANCHORED", "PENDING", "CUT", "RECORDS", "OPEN", "HEAD", "CUT AT", "MISMATCHES")
		for _, k := range s.Shards {
			row(w, k.Shard, k.Anchored, k.Pending, k.Cut, k.Records, k.Open, fmt.Sprintf("%.12s", k.Head), moment(k.HeadAt), k.Mismatches)
		}
	})
	if len(s.Unanswered) > 0 {
		fmt.Fprintf(c.err, "shards %s did not answer: they are missing here\n", numbers(s.Unanswered))
	}
	if s.Local > 0 {
		fmt.Fprintf(c.err, "LEDGER MISMATCH: the node disagrees with what was anchored at %d entries of shards %s; its log names them\n",
			s.Local, numbers(s.LocalShards))
	}
	return err
}

// chainEntries is `ciro chain entries`.
func (c *console) chainEntries(ctx *cli.Context, n *client.Client) error {
	var shard int
	if _, err := fmt.Sscanf(ctx.Args().First(), "%d", &shard); err != nil {
		return usage("%q is no number of a shard", clean(ctx.Args().First()))
	}
	page, err := n.LedgerEntries(ctx.Context, api.EntryQuery{Shard: shard, Before: ctx.Uint64("before"), Limit: ctx.Int("limit")})
	if err != nil {
		return err
	}
	err = c.show(ctx, page, func(w io.Writer) {
		row(w, "ENTRY", "TERM", "RECORDS", "CUT AT", "SIGNER", "REFERENCE", "MEMBERS")
		for _, e := range page.Entries {
			var members []string
			for _, m := range e.Members {
				members = append(members, short(m))
			}
			row(w, e.Seq, e.Term, e.Records, moment(e.At), short(e.Signer), e.Reference, strings.Join(members, ","))
		}
	})
	if page.Next > 0 {
		fmt.Fprintf(c.err, "there are more: --before %d\n", page.Next)
	}
	return err
}
