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
	"sync"
	"syscall"
	"time"

	"github.com/ciro-network/ciro/node/api/client"
)

// shards is how many the network has: few enough that each is busy.
const shards = "8"

// member is one node of the mesh: a process that is started again and again
// on the same address and, unless its disk is lost, the same data directory.
type member struct {
	name    string
	program string
	address string // IP address for other nodes
	api     string // host:port, as seen from its space
	dir     string
	logPath string
	space   *space
	client  *client.Client

	mu       sync.Mutex
	cmd      *exec.Cmd
	ended    chan struct{} // of the process that runs now
	wanted   bool          // its end would be a surprise
	peer     string
	join     string
	life     int // counts lost disks: an idempotency key is known within one life
	paused   bool
	surprise []string
}

// start starts the process and waits until it answers. join is "" for the
// founder and those that belong already.
func (m *member) start(ctx context.Context, join string) error {
	args := []string{"--data-dir", m.dir, "start", "--name", m.name, "--api-listen", m.api, "--cpus", "1", "--memory", "1GiB",
		"--listen", "/ip4/" + m.address + "/tcp/4001", "--listen", "/ip4/" + m.address + "/udp/4001/quic-v1"}
	if join != "" {
		args = append(args, "--join", join)
	} else if _, err := os.Stat(m.dir); err != nil {
		args = append(args, "--shards", shards)
	}
	log, err := os.OpenFile(m.logPath, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	cmd := exec.Command(m.program, args...)
	cmd.Env = append(os.Environ(), "CIRO_API=", "CIRO_DATA=")
	cmd.Stderr = log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = m.space.do(cmd.Start)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("start %s: %w", m.name, err), log.Close())
	}
	ended := make(chan struct{})
	m.mu.Lock()
	m.cmd, m.ended, m.wanted, m.paused = cmd, ended, true, false
	m.mu.Unlock()
	ready := make(chan string, 1)
	go m.attend(out, ready, func() error { return log.Close() })
	return m.ready(ctx, ready, ended)
}

// attend reads the banner, goes on emptying the pipe, and notes an end that
// nobody wanted.
func (m *member) attend(out io.Reader, ready chan<- string, closeLog func() error) {
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if key, value, _ := strings.Cut(lines.Text(), " "); key == "join" {
			_, address, _ := strings.Cut(value, "--join ")
			ready <- strings.Trim(address, "'")
		}
	}
	m.mu.Lock()
	cmd, ended := m.cmd, m.ended
	m.mu.Unlock()
	err := errors.Join(cmd.Wait(), closeLog())
	m.mu.Lock()
	if m.wanted {
		m.surprise = append(m.surprise, fmt.Sprintf("%s ended by itself: %v; the end of its log:\n%s", m.name, err, tail(m.logPath, 12)))
	}
	m.wanted = false
	m.mu.Unlock()
	close(ended)
}

func (m *member) ready(ctx context.Context, ready <-chan string, ended <-chan struct{}) error {
	select {
	case join := <-ready:
		status, err := m.client.Status(ctx)
		if err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		m.join, m.peer = join, status.Peer
		return nil
	case <-ended:
		return fmt.Errorf("%s ended at once; the end of its log:\n%s", m.name, tail(m.logPath, 5))
	case <-ctx.Done():
		return fmt.Errorf("%s: %w", m.name, ctx.Err())
	}
}

// id is the node's peer id, which changes when its disk is lost, and its life.
func (m *member) id() (peer string, life int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.peer, m.life
}

// joinAddress is what others join.
func (m *member) joinAddress() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.join
}

// runs says whether the process runs and is not paused.
func (m *member) runs() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.wanted && !m.paused
}

// kill ends the process and whatever it started as a crash would, and returns
// when it is gone.
func (m *member) kill() error {
	m.mu.Lock()
	m.wanted = false
	cmd, ended := m.cmd, m.ended
	m.mu.Unlock()
	if cmd == nil {
		return fmt.Errorf("kill %s: it was never started", m.name)
	}
	if err := cmd.Process.Kill(); err != nil {
		return fmt.Errorf("kill %s: %w", m.name, err)
	}
	<-ended
	m.client.Close()
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return fmt.Errorf("kill %s: it ended otherwise: %v", m.name, cmd.ProcessState)
	}
	return nil
}

// pause stops the process, or lets it go on.
func (m *member) pause(on bool) error {
	signal := syscall.SIGCONT
	if on {
		signal = syscall.SIGSTOP
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.cmd.Process.Signal(signal); err != nil {
		return fmt.Errorf("%v to %s: %w", signal, m.name, err)
	}
	m.paused = on
	return nil
}

// stopped says whether the kernel has the process stopped.
func (m *member) stopped() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", m.cmd.Process.Pid))
	_, rest, found := strings.Cut(string(b), ") ")
	return err == nil && found && strings.HasPrefix(rest, "T")
}

// stop ends the process cleanly within a limit.
func (m *member) stop(limit time.Duration) error {
	m.mu.Lock()
	cmd, ended, runs := m.cmd, m.ended, m.wanted
	m.wanted = false
	m.mu.Unlock()
	m.client.Close()
	if cmd == nil || !runs {
		return nil
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stop %s: %w", m.name, err)
	}
	select {
	case <-ended:
	case <-time.After(limit):
		_ = cmd.Process.Kill() // it may have ended now
		<-ended
		return fmt.Errorf("%s did not stop within %v and was killed", m.name, limit)
	}
	if code := cmd.ProcessState.ExitCode(); code != 0 {
		return fmt.Errorf("%s stopped with exit code %d; the end of its log:\n%s", m.name, code, tail(m.logPath, 5))
	}
	return nil
}

// wipe removes the data directory of a process that does not run, all of it or
// all but the node's key.
func (m *member) wipe(keepKey bool) (bytes int64, err error) {
	err = filepath.WalkDir(m.dir, func(_ string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil {
			bytes += info.Size()
		}
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("wipe %s: %w", m.name, err)
	}
	m.mu.Lock()
	m.life++
	m.mu.Unlock()
	entries, err := os.ReadDir(m.dir)
	if err != nil {
		return 0, fmt.Errorf("wipe %s: %w", m.name, err)
	}
	for _, e := range entries {
		if !keepKey || e.Name() != "identity.key" {
			err = errors.Join(err, os.RemoveAll(filepath.Join(m.dir, e.Name())))
		}
	}
	return bytes, err
}

// complaints are the surprising ends and the panics of this node.
func (m *member) complaints() []string {
	m.mu.Lock()
	out := append([]string(nil), m.surprise...)
	m.mu.Unlock()
	text, err := os.ReadFile(m.logPath)
	if err != nil {
		return append(out, fmt.Sprintf("%s: %v", m.name, err))
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Contains(line, "panic") || strings.Contains(line, "DATA RACE") || strings.HasPrefix(line, "fatal error:") {
			out = append(out, m.name+": "+line)
		}
	}
	return out
}

// tail is the end of a file, for messages.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
