package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
	"github.com/ciro-network/ciro/node/jobspec"
)

// jobGroup is `ciro job …`.
func (c *console) jobGroup() *cli.Command {
	return &cli.Command{
		Name:  "job",
		Usage: "hand in jobs, follow them, fetch their results",
		Subcommands: []*cli.Command{
			{
				Name: "submit", Usage: "hand in a job", ArgsUsage: "FILE",
				Description: "FILE is a job spec in YAML or JSON; - reads it from standard input. Files that it names are\n" +
					"read here, relative to FILE, and uploaded. Without FILE, --job-type takes a job that ships with\n" +
					"the program: render3d, ai-inference, or wordcount.\n\nExamples:\n   ciro job submit job.yaml --priority high\n" +
					"   ciro job submit - --set resources.memory=1GiB < job.yaml\n   ciro job submit --job-type render3d --tasks 24\n" +
					"   ciro job submit job.yaml --dry-run",
				Flags: append(submitFlags(), &cli.BoolFlag{DisableDefaultText: true, Name: "dry-run",
					Usage: "check the job and say who could run it; upload and submit nothing"}),
				Action: c.submitAction,
			},
			{
				Name: "run", Usage: "hand in a job, watch it, fetch its results", ArgsUsage: "FILE",
				Description: "Examples:\n   ciro job run job.yaml --dest out\n   ciro job run --job-type render3d --dest picture",
				Flags: append(submitFlags(), &cli.StringFlag{Name: "dest", Aliases: []string{"d"},
					Usage: "`FOLDER` for the results (default: leave them in the mesh)"}),
				Action: c.runAction,
			},
			{Name: "list", Aliases: []string{"ls"}, Usage: "list jobs, newest facts of every shard", Flags: listFlags(), Action: withNode(0, c.listJobs)},
			{Name: "get", Usage: "one job in short", ArgsUsage: "JOB", Flags: []cli.Flag{staleFlag()}, Action: withNode(1, c.getJob)},
			{Name: "describe", Usage: "one job with its tasks, attempts and errors", ArgsUsage: "JOB",
				Flags: []cli.Flag{staleFlag()}, Action: withNode(1, c.describeJob)},
			{Name: "wait", Usage: "wait for a job; the exit code is its outcome", ArgsUsage: "JOB",
				Flags: []cli.Flag{timeoutFlag()}, Action: withNode(1, c.waitJob)},
			{Name: "watch", Usage: "follow a job as it happens; the exit code is its outcome", ArgsUsage: "JOB",
				Flags: []cli.Flag{timeoutFlag()}, Action: withNode(1, c.watchJob)},
			{Name: "logs", Usage: "show what a task printed", ArgsUsage: "JOB",
				Description: "Examples:\n   ciro job logs 5ba23c --task 3 --follow\n   ciro job logs 5ba23c --gather --stderr",
				Flags:       logFlags(), Action: withNode(1, c.jobLogs)},
			{Name: "results", Usage: "list a job's results, or fetch them with --dest", ArgsUsage: "JOB",
				Flags: []cli.Flag{
					&cli.StringFlag{Name: "dest", Aliases: []string{"d"}, Usage: "`FOLDER` to write them to"},
					&cli.IntFlag{Name: "task", Usage: "outputs of one task instead (-1: the gather task)"},
				}, Action: withNode(1, c.jobResults)},
			{Name: "cancel", Usage: "cancel a job", ArgsUsage: "JOB",
				Flags:  []cli.Flag{&cli.StringFlag{Name: "reason", Usage: "`TEXT` for the record"}},
				Action: withNode(1, c.cancelJob)},
			{Name: "retry", Usage: "open the next round of a failed job", ArgsUsage: "JOB",
				Description: "Dead tasks are queued again with nothing counted against them; results that stand stay.\n\n" +
					"Examples:\n   ciro job retry 5ba23c\n   ciro job retry 5ba23c --task 3",
				Flags: []cli.Flag{
					&cli.IntFlag{Name: "task", Usage: "`N`: only this dead task, with those that merely ended with the job (-1: the gather task)"},
					&cli.IntFlag{Name: "round", Usage: "`N`: the round to open (default: the next); repeating with it is safe"},
				}, Action: withNode(1, c.retryJob)},
			{Name: "dead-letters", Usage: "list tasks that were given up", Flags: []cli.Flag{
				&cli.IntFlag{Name: "limit", Usage: "at most `N` tasks, 1 to 1000", Value: 100},
			}, Action: withNode(0, c.deadLetters)},
		},
	}
}

