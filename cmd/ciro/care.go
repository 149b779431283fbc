package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// dryRunAction is `ciro job submit --dry-run`: nothing is uploaded or committed.
func (c *console) dryRunAction(ctx *cli.Context, node *client.Client, o offer) error {
	d, err := node.DryRun(ctx.Context, o.doc.JSON())
	if err != nil {
		return err
	}
	return c.show(ctx, d, func(w io.Writer) {
		row(w, "Job:", fmt.Sprintf("%s is valid: %s (nothing was submitted)", d.Name, plural(d.Tasks, "task")))
		row(w, "Workers:", fmt.Sprintf("%d of %d could run a task now, %d when they have room", d.Now, d.Waiting.Workers, d.Ever))
		row(w, "Placing:", fmt.Sprintf("%s (%s)", d.Waiting.Sentence, d.Waiting.Code))
		if d.Gather != nil {
			row(w, "Gather task:", fmt.Sprintf("%s (%s)", d.Gather.Sentence, d.Gather.Code))
		}
		excludedRows(w, d.Waiting.Excluded)
		ahead := fmt.Sprintf("%s would be served before it", plural(d.AheadMost, "waiting task"))
		if d.AheadLeast != d.AheadMost {
			ahead = fmt.Sprintf("%d to %d waiting tasks would be served before it, depending on its shard", d.AheadLeast, d.AheadMost)
		}
		row(w, "Queue:", ahead)
		if len(d.Without) > 0 && d.Ever > 0 {
			row(w, "Note:", fmt.Sprintf("no such worker is attached to shards %s; a job that falls there waits", numbers(d.Without)))
		}
		row(w, "As of:", fmt.Sprintf("%s, from the coordinators; what they know of workers is at most %s old", moment(d.AsOf), span(d.Age)))
		if len(d.Unanswered) > 0 {
			row(w, "Missing:", fmt.Sprintf("shards %s did not answer", numbers(d.Unanswered)))
		}
	})
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// excludedRows writes what keeps workers from a task, one condition a line, when
// there are several.
func excludedRows(w io.Writer, list []api.Exclusion) {
	if len(list) < 2 {
		return
	}
	for _, x := range list {
		row(w, "  "+x.Reason+":", fmt.Sprintf("%s (%d for nothing else): %s", x.Condition, x.Alone, x.Change))
	}
}

// clipped keeps a table readable; describe shows all of it.
func clipped(text string) string {
	const most = 80
	if r := []rune(text); len(r) > most {
		return string(r[:most-1]) + "…"
	}
	return text
}

// retryJob is `ciro job retry`. It names the round that it opens, so that it can
// repeat the request while the outcome is unknown.
func (c *console) retryJob(ctx *cli.Context, node *client.Client) error {
	limited, cancel := context.WithTimeout(ctx.Context, submitPatience)
	defer cancel()
	job, err := describeSteadily(limited, node, ctx.Args().First())
	if err != nil {
		return err
	}
	q := api.RetryQuery{Round: job.Round + 1}
	if ctx.IsSet("task") {
		task := ctx.Int("task")
		q.Task = &task
	}
	if ctx.IsSet("round") {
		q.Round = ctx.Int("round")
	}
	for {
		round, err := node.Retry(limited, job.ID, q)
		if err == nil {
			return c.show(ctx, round, func(w io.Writer) {
				row(w, "Job:", round.Job)
				row(w, "Round:", round.Round)
				if !round.Created {
					row(w, "Note:", "this round had been opened before")
				}
				row(w, "Next:", "ciro job watch "+short(round.Job))
			})
		}
		refusal, ok := errors.AsType[*api.Refusal](err)
		if !ok || notSent(err) || refusal.Code != api.CodeUnavailable && refusal.Code != api.CodeBusy {
			return err
		}
		pause := time.NewTimer(max(refusal.RetryAfter, 500*time.Millisecond))
		select {
		case <-pause.C:
		case <-limited.Done():
			pause.Stop()
			return fmt.Errorf("the round may or may not have been opened (repeat with --round %d): %w", q.Round, err)
		}
	}
}

// deadLetters is `ciro job dead-letters`.
func (c *console) deadLetters(ctx *cli.Context, node *client.Client) error {
	limit := ctx.Int("limit")
	if limit < 1 || limit > api.MaxListLimit {
		return usage("--limit is %d; it goes from 1 to %d", limit, api.MaxListLimit)
	}
	list, err := node.DeadLetters(ctx.Context, limit)
	if err != nil {
		return err
	}
	err = c.show(ctx, list, func(w io.Writer) {
		row(w, "JOB", "NAME", "JOB STATE", "TASK", "ATTEMPTS", "CAUSE", "DIED", "DETAIL")
		for _, l := range list.Letters {
			var last api.AttemptError
			if n := len(l.Errors); n > 0 {
				last = l.Errors[n-1]
			}
			row(w, short(l.Job), l.Name, l.JobState, taskName(l.Index), l.Attempt, last.Cause, moment(l.Ended), clipped(last.Detail))
		}
	})
	if list.Truncated {
		fmt.Fprintln(c.err, "there are more: raise --limit")
	}
	if len(list.Unanswered) > 0 {
		fmt.Fprintf(c.err, "shards %s did not answer: their dead letters are missing here\n", numbers(list.Unanswered))
	}
	return err
}
