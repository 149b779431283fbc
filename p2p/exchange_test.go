package p2p_test

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
)

// pair makes two hosts, of which b knows a, with an exchange "x" on each.
func pair(t *testing.T, net *p2ptest.Net, cfg p2p.ExchangeConfig) (a, b *p2p.Host, fromA *p2p.Exchange, atB *inbox) {
	t.Helper()
	a = net.Host(nil)
	b = net.Host(func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(a)} })
	atB = &inbox{}
	cfg.Name = "x"
	cfg.Handler = func(peer.ID, []byte) {}
	fromA = a.Exchange(cfg)
	cfg.Handler = atB.put
	b.Exchange(cfg)
	net.Run(a)
	net.Run(b)
	within(t, 20*time.Second, func() bool { return all([]*p2p.Host{a, b}, 1) })
	return a, b, fromA, atB
}

// increasing fails the test unless got holds numbers that only grow: then
// nothing came twice or out of order.
func increasing(t *testing.T, got []string) {
	t.Helper()
	last := -1
	for _, s := range got {
		var n int
		if _, err := fmt.Sscanf(s, "%d", &n); err != nil || n <= last {
			t.Fatalf("got %q after %d", s, last)
		}
		last = n
	}
}

func TestExchangeInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		defer net.Close()
		_, b, x, box := pair(t, net, p2p.ExchangeConfig{Queue: 5000})
		for i := range 3000 {
			if err := x.Send(b.ID(), fmt.Appendf(nil, "%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		within(t, 30*time.Second, func() bool { return len(box.all()) == 3000 })
		increasing(t, box.all())
	})
}

func TestExchangeLargeMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, time.Millisecond)
		defer net.Close()
		_, b, x, box := pair(t, net, p2p.ExchangeConfig{MaxMessage: 3 << 20})
		sizes := []int{0, 1, 1<<20 - 1, 1 << 20, 1<<20 + 1, 3 << 20}
		for i, n := range sizes {
			if err := x.Send(b.ID(), bytes.Repeat([]byte{byte(i)}, n)); err != nil {
				t.Fatal(err)
			}
		}
		if err := x.Send(b.ID(), make([]byte, 3<<20+1)); !errors.Is(err, p2p.ErrMessageTooLarge) {
			t.Errorf("too large: %v", err)
		}
		within(t, time.Minute, func() bool { return len(box.all()) == len(sizes) })
		for i, got := range box.all() {
			if got != string(bytes.Repeat([]byte{byte(i)}, sizes[i])) {
				t.Errorf("message %d of %d bytes arrived with %d or torn", i, sizes[i], len(got))
			}
		}
	})
}

func TestExchangeReconnects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		a, b, x, box := pair(t, net, p2p.ExchangeConfig{})
		send := func(i int) { _ = x.Send(b.ID(), fmt.Appendf(nil, "%d", i)) } // a full queue is part of the test
		send(0)
		within(t, 10*time.Second, func() bool { return box.has("0") })

		a.Disconnect(b.ID(), false)
		i := 1
		took := within(t, 10*time.Second, func() bool { send(i); i++; return len(box.all()) > 1 })
		t.Logf("after a closed connection: %s (virtual)", took)

		net.Cut(a)
		for range 600 { // a minute of heartbeats into the void
			send(i)
			i++
			time.Sleep(100 * time.Millisecond)
		}
		net.Heal()
		before := len(box.all())
		took = within(t, 20*time.Second, func() bool { send(i); i++; return len(box.all()) > before })
		t.Logf("after a partition: %s (virtual)", took)
		increasing(t, box.all())
	})
}

// TestExchangeFollowsARestart: a peer that died without a word and came back
// with its key, at another address, is found again long before QUIC gives the
// old connection up.
func TestExchangeFollowsARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		a := net.Host(nil)
		x := a.Exchange(p2p.ExchangeConfig{Name: "x"})
		net.Run(a)
		key, _, err := crypto.GenerateEd25519Key(rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		begin := func() (*p2p.Host, *inbox) {
			box := &inbox{}
			h := net.HostWithKey(key, func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(a)} })
			h.Exchange(p2p.ExchangeConfig{Name: "x", Handler: box.put})
			net.Run(h)
			return h, box
		}
		b, before := begin()
		within(t, 10*time.Second, func() bool { _ = x.Send(b.ID(), []byte("1")); return before.has("1") })
		time.Sleep(10 * time.Second)
		net.Cut(b)
		net.Stop(b)
		time.Sleep(time.Second)
		_, after := begin()
		took := within(t, 3*time.Second, func() bool { _ = x.Send(b.ID(), []byte("2")); return after.has("2") })
		t.Logf("heard again after %s (virtual)", took)
	})
}

func TestExchangeQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		a, b, x, box := pair(t, net, p2p.ExchangeConfig{Queue: 10})
		net.Stop(b)
		full := 0
		for i := range 100 {
			if errors.Is(x.Send(b.ID(), fmt.Appendf(nil, "%d", i)), p2p.ErrQueueFull) {
				full++
			}
		}
		if full < 85 || len(box.all()) != 0 {
			t.Errorf("%d of 100 refused, %d arrived", full, len(box.all()))
		}
		net.Stop(a)
		if err := x.Send(b.ID(), nil); !errors.Is(err, p2p.ErrClosed) {
			t.Errorf("after the end: %v", err)
		}
	})
}

func TestExchangeToSelf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, time.Millisecond)
		defer net.Close()
		h, box := net.Host(nil), &inbox{}
		x := h.Exchange(p2p.ExchangeConfig{Name: "x", Handler: box.put})
		net.Run(h)
		for i := range 100 {
			if err := x.Send(h.ID(), fmt.Appendf(nil, "%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		synctest.Wait()
		if got := box.all(); len(got) != 100 {
			t.Errorf("got %d", len(got))
		}
		increasing(t, box.all())
	})
}

// TestAdmission: who is not admitted gets nothing but open calls; who is
// admitted later gets all from then on.
func TestAdmission(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		defer net.Close()
		var open atomic.Bool
		a := net.Host(func(c *p2p.Config) { c.Admit = func(peer.ID) bool { return open.Load() } })
		b := net.Host(func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(a)} })
		messages, gossip, atB := &inbox{}, &inbox{}, &inbox{}
		a.Exchange(p2p.ExchangeConfig{Name: "x", Handler: messages.put})
		x := b.Exchange(p2p.ExchangeConfig{Name: "x"})
		a.Calls(p2p.CallsConfig{Name: "closed", Handler: answer})
		a.Calls(p2p.CallsConfig{Name: "open", Open: true, Handler: answer})
		closed, hello := b.Calls(p2p.CallsConfig{Name: "closed"}), b.Calls(p2p.CallsConfig{Name: "open"})
		ta, tb := topicOn(t, a, gossip), topicOn(t, b, atB)
		net.Run(a)
		net.Run(b)
		within(t, 20*time.Second, func() bool { return all([]*p2p.Host{a, b}, 1) })
		time.Sleep(3 * time.Second)

		attempt := func(name string) (callErr error) {
			if err := x.Send(a.ID(), []byte(name)); err != nil {
				t.Error(err)
			}
			if err := errors.Join(ta.Publish(t.Context(), []byte("a"+name)), tb.Publish(t.Context(), []byte("b"+name))); err != nil {
				t.Error(err)
			}
			callErr = closed.Call(t.Context(), a.ID(), []byte("2"), nil)
			time.Sleep(3 * time.Second)
			return callErr
		}
		var remote *p2p.RemoteError
		if err := attempt("early"); !errors.As(err, &remote) {
			t.Errorf("call of a stranger: %v", err)
		}
		if err := hello.Call(t.Context(), a.ID(), []byte("2"), nil); err != nil {
			t.Errorf("open call of a stranger: %v", err)
		}
		if messages.has("early") || gossip.has("bearly") || atB.has("aearly") {
			t.Error("a stranger took part")
		}
		open.Store(true)
		if err := attempt("late"); err != nil {
			t.Errorf("call after admission: %v", err)
		}
		if !messages.has("late") || !gossip.has("blate") || !atB.has("alate") {
			t.Errorf("after admission: message %v, gossip in %v, out %v", messages.all(), gossip.all(), atB.all())
		}
	})
}

func topicOn(t *testing.T, h *p2p.Host, box *inbox) *p2p.Topic {
	t.Helper()
	topic, err := h.Topic("t", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := topic.Subscribe(box.put); err != nil {
		t.Fatal(err)
	}
	return topic
}

func TestOnPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, time.Millisecond)
		defer net.Close()
		a := net.Host(nil)
		b := net.Host(func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(a)} })
		var mu sync.Mutex
		var events []bool
		a.OnPeer(func(p peer.ID, up bool) {
			mu.Lock()
			defer mu.Unlock()
			if p == b.ID() {
				events = append(events, up)
			}
		})
		net.Run(a)
		net.Run(b)
		within(t, 10*time.Second, func() bool { return all([]*p2p.Host{a, b}, 1) })
		info := a.Peers()[0]
		if info.ID != b.ID() || !info.Inbound || info.Since.IsZero() || len(info.Addrs) == 0 {
			t.Errorf("peer info %+v", info)
		}
		net.Stop(b)
		within(t, 10*time.Second, func() bool { return all([]*p2p.Host{a}, 0) })
		synctest.Wait()
		mu.Lock()
		defer mu.Unlock()
		if fmt.Sprint(events) != "[true false]" {
			t.Errorf("events %v", events)
		}
	})
}

func TestRegisteringLatePanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, time.Millisecond)
		defer net.Close()
		h := net.Host(nil)
		net.Run(h)
		synctest.Wait()
		defer func() {
			if recover() == nil {
				t.Error("no panic")
			}
		}()
		h.Exchange(p2p.ExchangeConfig{Name: "late"})
	})
}