// listFlags are the flags of `ciro job list`.
func listFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "state", Usage: "only jobs in this `STATE`"},
		&cli.StringFlag{Name: "type", Usage: "only jobs of this `TYPE`"},
		&cli.IntFlag{Name: "limit", Usage: "at most `N` jobs, 1 to 1000", Value: 100},
		&cli.StringFlag{Name: "cursor", Usage: "go on after an earlier page (`TEXT` from there)"},
	}
}

func staleFlag() cli.Flag {
	return &cli.BoolFlag{DisableDefaultText: true, Name: "stale", Usage: "the last known state will do when the job's shard does not answer"}
}

func timeoutFlag() cli.Flag {
	return &cli.DurationFlag{Name: "timeout", Usage: "give up after this `DURATION` with exit code 4 (default: never)"}
}

// listJobs is `ciro job list`.
func (c *console) listJobs(ctx *cli.Context, node *client.Client) error {
	q := api.ListQuery{State: strings.ToLower(ctx.String("state")), Limit: ctx.Int("limit"), Cursor: ctx.String("cursor")}
	if q.Limit < 1 || q.Limit > api.MaxListLimit {
		return usage("--limit is %d; it goes from 1 to %d", q.Limit, api.MaxListLimit)
	}
	if kind := ctx.String("type"); kind != "" {
		canonical, ok := jobspec.Canonical(kind)
		if !ok {
			return usage("there is no job type %q; there are %s", kind, strings.Join(jobspec.Types(), ", "))
		}
		q.Type = canonical
	}
	list, err := node.List(ctx.Context, q)
	if err != nil {
		return err
	}
	err = c.show(ctx, list, func(w io.Writer) {
		row(w, "JOB", "NAME", "TYPE", "STATE", "TASKS", "PRIORITY", "SUBMITTED")
		for _, j := range list.Jobs {
			row(w, short(j.ID), j.Name, j.Type, j.State, done(j.Counts), j.Priority, moment(j.Submitted))
		}
	})
	if len(list.Unanswered) > 0 {
		fmt.Fprintf(c.err, "shards %s did not answer: their jobs are missing here\n", numbers(list.Unanswered))
	}
	if list.Next != "" {
		fmt.Fprintf(c.err, "there are more: --cursor %s\n", list.Next)
	}
	return err
}

// done writes done/total.
func done(n api.TaskCounts) string { return fmt.Sprintf("%d/%d", n.Done, n.Total) }

// getJob is `ciro job get`.
func (c *console) getJob(ctx *cli.Context, node *client.Client) error {
	j, err := node.JobStatus(ctx.Context, ctx.Args().First(), ctx.Bool("stale"))
	if err != nil {
		return err
	}
	return c.show(ctx, j, func(w io.Writer) { summaryRows(w, j) })
}

// summaryRows writes what the short and the long view share.
func summaryRows(w io.Writer, j api.JobSummary) {
	row(w, "Job:", j.ID)
	row(w, "Name:", j.Name)
	row(w, "Type:", j.Type)
	row(w, "State:", j.State)
	if j.Reason != nil {
		row(w, "Reason:", fmt.Sprintf("%s (%s)", j.Reason.Sentence, j.Reason.Code))
	}
	if j.Round > 1 {
		row(w, "Round:", j.Round)
	}
	row(w, "Priority:", j.Priority)
	row(w, "Tasks:", counts(j.Counts))
	row(w, "Submitted:", moment(j.Submitted))
	row(w, "Started:", moment(j.Started))
	row(w, "Ended:", moment(j.Ended))
	if j.ClientAddress != "" {
		row(w, "Client:", j.ClientAddress)
	}
}

