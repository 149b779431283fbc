package main

import (
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
	"github.com/ciro-network/ciro/node/jobspec"
)

// logFlags are the flags of `ciro job logs`.
func logFlags() []cli.Flag {
	return []cli.Flag{
		&cli.IntFlag{Name: "task", Usage: "index of the task"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "gather", Usage: "the gather task instead"},
		&cli.IntFlag{Name: "attempt", Usage: "number of the attempt (default: the newest)"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "stderr", Usage: "standard error instead of standard output"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "follow", Aliases: []string{"f"}, Usage: "go on until the attempt is over"},
	}
}

// jobLogs is `ciro job logs`: the task's bytes, untouched, on standard output.
// Followed ones are taken up again where a lost connection left them.
func (c *console) jobLogs(ctx *cli.Context, node *client.Client) error {
	q := api.LogQuery{Job: ctx.Args().First(), Task: ctx.Int("task"), Attempt: ctx.Int("attempt"), Stream: "stdout", Follow: ctx.Bool("follow")}
	if ctx.Bool("stderr") {
		q.Stream = "stderr"
	}
	if ctx.Bool("gather") {
		q.Task = api.GatherIndex
	}
	for {
		came := false
		err := node.Logs(ctx.Context, q, func(chunk api.LogChunk) error {
			came = true
			if chunk.Gap > 0 {
				fmt.Fprintf(c.err, "[%d bytes are no longer kept]\n", chunk.Gap)
			}
			q.Offset = chunk.Offset + int64(len(chunk.Data))
			q.Attempt = chunk.Attempt
			_, err := c.out.Write(chunk.Data)
			return err
		})
		if err == nil || !q.Follow || !came || ctx.Context.Err() != nil {
			return err
		}
		fmt.Fprintf(c.err, "connection lost (%v), going on\n", err)
	}
}

// jobResults is `ciro job results`.
func (c *console) jobResults(ctx *cli.Context, node *client.Client) error {
	var task *int
	if ctx.IsSet("task") {
		index := ctx.Int("task")
		task = &index
	}
	id := ctx.Args().First()
	list, err := node.Results(ctx.Context, id, task)
	if err != nil {
		return err
	}
	if dest := ctx.String("dest"); dest != "" {
		return c.download(ctx, node, list, dest)
	}
	return c.show(ctx, list, func(w io.Writer) {
		if list.CID != "" {
			fmt.Fprintln(w, list.CID)
		}
		row(w, "FILE", "SIZE")
		for _, f := range list.Files {
			name := f.Path
			if name == "" {
				name = "(a single file)"
			}
			row(w, name, jobspec.ShowSize(f.Size))
		}
	})
}

// download writes a result's files to a folder and says so.
func (c *console) download(ctx *cli.Context, node *client.Client, list api.BlobList, dest string) error {
	begun := time.Now()
	written, err := node.Download(ctx.Context, list, dest, "result")
	if err != nil {
		return err
	}
	total := int64(0)
	for _, f := range list.Files {
		total += f.Size
	}
	report := struct {
		CID   string   `json:"cid"`
		Dest  string   `json:"dest"`
		Files []string `json:"files"`
		Size  int64    `json:"size"`
	}{list.CID, dest, written, total}
	if report.Files == nil {
		report.Files = []string{}
	}
	if len(written) == 0 {
		fmt.Fprintln(c.err, "the job left no files; what its tasks printed: ciro job logs")
		return nil
	}
	fmt.Fprintf(c.err, "fetched %d files, %s, in %s\n", len(written), jobspec.ShowSize(total), span(time.Since(begun).Seconds()))
	return c.show(ctx, report, func(w io.Writer) {
		for _, name := range written {
			fmt.Fprintf(w, "%s/%s\n", clean(dest), clean(name))
		}
	})
}
