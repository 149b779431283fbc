package wasm

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// readyTimeout bounds how long a child may take to become ready.
	readyTimeout = 10 * time.Second
	// maxWords is how much of what a child says on stderr is kept, in bytes.
	maxWords = 8 << 10
)

// process is a child as its parent sees it. One goroutine uses it; kill may
// be called from any.
type process struct {
	cmd    *exec.Cmd
	stdin  *os.File
	stdout *os.File
	frames *frameReader
	words  *words

	mu   sync.Mutex
	gone bool // waited for: the id may be another's by now
	peak uint64
}

// startProcess starts a child and waits until it is ready.
func startProcess(ctx context.Context, command []string, h hello) (*process, error) {
	p, err := launch(command)
	if err != nil {
		return nil, err
	}
	stop := p.killWhenDone(ctx)
	defer stop()
	if err := p.greet(h); err != nil {
		state := p.end() // killing it does not change how it ended before
		return nil, fmt.Errorf("sandbox not ready: %w (%v): %s", err, state, p.words)
	}
	return p, nil
}

// launch starts the program in a process group of its own, with three pipes
// and hardly an environment; it is killed when the starting thread ends.
func launch(command []string) (*process, error) {
	childIn, stdin, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	stdout, childOut, err := os.Pipe()
	if err != nil {
		childIn.Close()
		stdin.Close()
		return nil, err
	}
	p := &process{
		stdin: stdin, stdout: stdout, words: &words{},
		frames: newFrameReader(stdout, maxFrame),
	}
	p.cmd = exec.Command(command[0], command[1:]...)
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = childIn, childOut, p.words
	p.cmd.Dir = "/"
	p.cmd.Env = []string{"GOMAXPROCS=2", "GOTRACEBACK=none"}
	p.cmd.WaitDelay = time.Second
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	err = p.cmd.Start()
	childIn.Close()
	childOut.Close()
	if err != nil {
		stdin.Close()
		stdout.Close()
		return nil, err
	}
	return p, nil
}

func (p *process) greet(h hello) error {
	deadline := time.Now().Add(readyTimeout)
	if err := p.stdin.SetWriteDeadline(deadline); err != nil {
		return err
	}
	if err := p.stdout.SetReadDeadline(deadline); err != nil {
		return err
	}
	if err := writeJSON(p.stdin, kindHello, h); err != nil {
		return err
	}
	kind, _, err := p.frames.next()
	if err != nil {
		return err
	}
	if kind != kindReady {
		return fmt.Errorf("%w: kind %d instead of ready", errFrame, kind)
	}
	if err := p.stdin.SetWriteDeadline(time.Time{}); err != nil {
		return err
	}
	return p.stdout.SetReadDeadline(time.Time{})
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// kill ends the child's whole group at once and notes its peak of memory.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.gone {
		return
	}
	if p.peak == 0 {
		p.peak = peakResident(strconv.Itoa(p.pid()))
	}
	// The only failure is that nobody is left to be killed.
	_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
}

// killWhenDone kills the child when ctx ends. The function it returns undoes
// that and waits for a kill that has begun.
func (p *process) killWhenDone(ctx context.Context) (stop func()) {
	killed := make(chan struct{})
	cancel := context.AfterFunc(ctx, func() {
		defer close(killed)
		p.kill()
	})
	return func() {
		if !cancel() {
			<-killed
		}
	}
}

// end kills the child if it lives, waits for it and frees what it held.
// Further calls do nothing and return the same.
func (p *process) end() *os.ProcessState {
	p.kill()
	return p.wait()
}

// wait waits for a child that is ending and frees what it held.
func (p *process) wait() *os.ProcessState {
	p.mu.Lock()
	gone := p.gone
	p.mu.Unlock()
	if gone {
		return p.cmd.ProcessState
	}
	// First only see it end: until it is reaped its id remains its own.
	for unix.Waitid(unix.P_PID, p.pid(), nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
	p.mu.Lock()
	p.gone = true
	p.mu.Unlock()
	_ = p.cmd.Wait() // how it ended is in ProcessState
	p.stdin.Close()
	p.stdout.Close()
	return p.cmd.ProcessState
}

// words keeps the beginning of what is written to it: the Go runtime says
// first what is wrong and then, at length, where.
type words struct {
	mu sync.Mutex
	b  []byte
}

// Write implements io.Writer.
func (w *words) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.b = append(w.b, b[:min(len(b), maxWords-len(w.b))]...)
	return len(b), nil
}

// String is the text kept.
func (w *words) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return string(w.b)
}