// counts writes 4 (1 queued, 1 running, 2 done), without the zeros.
func counts(n api.TaskCounts) string {
	var parts []string
	for _, p := range []struct {
		n    int
		name string
	}{{n.Queued, "queued"}, {n.Assigned, "assigned"}, {n.Running, "running"}, {n.Done, "done"}, {n.Dead, "dead"}} {
		if p.n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", p.n, p.name))
		}
	}
	if len(parts) == 0 {
		return strconv.Itoa(n.Total)
	}
	return fmt.Sprintf("%d (%s)", n.Total, strings.Join(parts, ", "))
}

// describeJob is `ciro job describe`.
func (c *console) describeJob(ctx *cli.Context, node *client.Client) error {
	j, err := node.Describe(ctx.Context, ctx.Args().First(), ctx.Bool("stale"))
	if err != nil {
		return err
	}
	return c.show(ctx, j, func(w io.Writer) {
		summaryRows(w, j.JobSummary)
		row(w, "Shard:", fmt.Sprintf("%d, coordinator %s, term %d", j.Shard, short(j.Coordinator), j.Term))
		if j.WaitingFor != nil {
			row(w, "Waiting for:", fmt.Sprintf("%s (%s)", j.WaitingFor.Sentence, j.WaitingFor.Code))
			excludedRows(w, j.WaitingFor.Excluded)
		}
		if j.Result != "" {
			row(w, "Result:", j.Result)
		}
		row(w, "Kept until:", moment(j.KeptUntil))
		if j.Stale {
			row(w, "Stale:", "the shard did not answer; this was so at "+moment(j.AsOf))
		}
		tasks := j.Tasks
		if j.Gather != nil {
			tasks = append(tasks[:len(tasks):len(tasks)], *j.Gather)
		}
		taskRows(w, tasks)
		errorRows(w, tasks)
	})
}

// taskName is a task's index, or gather.
func taskName(index int) string {
	if index == api.GatherIndex {
		return "gather"
	}
	return strconv.Itoa(index)
}

// taskRows writes the table of tasks.
func taskRows(w io.Writer, tasks []api.Task) {
	if len(tasks) == 0 {
		return
	}
	fmt.Fprintln(w)
	row(w, "TASK", "STATE", "ATTEMPT", "WORKER", "PROGRESS", "EXIT", "MESSAGE")
	for _, t := range tasks {
		exit := "-"
		if t.Exit != nil {
			exit = strconv.Itoa(*t.Exit)
		}
		if t.DeadLetter {
			t.State = "dead (letter)"
		}
		row(w, taskName(t.Index), t.State, t.Attempt, short(t.Worker), fmt.Sprintf("%.0f %%", 100*t.Progress), exit, t.Message)
	}
}

// errorRows writes what went wrong, attempt by attempt.
func errorRows(w io.Writer, tasks []api.Task) {
	headed := false
	for _, t := range tasks {
		for _, e := range t.Errors {
			if !headed {
				fmt.Fprintln(w)
				row(w, "FAILED TASK", "ATTEMPT", "WORKER", "CAUSE", "CLASS", "AT", "DETAIL")
				headed = true
			}
			row(w, taskName(t.Index), e.Attempt, short(e.Worker), e.Cause, e.Class, moment(e.At), e.Detail)
		}
	}
}

// cancelJob is `ciro job cancel`.
func (c *console) cancelJob(ctx *cli.Context, node *client.Client) error {
	id := ctx.Args().First()
	if err := node.Cancel(ctx.Context, id, ctx.String("reason")); err != nil {
		return err
	}
	return c.show(ctx, map[string]string{"job": id, "state": api.JobCancelled}, func(w io.Writer) {
		fmt.Fprintf(w, "cancelled job %s\n", clean(id))
	})
}
