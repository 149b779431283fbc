package p2p_test

import (
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	"github.com/libp2p/go-libp2p/core/peer"
)

// connectedTo tells how many peers each host has.
func connectedTo(hosts []*p2p.Host) []int {
	var out []int
	for _, h := range hosts {
		out = append(out, len(h.Peers()))
	}
	return out
}

// all reports whether every host has want peers.
func all(hosts []*p2p.Host, want int) bool {
	for _, n := range connectedTo(hosts) {
		if n != want {
			return false
		}
	}
	return true
}

// within waits in virtual time until ok holds, at most limit.
func within(t *testing.T, limit time.Duration, ok func() bool) time.Duration {
	t.Helper()
	start := time.Now()
	for !ok() {
		if time.Since(start) > limit {
			t.Fatalf("not so within %s of virtual time", limit)
		}
		time.Sleep(20 * time.Millisecond)
	}
	return time.Since(start)
}

// inbox collects messages.
type inbox struct {
	mu  sync.Mutex
	got []string
}

func (b *inbox) put(_ peer.ID, msg []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.got = append(b.got, string(msg))
}

func (b *inbox) all() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.got...)
}

func (b *inbox) has(s string) bool {
	for _, g := range b.all() {
		if g == s {
			return true
		}
	}
	return false
}

func TestOneAddressFindsAll(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		first := net.Host(nil)
		net.Run(first)
		hosts := []*p2p.Host{first}
		for range 7 {
			h := net.Host(func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(first)} })
			net.Run(h)
			hosts = append(hosts, h)
		}
		took := within(t, 20*time.Second, func() bool { return all(hosts, 7) })
		t.Logf("8 hosts found each other in %s (virtual)", took)

		net.Stop(first)
		hosts = hosts[1:]
		within(t, time.Minute, func() bool { return all(hosts, 6) })
		late := net.Host(func(c *p2p.Config) {
			c.Bootstrap = []peer.AddrInfo{p2ptest.Info(first), p2ptest.Info(hosts[3])}
		})
		net.Run(late)
		hosts = append(hosts, late)
		took = within(t, 20*time.Second, func() bool { return all(hosts, 7) })
		t.Logf("a ninth found all after the first was gone in %s (virtual)", took)
		if got := len(late.KnownPeers()); got != 7 {
			t.Errorf("KnownPeers has %d peers, want 7", got)
		}
	})
}

func TestReachThroughDHT(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		a := net.Host(nil)
		boot := func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(a)} }
		b, c := net.Host(boot), net.Host(boot)
		for _, h := range []*p2p.Host{a, b, c} {
			net.Run(h)
		}
		within(t, 20*time.Second, func() bool { return all([]*p2p.Host{a, b, c}, 2) })
		b.Disconnect(c.ID(), false)
		b.Libp2p().Peerstore().ClearAddrs(c.ID())
		if err := b.Reach(t.Context(), c.ID()); err != nil {
			t.Fatal(err)
		}
		b.Disconnect(c.ID(), true)
		if err := b.Reach(t.Context(), c.ID()); err == nil {
			t.Error("a blocked peer was reached")
		}
	})
}

// gossipers makes n running hosts, all connected, each subscribed to topic "t".
func gossipers(t *testing.T, net *p2ptest.Net, n int) ([]*p2p.Host, []*p2p.Topic, []*inbox) {
	t.Helper()
	var hosts []*p2p.Host
	var topics []*p2p.Topic
	var boxes []*inbox
	for i := range n {
		h := net.Host(func(c *p2p.Config) {
			if i > 0 {
				c.Bootstrap = []peer.AddrInfo{p2ptest.Info(hosts[0])}
			}
		})
		topic, err := h.Topic("t", nil, p2p.Bursty)
		if err != nil {
			t.Fatal(err)
		}
		box := &inbox{}
		if _, err := topic.Subscribe(box.put); err != nil {
			t.Fatal(err)
		}
		hosts, topics, boxes = append(hosts, h), append(topics, topic), append(boxes, box)
	}
	for _, h := range hosts {
		net.Run(h)
	}
	within(t, 30*time.Second, func() bool { return all(hosts, n-1) })
	return hosts, topics, boxes
}

func TestGossipBurstArrivesWhole(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		_, topics, boxes := gossipers(t, net, 8)
		time.Sleep(2 * time.Second)
		const burst = 500
		for i := range burst {
			if err := topics[1].Publish(t.Context(), fmt.Appendf(nil, "%d %0300d", i, i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		synctest.Wait()
		for i, b := range boxes {
			if got := len(b.all()); got != burst {
				t.Errorf("host %d got %d of %d", i, got, burst)
			}
		}
	})
}

func TestPublishOnlyDoesNotSubscribe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		hosts, topics, boxes := gossipers(t, net, 3)
		out := net.Host(func(c *p2p.Config) { c.Bootstrap = []peer.AddrInfo{p2ptest.Info(hosts[0])} })
		topic, err := out.Topic("t", nil)
		if err != nil {
			t.Fatal(err)
		}
		net.Run(out)
		within(t, 30*time.Second, func() bool { return len(topic.Peers()) == 3 })
		if err := topic.Publish(t.Context(), []byte("from outside")); err != nil {
			t.Fatal(err)
		}
		within(t, 10*time.Second, func() bool {
			return boxes[0].has("from outside") && boxes[1].has("from outside") && boxes[2].has("from outside")
		})
		if got := len(topics[0].Peers()); got != 2 {
			t.Errorf("%d peers subscribe, want 2: publishing must not join", got)
		}
	})
}

func TestPartitionAndHeal(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		hosts, topics, boxes := gossipers(t, net, 8)
		time.Sleep(2 * time.Second)
		net.Cut(hosts[:4]...)
		time.Sleep(2 * time.Minute)
		for _, from := range []int{0, 7} {
			if err := topics[from].Publish(t.Context(), fmt.Appendf(nil, "cut %d", from)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(5 * time.Second)
		for i, b := range boxes {
			if b.has("cut 0") != (i < 4) || b.has("cut 7") != (i >= 4) {
				t.Errorf("host %d heard %v during the cut", i, b.all())
			}
		}
		if !all(hosts, 3) {
			t.Errorf("peers during the cut: %v, want 3 each", connectedTo(hosts))
		}
		net.Heal()
		took := within(t, 3*time.Minute, func() bool { return all(hosts, 7) })
		t.Logf("fully connected again %s after healing (virtual)", took)
		time.Sleep(2 * time.Second)
		if err := topics[2].Publish(t.Context(), []byte("healed")); err != nil {
			t.Fatal(err)
		}
		within(t, 10*time.Second, func() bool {
			for _, b := range boxes {
				if !b.has("healed") {
					return false
				}
			}
			return true
		})
	})
}
