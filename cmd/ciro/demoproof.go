package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// prove ends the demonstration: the coordinator that accepted the job dies, if it
// has not yet, and another process, which has nothing but a file and the
// network's id, checks what the shard decided. A changed byte is found.
func (d *demo) prove(ctx context.Context) error {
	if _, err := d.c.awaitProof(ctx, d.door, d.job.Job, time.Minute); err != nil {
		return fmt.Errorf("the job's records were not anchored: %w", err)
	}
	fmt.Fprintln(d.c.out)
	for _, n := range d.nodes[:demoNodes-1] {
		if n.peer == d.job.Coordinator && n != d.victim {
			if err := n.kill(); err != nil {
				return err
			}
			d.say("KILL -9    %s: it accepted the job", n.name)
		}
	}
	data, err := d.c.awaitProof(ctx, d.door, d.job.Job, time.Minute)
	if err != nil {
		return fmt.Errorf("nobody proves the job once its first coordinator is dead: %w", err)
	}
	path := filepath.Join(d.dest, "proof.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	status, err := d.door.Status(ctx)
	if err != nil {
		return err
	}
	d.say("proof      %s, %d bytes, from the nodes that are left; another process checks it:", path, len(data))
	fmt.Fprintf(d.c.out, "\n$ ciro chain verify %s --network %s\n", path, status.Network)
	out, err := verifyElsewhere(ctx, path, status.Network)
	if err != nil {
		return fmt.Errorf("the proof does not verify: %w: %s", err, out)
	}
	fmt.Fprint(d.c.out, shorten(out))
	return d.proveDamage(ctx, data, status.Network)
}

// proveDamage flips one bit of the proof and shows that it is found.
func (d *demo) proveDamage(ctx context.Context, data []byte, network string) error {
	at := strings.Index(string(data), `"worker": "`) + 20 // inside the name of the first worker
	data[at] ^= 1
	path := filepath.Join(d.dest, "changed.json")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		return err
	}
	fmt.Fprintf(d.c.out, "\n$ ciro chain verify %s --network %s   (byte %d of %d changed)\n", path, network, at, len(data))
	out, err := verifyElsewhere(ctx, path, network)
	var failed *exec.ExitError
	if !errors.As(err, &failed) || failed.ExitCode() != exitFailed {
		return fmt.Errorf("a changed proof passes: %v: %s", err, out)
	}
	fmt.Fprint(d.c.out, out)
	return nil
}

// verifyElsewhere runs the check in a process that knows of no node.
func verifyElsewhere(ctx context.Context, path, network string) (string, error) {
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "ciro-verify-")
	if err != nil {
		return "", err
	}
	file, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	cmd := exec.CommandContext(ctx, program, "chain", "verify", file, "--network", network)
	cmd.Dir, cmd.Env = dir, []string{"HOME=" + dir}
	out, err := cmd.CombinedOutput()
	return string(out), errors.Join(err, os.RemoveAll(dir))
}

// shorten leaves out most of the table of records.
func shorten(text string) string {
	const most = 6
	var out []string
	records := 0
	for line := range strings.Lines(text) {
		if strings.HasPrefix(line, "assignment ") || strings.HasPrefix(line, "completion ") {
			if records++; records > most {
				continue
			}
		} else if records > most {
			out = append(out, fmt.Sprintf("… and %d more\n", records-most))
			records = 0
		}
		out = append(out, line)
	}
	return strings.Join(out, "")
}
