package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// space is a network namespace without a name. It lives as long as its thread
// and the processes in it, so nothing of it can be left behind. What must happen
// inside is done by that thread, one thing at a time; processes that it starts
// are in the namespace and die with this program.
type space struct {
	work chan func()
	net  *os.File // the namespace, nil for the machine's own
}

// newSpace makes a namespace, or with own a mere thread in the machine's.
func newSpace(own bool) (*space, error) {
	s := &space{work: make(chan func())}
	made := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine, and the namespace with it
		err := s.enter(own)
		made <- err
		if err != nil {
			return
		}
		for f := range s.work {
			f()
		}
	}()
	return s, <-made
}

func (s *space) enter(own bool) error {
	if own {
		return nil
	}
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a network namespace: %w", err)
	}
	var err error
	s.net, err = os.Open("/proc/thread-self/ns/net")
	return err
}

// close lets the thread and its namespace go.
func (s *space) close() error {
	close(s.work)
	if s.net == nil {
		return nil
	}
	return s.net.Close()
}

// do runs f on the namespace's thread.
func (s *space) do(f func() error) error {
	done := make(chan error, 1)
	s.work <- func() { done <- f() }
	return <-done
}

// path names the namespace to other programs while this one runs.
func (s *space) path() string { return fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), s.net.Fd()) }

// run runs a program in the namespace with text as its input and returns what
// it prints.
func (s *space) run(text string, args ...string) (out string, err error) {
	err = s.do(func() error {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(text)
		b, err := cmd.CombinedOutput()
		out = string(b)
		if err != nil {
			return fmt.Errorf("%s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(out))
		}
		return nil
	})
	return out, err
}

// ip runs lines of `ip` in the namespace.
func (s *space) ip(lines ...string) error {
	_, err := s.run(strings.Join(lines, "\n")+"\n", "ip", "-batch", "-")
	return err
}

// nft runs lines of `nft` in the namespace.
func (s *space) nft(lines ...string) error {
	_, err := s.run(strings.Join(lines, "\n")+"\n", "nft", "-f", "-")
	return err
}

// dial connects to an address as seen from inside.
func (s *space) dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = s.do(func() error {
		d := net.Dialer{Timeout: 2 * time.Second}
		conn, err = d.DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// web is the network of a run: a namespace for each node and one for the bridge.
type web struct {
	hub   *space
	nodes []*space
}

// prefix is the network that the nodes share.
const prefix = "10.77.0."

// newWeb joins n namespaces by a bridge.
func newWeb(n int) (w *web, err error) {
	w = &web{}
	defer func() {
		if err != nil {
			err = errors.Join(err, w.close())
			w = nil
		}
	}()
	if w.hub, err = newSpace(false); err != nil {
		return w, err
	}
	if err = w.hub.ip("link add br0 type bridge", "link set br0 up"); err != nil {
		return w, err
	}
	for i := range n {
		s, err := newSpace(false)
		if err != nil {
			return w, err
		}
		w.nodes = append(w.nodes, s)
		port := fmt.Sprintf("p%d", i+1)
		err = w.hub.ip("link add "+port+" type veth peer name eth0 netns "+s.path(), "link set "+port+" master br0", "link set "+port+" up")
		if err != nil {
			return w, err
		}
		err = s.ip("link set lo up", fmt.Sprintf("addr add %s%d/24 dev eth0", prefix, i+1), "link set eth0 up")
		if err != nil {
			return w, err
		}
	}
	return w, nil
}

func (w *web) close() error {
	var errs []error
	for _, s := range w.nodes {
		errs = append(errs, s.close())
	}
	if w.hub != nil && w.hub.net != nil {
		errs = append(errs, w.hub.close())
	}
	return errors.Join(errs...)
}
