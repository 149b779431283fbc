package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"time"
)

// judge says whether the fault hit what it should and was recovered from.
func (d *demo) judge() error {
	switch {
	case d.victim == nil:
		return errors.New("the job ended before the fault could be made")
	case d.fault == faultWorker && len(d.again) < len(d.lost):
		return fmt.Errorf("tiles %v ran on the killed worker, but only %v were finished again", keys(d.lost), keys(d.again))
	}
	return nil
}

// collect fetches the image and checks that it is one.
func (d *demo) collect(ctx context.Context, _ string) error {
	j, err := d.door.Describe(ctx, d.job.Job, false)
	if err != nil {
		return err
	}
	if d.fault == faultCoordinator && j.Coordinator == d.victim.peer {
		return errors.New("the killed coordinator still answers for the job")
	}
	body, _, err := d.door.Open(ctx, j.Result, "render.png")
	if err != nil {
		return fmt.Errorf("fetch the image: %w", err)
	}
	defer body.Close()
	data, err := io.ReadAll(body)
	if err != nil {
		return fmt.Errorf("fetch the image: %w", err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("the result is no image: %w", err)
	}
	if b := img.Bounds(); b.Dx() != 640 || b.Dy() != 360 {
		return fmt.Errorf("the image is %dx%d, not 640x360", b.Dx(), b.Dy())
	}
	path := filepath.Join(d.dest, "render.png")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	d.say("result %s fetched by CID through %s: %s, %d bytes", j.Result, d.nodes[demoNodes-1].name, path, len(data))
	return nil
}

func (d *demo) summary(ctx context.Context) error {
	j, err := d.door.Describe(ctx, d.job.Job, false)
	if err != nil {
		return err
	}
	out := d.c.out
	fmt.Fprintf(out, "\njob          %s  %s\n", j.ID[:12], j.State)
	fmt.Fprintf(out, "coordinator  %s at acceptance, %s at the end\n", d.name(d.job.Coordinator), d.name(j.Coordinator))
	for _, n := range d.nodes[:demoNodes-1] {
		mark := ""
		if n == d.victim {
			mark = "  (killed)"
		}
		fmt.Fprintf(out, "worker       %s finished tiles %v%s\n", n.name, keys(d.done[n.peer]), mark)
	}
	fmt.Fprintf(out, "attempts     %d for %d tiles; of the killed node's, tiles %v ran again and finished tiles %v came from their second holder\n",
		d.attempts, j.Counts.Total, keys(d.again), keys(d.done[d.victim.peer]))
	what := map[string]string{faultWorker: "its tiles were queued again", faultCoordinator: "another coordinator answered"}[d.fault]
	select {
	case took := <-d.recovery:
		fmt.Fprintf(out, "times        job %.1fs, %s %.1fs after the kill, whole demonstration %.1fs\n",
			j.Ended.Sub(j.Submitted.Time).Seconds(), what, took.Seconds(), time.Since(d.began).Seconds())
	case <-ctx.Done():
		return fmt.Errorf("the job completed, but it was never seen that %s", what)
	}
	return nil
}
