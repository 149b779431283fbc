package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// workerGroup is `ciro worker …`.
func (c *console) workerGroup() *cli.Command {
	return &cli.Command{Name: "worker", Usage: "the workers of the mesh", Subcommands: append([]*cli.Command{
		{Name: "list", Aliases: []string{"ls"}, Usage: "the workers that the node has heard of", Action: withNode(0, c.listWorkers)},
	}, c.operatorCommands()...)}
}

// networkGroup is `ciro network …`.
func (c *console) networkGroup() *cli.Command {
	return &cli.Command{Name: "network", Usage: "the nodes and shards of the mesh", Subcommands: append([]*cli.Command{
		{Name: "peers", Usage: "the nodes that the node knows", Action: withNode(0, c.listPeers)},
		{Name: "shards", Usage: "every shard with its coordinator and voters", Action: withNode(0, c.listShards)},
		{Name: "health", Usage: "the verdict on the mesh; exit code 1 unless it is ok", Action: withNode(0, c.networkHealth)},
	}, c.coordinatorCommands()...)}
}

// listWorkers is `ciro worker list`.
func (c *console) listWorkers(ctx *cli.Context, node *client.Client) error {
	list, err := node.Workers(ctx.Context)
	if err != nil {
		return err
	}
	return c.show(ctx, list, func(w io.Writer) {
		row(w, "WORKER", "NAME", "STATE", "RUNNING", "FREE", "OF", "LABELS", "SEEN")
		for _, k := range list.Workers {
			row(w, short(k.ID)+self(k.Self), k.Name, k.State, k.Running, resources(k.Free), resources(k.Total), labels(k.Labels), moment(k.Seen))
		}
	})
}

// self marks the answering node.
func self(yes bool) string {
	if yes {
		return " *"
	}
	return ""
}

// labels writes a=b,c=d in order.
func labels(m map[string]string) string {
	var parts []string
	for _, key := range slices.Sorted(maps.Keys(m)) {
		parts = append(parts, key+"="+m[key])
	}
	return strings.Join(parts, ",")
}

// listPeers is `ciro network peers`.
func (c *console) listPeers(ctx *cli.Context, node *client.Client) error {
	peers, err := node.Peers(ctx.Context)
	if err != nil {
		return err
	}
	return c.show(ctx, api.PeerList{Peers: peers}, func(w io.Writer) {
		row(w, "PEER", "NAME", "ROLES", "CONNECTED", "TRANSPORT", "LATENCY", "ADDRESS")
		for _, p := range peers {
			connected, latency, address := "no", "-", "-"
			if p.Connected {
				connected = "yes"
			}
			if p.Latency > 0 {
				latency = span(p.Latency)
			}
			if len(p.Addresses) > 0 {
				address = p.Addresses[0]
			}
			row(w, short(p.ID), p.Name, strings.Join(p.Roles, ","), connected, p.Transport, latency, address)
		}
	})
}

// listShards is `ciro network shards`.
func (c *console) listShards(ctx *cli.Context, node *client.Client) error {
	list, err := node.Shards(ctx.Context)
	if err != nil {
		return err
	}
	err = c.show(ctx, list, func(w io.Writer) {
		row(w, "SHARD", "COORDINATOR", "TERM", "VOTERS", "COMPLETE", "JOBS", "QUEUED", "HERE")
		for _, s := range list.Shards {
			complete := "no"
			if s.Complete {
				complete = "yes"
			}
			row(w, s.ID, short(s.Leader), s.Term, voters(s), complete, s.Jobs, s.Queued, s.Local)
		}
	})
	for _, s := range list.Shards {
		if s.Trouble != "" {
			fmt.Fprintln(c.err, s.Trouble)
		}
	}
	if len(list.Unanswered) > 0 {
		fmt.Fprintf(c.err, "shards %s did not answer: what is said of them is old\n", numbers(list.Unanswered))
	}
	return err
}

// voters writes 3/3 and a learner if there is one.
func voters(s api.Shard) string {
	n, learners := 0, 0
	for _, v := range s.Voters {
		if v.Learner {
			learners++
		} else {
			n++
		}
	}
	text := fmt.Sprintf("%d/%d", n, s.Target)
	if learners > 0 {
		text += fmt.Sprintf(" +%d learner", learners)
	}
	return text
}

// networkHealth is `ciro network health`.
func (c *console) networkHealth(ctx *cli.Context, node *client.Client) error {
	health, err := node.Health(ctx.Context)
	if err != nil {
		return err
	}
	if err := c.show(ctx, health, func(w io.Writer) { healthRows(w, health) }); err != nil {
		return err
	}
	if health.Status != api.HealthOK {
		return outcomeError{code: exitFailed}
	}
	return nil
}

// healthRows writes a verdict and its findings.
func healthRows(w io.Writer, h api.Health) {
	replicated := "not every shard has all its voters"
	if h.FullyReplicated {
		replicated = "every shard has all its voters"
	}
	row(w, "Health:", h.Status+", "+replicated)
	for _, check := range h.Checks {
		if !check.OK {
			row(w, "  "+check.Name+":", check.Detail)
		}
	}
}

// statusAction is `ciro status`.
func (c *console) statusAction(ctx *cli.Context, node *client.Client) error {
	s, err := node.Status(ctx.Context)
	if err != nil {
		return err
	}
	health, err := node.Health(ctx.Context)
	if err != nil {
		return err
	}
	both := struct {
		api.Status
		API    string     `json:"api"`
		Health api.Health `json:"health"`
	}{s, node.Addr(), health}
	return c.show(ctx, both, func(w io.Writer) {
		roles := strings.Join(s.Roles, ", ")
		if roles == "" {
			roles = "none (a door to the mesh)"
		}
		row(w, "Node:", s.Peer+" "+s.Name)
		row(w, "Version:", s.Version)
		row(w, "Network:", strings.TrimSpace(s.Title+" "+s.Network))
		row(w, "Roles:", roles)
		row(w, "Up:", span(s.Uptime))
		row(w, "API:", "http://"+node.Addr())
		for _, address := range s.Addresses {
			row(w, "Address:", address)
		}
		row(w, "Peers:", s.Peers)
		row(w, "Shards:", fmt.Sprintf("%d in all; leads %d, votes in %d", s.Shards, len(s.Leads), len(s.Votes)))
		row(w, "Offers:", resources(s.Total)+"; free "+resources(s.Free))
		row(w, "Running:", s.Running)
		healthRows(w, health)
		if s.JoinHint != "" {
			row(w, "To join:", s.JoinHint)
		}
	})
}
