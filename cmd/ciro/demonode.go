package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/ciro-network/ciro/node/api/client"
)

// demoStart is how a node of the demonstration is started.
type demoStart struct {
	name, dir, roles, join, logs string
}

// demoNode is one process of the demonstration.
type demoNode struct {
	name   string
	peer   string
	join   string // the address that its banner tells others to join
	client *client.Client
	cmd    *exec.Cmd
	log    *os.File
	ended  chan struct{}
}

// startDemoNode starts a process and waits until it answers. On an error the
// process, if any, is returned too, to be ended.
func startDemoNode(ctx context.Context, s demoStart) (*demoNode, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, err
	}
	data := filepath.Join(s.dir, s.name)
	args := []string{"--data-dir", data, "start", "--name", s.name, "--roles", s.roles, "--api-listen", "127.0.0.1:0",
		"--listen", "/ip4/127.0.0.1/tcp/0", "--listen", "/ip4/127.0.0.1/udp/0/quic-v1", "--cpus", "1"}
	if s.join != "" {
		args = append(args, "--join", s.join)
	}
	n := &demoNode{name: s.name, cmd: exec.Command(program, args...), ended: make(chan struct{})}
	if n.log, err = os.Create(filepath.Join(s.logs, s.name+".log")); err != nil {
		return nil, err
	}
	n.cmd.Stderr = n.log
	n.cmd.Env = append(os.Environ(), "CIRO_BLOCKCHAIN_BATCH_AGE=1s") // so that the proof comes soon
	n.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := n.cmd.StdoutPipe()
	if err != nil {
		return nil, errors.Join(err, n.log.Close())
	}
	if err := n.cmd.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.name, err), n.log.Close())
	}
	api, err := n.readBanner(ctx, out)
	if err != nil {
		return n, err
	}
	if n.client, err = client.New(api, ""); err != nil {
		return n, err
	}
	status, err := n.client.Status(ctx)
	if err != nil {
		return n, fmt.Errorf("%s: %w", s.name, err)
	}
	n.peer = status.Peer
	return n, nil
}

// readBanner reads what the node prints until it has named its API and how to
// join it, and goes on emptying the pipe until the process ends.
func (n *demoNode) readBanner(ctx context.Context, out io.Reader) (api string, err error) {
	found := make(chan string, 1)
	go func() {
		lines := bufio.NewScanner(out)
		address := ""
		for lines.Scan() {
			key, value, _ := strings.Cut(lines.Text(), " ")
			value = strings.TrimSpace(value)
			switch key {
			case "api":
				address = value
			case "join":
				_, n.join, _ = strings.Cut(value, "--join ")
				n.join = strings.Trim(n.join, "'")
				found <- address
			}
		}
		// The exit code of a process that was killed or told to stop says nothing.
		_ = n.cmd.Wait()
		_ = n.log.Close()
		close(n.ended)
	}()
	select {
	case api = <-found:
		return api, nil
	case <-n.ended:
		text, _ := os.ReadFile(n.log.Name())
		return "", fmt.Errorf("%s ended at once: %s", n.name, strings.TrimSpace(string(text)))
	case <-ctx.Done():
		return "", fmt.Errorf("%s: %w", n.name, ctx.Err())
	}
}

// kill ends the process and its sandboxes with SIGKILL, as a crash would.
func (n *demoNode) kill() error {
	if err := n.cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", n.name, err)
	}
	return n.await(5 * time.Second)
}

// terminate asks the process to stop cleanly.
func (n *demoNode) terminate() {
	if n.client != nil {
		n.client.Close()
	}
	_ = n.cmd.Process.Signal(syscall.SIGTERM) // it may have ended already
}

// await waits for the end of the process, and makes one if it takes too long.
func (n *demoNode) await(limit time.Duration) error {
	select {
	case <-n.ended:
		return nil
	case <-time.After(limit):
		_ = syscall.Kill(-n.cmd.Process.Pid, syscall.SIGKILL)
		<-n.ended
		return fmt.Errorf("%s did not stop within %v and was killed", n.name, limit)
	}
}
