package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// follower is told what happens to a job.
type follower interface {
	// begin is called with the job as it is, at first and after events were lost.
	begin(job api.Job)
	// event is called for every event, in order.
	event(e api.Event) error
	// remark says something about the watching itself.
	remark(text string)
	// end is called once, with the job as it ended.
	end(job api.Job)
}

// followJob follows a job to its end and returns it as it ended. Lost connections
// and changes of coordinator are remarks, not errors.
func followJob(ctx context.Context, node *client.Client, id string, f follower) (api.Job, error) {
	node.OnRetry(func(cause error, wait time.Duration) {
		f.remark(fmt.Sprintf("connection lost, trying again in %v: %v", wait.Round(100*time.Millisecond), cause))
	})
	job, err := node.Describe(ctx, id, true)
	if err != nil {
		return job, err
	}
	f.begin(job)
	for after := ""; !api.Terminal(job.State); {
		reset := false
		err := node.Watch(ctx, api.WatchQuery{Job: job.ID, After: after}, func(e api.Event) error {
			if e.Cursor != "" {
				after = e.Cursor
			}
			if e.Kind == api.EventReset {
				reset = true
				return errReset
			}
			return f.event(e)
		})
		if err != nil && !reset {
			return job, err
		}
		if job, err = describeSteadily(ctx, node, job.ID); err != nil {
			return job, err
		}
		if reset {
			f.begin(job)
		}
	}
	f.end(job)
	return job, nil
}

// errReset ends a watch whose cursor was too old.
var errReset = errors.New("events were lost")

// describeSteadily describes a job that is known to exist, until it is answered.
func describeSteadily(ctx context.Context, node *client.Client, id string) (api.Job, error) {
	for {
		job, err := node.Describe(ctx, id, false)
		refusal, ok := errors.AsType[*api.Refusal](err)
		if !ok || !refusal.Passing() {
			return job, err
		}
		pause := time.NewTimer(max(refusal.RetryAfter, 500*time.Millisecond))
		select {
		case <-pause.C:
		case <-ctx.Done():
			pause.Stop()
			return job, ctx.Err()
		}
	}
}

// outcome is the exit of a command that waited for a job; how it ended has been
// shown.
func outcome(job api.Job) error {
	switch job.State {
	case api.JobCompleted:
		return nil
	case api.JobCancelled:
		return outcomeError{code: exitCancelled}
	}
	return outcomeError{code: exitFailed}
}

// patience is ctx with the command's --timeout.
func patience(ctx *cli.Context) (context.Context, context.CancelFunc) {
	if limit := ctx.Duration("timeout"); limit > 0 {
		return context.WithTimeout(ctx.Context, limit)
	}
	return context.WithCancel(ctx.Context)
}

// timedOut gives the end of a --timeout a sentence.
func timedOut(ctx *cli.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) {
		return outcomeError{code: exitUnavailable,
			text: fmt.Sprintf("the job had not ended after %v; it goes on: look again with %s %s", ctx.Duration("timeout"),
				ctx.Command.HelpName, ctx.Args().First())}
	}
	return err
}

// waitJob is `ciro job wait`: silence, then how it ended.
func (c *console) waitJob(ctx *cli.Context, node *client.Client) error {
	limited, cancel := patience(ctx)
	defer cancel()
	job, err := followJob(limited, node, ctx.Args().First(), silent{c.err})
	if err != nil {
		return timedOut(ctx, err)
	}
	if err := c.show(ctx, job.JobSummary, func(w io.Writer) { fmt.Fprintln(w, verdict(job)) }); err != nil {
		return err
	}
	return outcome(job)
}

// watchJob is `ciro job watch`.
func (c *console) watchJob(ctx *cli.Context, node *client.Client) error {
	limited, cancel := patience(ctx)
	defer cancel()
	f, err := c.follower(ctx)
	if err != nil {
		return err
	}
	job, err := followJob(limited, node, ctx.Args().First(), f)
	if err != nil {
		return timedOut(ctx, err)
	}
	return outcome(job)
}

// follower chooses the view: a bar on a terminal, lines elsewhere, JSON lines
// for programs.
func (c *console) follower(ctx *cli.Context) (follower, error) {
	format, err := formatOf(ctx)
	if err != nil {
		return nil, err
	}
	switch {
	case format != formatTable:
		return jsonLines{silent{c.err}, json.NewEncoder(c.out)}, nil
	case c.live:
		return newBar(c.out), nil
	}
	return &lines{out: c.out}, nil
}

// runAction is `ciro job run`: submit, watch, fetch.
func (c *console) runAction(ctx *cli.Context) error {
	return c.withOffer(ctx, func(node *client.Client, o offer) error {
		f, err := c.follower(ctx)
		if err != nil {
			return err
		}
		accepted, err := c.submit(ctx, node, o)
		if err != nil {
			return err
		}
		f.remark(fmt.Sprintf("job %s accepted by shard %d (term %d, index %d), coordinator %s",
			accepted.Job, accepted.Shard, accepted.Term, accepted.Index, short(accepted.Coordinator)))
		job, err := followJob(ctx.Context, node, accepted.Job, f)
		if err != nil {
			return fmt.Errorf("job %s goes on, its watching ended: %w", accepted.Job, err)
		}
		dest := ctx.String("dest")
		if dest == "" || job.State != api.JobCompleted {
			return outcome(job)
		}
		list, err := node.Results(ctx.Context, job.ID, nil)
		if err != nil {
			return err
		}
		return c.download(ctx, node, list, dest)
	})
}

// verdict is how a job ended, in a sentence.
func verdict(job api.Job) string {
	text := fmt.Sprintf("job %s %s", short(job.ID), job.State)
	if !job.Ended.IsZero() && !job.Submitted.IsZero() {
		text += " after " + span(job.Ended.Sub(job.Submitted.Time).Seconds())
	}
	if job.Reason != nil {
		text += ": " + job.Reason.Sentence
	}
	if job.Result != "" {
		text += "; result " + job.Result
	}
	return clean(text)
}

// silent shows remarks only, on standard error.
type silent struct{ err io.Writer }

func (s silent) begin(api.Job)         {}
func (s silent) event(api.Event) error { return nil }
func (s silent) end(api.Job)           {}
func (s silent) remark(text string)    { fmt.Fprintln(s.err, clean(text)) }

// jsonLines writes one event a line, for programs.
type jsonLines struct {
	silent
	out *json.Encoder
}

func (j jsonLines) event(e api.Event) error { return j.out.Encode(e) }
