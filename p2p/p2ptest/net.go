// Package p2ptest makes hosts of package p2p on a simulated network, for tests
// in a testing/synctest bubble: real QUIC and real protocols, virtual time, and
// a network that can be cut and healed.
//
//	synctest.Test(t, func(t *testing.T) {
//		net := p2ptest.New(t, 10*time.Millisecond)
//		a, b := net.Host(nil), net.Host(func(c *p2p.Config) { c.Bootstrap = ... })
//		net.Run(a)
//		net.Run(b)
//		...
//		net.Close() // inside the bubble: nothing may outlive it
//	})
//
// Every host has an address of its own. Runs do not repeat exactly: libp2p draws
// from crypto/rand and map order, so assert properties, not traces.
package p2ptest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	quictransport "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/quicreuse"
	"github.com/marcopolo/simnet"
	"github.com/quic-go/quic-go"
	"go.uber.org/fx"
)

// Prefix is the protocol prefix of hosts, unless their configuration says otherwise.
const Prefix = "/p2ptest/1"

// bandwidth of each host's link, in bits per second and direction.
const bandwidth = 100_000_000

// Net is a simulated network and its hosts. Use it from the test's goroutine,
// but for Cut, Isolate and Heal, which may be called from any.
type Net struct {
	t     testing.TB
	sim   *simnet.Simnet
	hosts map[peer.ID]*running
	next  int // number of the next host, and of its address

	mu   sync.Mutex
	side map[string]int // by IP; packets between different sides are lost
	ips  map[peer.ID]string
}

type running struct {
	host   *p2p.Host
	cancel context.CancelFunc
	ended  chan error
}

// New makes a network in which packets take latency one way. Call it inside the
// bubble.
func New(t testing.TB, latency time.Duration) *Net {
	n := &Net{t: t, hosts: map[peer.ID]*running{}, side: map[string]int{}, ips: map[peer.ID]string{}}
	n.sim = &simnet.Simnet{
		LatencyFunc: simnet.StaticLatency(latency),
		Logger:      slog.New(slog.NewTextHandler(io.Discard, nil)), // packets to hosts that ended are no news
	}
	n.sim.Start()
	return n
}

// Host makes a host that listens but does not run yet. adjust may change its
// configuration, but for key, addresses and transports; nil leaves it.
func (n *Net) Host(adjust func(*p2p.Config)) *p2p.Host {
	n.t.Helper()
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		n.t.Fatal(err)
	}
	return n.HostWithKey(key, adjust)
}

// HostWithKey is Host with a given identity, such as that of a host that ended.
func (n *Net) HostWithKey(key crypto.PrivKey, adjust func(*p2p.Config)) *p2p.Host {
	n.t.Helper()
	ip := simnet.IntToPublicIPv4(n.next)
	n.next++
	cfg := p2p.Config{Protocol: Prefix}
	if adjust != nil {
		adjust(&cfg)
	}
	cfg.Key, cfg.TestTransport = key, true
	cfg.Listen = []string{fmt.Sprintf("/ip4/%s/udp/8000/quic-v1", ip)}
	cfg.Options = []libp2p.Option{
		libp2p.Transport(quictransport.NewTransport), n.transport(),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.DisableIdentifyAddressDiscovery(),
	}
	h, err := p2p.New(cfg)
	if err != nil {
		n.t.Fatal(err)
	}
	n.mu.Lock()
	n.ips[h.ID()] = ip.String()
	n.mu.Unlock()
	if err := h.Listen(); err != nil {
		n.t.Fatal(err)
	}
	n.hosts[h.ID()] = &running{host: h}
	return h
}

// Run runs h until Stop or Close.
func (n *Net) Run(h *p2p.Host) {
	r := n.hosts[h.ID()]
	ctx, cancel := context.WithCancel(context.Background())
	r.cancel, r.ended = cancel, make(chan error, 1)
	go func() { r.ended <- h.Run(ctx) }()
}

// Stop ends h and waits for it.
func (n *Net) Stop(h *p2p.Host) {
	n.t.Helper()
	r := n.hosts[h.ID()]
	delete(n.hosts, h.ID())
	if r.cancel != nil {
		r.cancel()
		if err := <-r.ended; err != nil {
			n.t.Errorf("host %s: %v", h.ID(), err)
		}
	}
	if err := h.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		n.t.Errorf("close host %s: %v", h.ID(), err)
	}
}

// Close ends all hosts and the network. Call it before the bubble ends.
func (n *Net) Close() {
	n.t.Helper()
	for _, r := range n.hosts { // any order: all end
		n.Stop(r.host)
	}
	n.sim.Close()
}

// Cut separates group from all other hosts: what crosses is lost silently.
func (n *Net) Cut(group ...*p2p.Host) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, h := range group {
		n.side[n.ips[h.ID()]] = 1
	}
}

// Heal ends every cut.
func (n *Net) Heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	clear(n.side)
}

func (n *Net) lost(from, to net.Addr) bool {
	a, ok1 := from.(*net.UDPAddr)
	b, ok2 := to.(*net.UDPAddr)
	n.mu.Lock()
	defer n.mu.Unlock()
	return ok1 && ok2 && n.side[a.IP.String()] != n.side[b.IP.String()]
}

// Info is how others find h.
func Info(h *p2p.Host) peer.AddrInfo {
	info := peer.AddrInfo{ID: h.ID()}
	infos, err := peer.AddrInfosFromP2pAddrs(h.Addrs()...)
	if err == nil && len(infos) == 1 {
		info = infos[0]
	}
	return info
}

// severable is an endpoint that loses what crosses a cut.
type severable struct {
	net.PacketConn
	n *Net
}

// WriteTo sends a packet, or pretends to.
func (s severable) WriteTo(p []byte, to net.Addr) (int, error) {
	if s.n.lost(s.LocalAddr(), to) {
		return len(p), nil
	}
	return s.PacketConn.WriteTo(p, to)
}

// source answers with the one address that the host has.
type source struct{ ip atomic.Pointer[net.IP] }

// PreferredSourceIPForDestination is asked by QUIC before each dial.
func (s *source) PreferredSourceIPForDestination(*net.UDPAddr) (net.IP, error) {
	ip := s.ip.Load()
	if ip == nil {
		return nil, errors.New("host does not listen")
	}
	return *ip, nil
}

// transport puts QUIC on the simulated network.
func (n *Net) transport() libp2p.Option {
	src := &source{}
	link := simnet.LinkSettings{BitsPerSecond: bandwidth}
	build := func(l fx.Lifecycle, reset quic.StatelessResetKey, token quic.TokenGeneratorKey, opts ...quicreuse.Option) (*quicreuse.ConnManager, error) {
		cm, err := quicreuse.NewConnManager(reset, token, opts...)
		if err != nil {
			return nil, err
		}
		l.Append(fx.StopHook(cm.Close)) // a manager passed in is not closed otherwise
		return cm, nil
	}
	listen := func(_ string, a *net.UDPAddr) (net.PacketConn, error) {
		src.ip.Store(&a.IP)
		return severable{n.sim.NewEndpoint(a, simnet.NodeBiDiLinkSettings{Downlink: link, Uplink: link}), n}, nil
	}
	return libp2p.QUICReuse(build,
		quicreuse.OverrideSourceIPSelector(func() (quicreuse.SourceIPSelector, error) { return src, nil }),
		quicreuse.OverrideListenUDP(listen))
}
