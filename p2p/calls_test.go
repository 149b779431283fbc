package p2p_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	"github.com/libp2p/go-libp2p/core/peer"
)

// answer replies with the numbers below the one that was asked for.
func answer(_ context.Context, _ peer.ID, req []byte, reply func([]byte) error) error {
	n, err := strconv.Atoi(string(req))
	if err != nil {
		return errors.New("not a number")
	}
	for i := range n {
		if err := reply(strconv.AppendInt(nil, int64(i), 10)); err != nil {
			return err
		}
	}
	return nil
}

// callPair makes two hosts that know each other, with service "s" on the second.
func callPair(t *testing.T, net *p2ptest.Net, cfg p2p.CallsConfig) (a, b *p2p.Host, fromA, fromB *p2p.Calls) {
	t.Helper()
	a = net.Host(nil)
	b = net.Host(func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(a)} })
	cfg.Name = "s"
	fromB = b.Calls(cfg)
	cfg.Handler = nil
	fromA = a.Calls(cfg)
	net.Run(a)
	net.Run(b)
	within(t, 20*time.Second, func() bool { return all([]*p2p.Host{a, b}, 1) })
	return a, b, fromA, fromB
}

func TestCallReplies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		defer net.Close()
		_, b, remote, local := callPair(t, net, p2p.CallsConfig{Handler: answer})
		for name, c := range map[string]*p2p.Calls{"remote": remote, "self": local} {
			var got []string
			collect := func(r []byte) error { got = append(got, string(r)); return nil }
			if err := c.Call(t.Context(), b.ID(), []byte("5"), collect); err != nil || fmt.Sprint(got) != "[0 1 2 3 4]" {
				t.Errorf("%s: %v, %v", name, got, err)
			}
			var re *p2p.RemoteError
			if err := c.Call(t.Context(), b.ID(), []byte("x"), nil); !errors.As(err, &re) || re.Message != "not a number" {
				t.Errorf("%s: handler's error came as %v", name, err)
			}
			mine := errors.New("enough")
			if err := c.Call(t.Context(), b.ID(), []byte("9"), func([]byte) error { return mine }); !errors.Is(err, mine) {
				t.Errorf("%s: own error came as %v", name, err)
			}
			if err := c.Call(t.Context(), b.ID(), make([]byte, 2<<20), nil); !errors.Is(err, p2p.ErrMessageTooLarge) {
				t.Errorf("%s: too large: %v", name, err)
			}
		}
	})
}

func TestCallEndsBothWays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		defer net.Close()
		ended := make(chan struct{}, 1)
		wait := func(ctx context.Context, _ peer.ID, _ []byte, _ func([]byte) error) error {
			<-ctx.Done()
			ended <- struct{}{}
			return ctx.Err()
		}
		_, b, c, _ := callPair(t, net, p2p.CallsConfig{Handler: wait})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		start := time.Now()
		if err := c.Call(ctx, b.ID(), nil, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("err %v", err)
		}
		if got := time.Since(start); got != time.Minute {
			t.Errorf("ended after %s, want the minute that keep-alives bridge", got)
		}
		<-ended // the bubble deadlocks if the handler is not told

		lost := make(chan error, 1)
		go func() { lost <- c.Call(t.Context(), b.ID(), nil, nil) }()
		time.Sleep(time.Second)
		net.Cut(b)
		start = time.Now()
		if err := <-lost; !errors.Is(err, p2p.ErrPeerSilent) {
			t.Errorf("cut off: %v", err)
		}
		if got := time.Since(start); got > 20*time.Second {
			t.Errorf("silence noticed after %s", got)
		}
		<-ended
	})
}

func TestCallsPerPeerAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		defer net.Close()
		wait := func(ctx context.Context, _ peer.ID, _ []byte, _ func([]byte) error) error {
			<-ctx.Done()
			return ctx.Err()
		}
		_, b, c, _ := callPair(t, net, p2p.CallsConfig{Handler: wait, MaxPerPeer: 2})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 2)
		for range 2 {
			go func() { done <- c.Call(ctx, b.ID(), nil, nil) }()
		}
		time.Sleep(time.Second)
		var remote *p2p.RemoteError
		if err := c.Call(ctx, b.ID(), nil, nil); !errors.As(err, &remote) {
			t.Errorf("third call: %v", err)
		}
		cancel()
		for range 2 {
			if err := <-done; !errors.Is(err, context.Canceled) {
				t.Errorf("cancelled call: %v", err)
			}
		}
	})
}

func TestCallToUnknownPeerFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		defer net.Close()
		_, b, c, _ := callPair(t, net, p2p.CallsConfig{Handler: answer})
		net.Stop(b)
		ctx, cancel := context.WithTimeout(t.Context(), 40*time.Second)
		defer cancel()
		if err := c.Call(ctx, b.ID(), []byte("1"), nil); err == nil {
			t.Error("a host that is gone answered")
		}
	})
}
