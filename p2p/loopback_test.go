package p2p_test

import (
	"bytes"
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"
)

// TestMain checks for leaks. libp2p's search for a router that maps ports does
// not hear that its host was closed and ends after five seconds by itself.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("github.com/koron/go-ssdp.Search"))
}

// loopback makes a host on real sockets; adjust may change its configuration.
func loopback(t testing.TB, adjust func(*p2p.Config)) *p2p.Host {
	t.Helper()
	key, err := p2p.LoadOrCreateIdentity(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	cfg := p2p.Config{Key: key, Protocol: "/looptest/1", Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}}
	if adjust != nil {
		adjust(&cfg)
	}
	h, err := p2p.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// start listens and runs h until the test ends.
func start(t testing.TB, h *p2p.Host) {
	t.Helper()
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestLoopbackDiscovery(t *testing.T) {
	first := loopback(t, nil)
	start(t, first)
	if got := len(first.Addrs()); got != 2 {
		t.Fatalf("addresses %v, want TCP and QUIC", first.Addrs())
	}
	up := make(chan peer.ID, 64)
	registry := prometheus.NewRegistry()
	var hosts []*p2p.Host
	for i := range 4 {
		h := loopback(t, func(c *p2p.Config) {
			c.Bootstrap = []peer.AddrInfo{p2ptest.Info(first)}
			if i == 3 {
				c.Registerer = registry
			}
		})
		hosts = append(hosts, h)
	}
	last := hosts[3]
	last.OnPeer(func(p peer.ID, isUp bool) {
		if isUp {
			up <- p
		}
	})
	begin := time.Now()
	for _, h := range hosts {
		start(t, h)
	}
	for range 4 {
		select {
		case <-up:
		case <-time.After(30 * time.Second):
			t.Fatalf("only %d peers found", len(last.Peers()))
		}
	}
	t.Logf("all found after %s", time.Since(begin))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	own := false
	for _, f := range families {
		own = own || f.GetName() == "ciro_peers" && f.GetMetric()[0].GetGauge().GetValue() == 4
	}
	if !own {
		t.Error("ciro_peers does not say 4")
	}
}

// TestOptionalPartsEndCleanly: LAN discovery and NAT traversal start and end
// whatever the machine's network allows; the leak check does the rest.
func TestOptionalPartsEndCleanly(t *testing.T) {
	h := loopback(t, func(c *p2p.Config) { c.MDNS, c.NAT, c.DHT = true, true, p2p.DHTServer })
	start(t, h)
	other := loopback(t, nil)
	start(t, other)
	if err := other.Connect(t.Context(), p2ptest.Info(h)); err != nil {
		t.Error(err)
	}
}

func TestTakenPorts(t *testing.T) {
	taken, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	other := loopback(t, nil) // libp2p shares TCP ports if nobody looks
	if err := other.Listen(); err != nil {
		t.Fatal(err)
	}
	addrs := []string{"/ip4/127.0.0.1/tcp/" + strings.TrimPrefix(taken.Addr().String(), "127.0.0.1:")}
	for _, a := range other.Addrs() {
		addrs = append(addrs, strings.Split(a.String(), "/p2p/")[0])
	}
	for _, a := range addrs {
		h := loopback(t, func(c *p2p.Config) { c.Listen = []string{a} })
		if err := h.Listen(); err == nil || !strings.Contains(err.Error(), a+" is taken") {
			t.Errorf("%s: err %v", a, err)
		}
		h = loopback(t, func(c *p2p.Config) { c.Listen, c.FallbackPorts = []string{a}, true })
		if err := h.Listen(); err != nil || len(h.Addrs()) != 1 {
			t.Errorf("%s with fallback: %v, %v", a, h.Addrs(), err)
		}
	}
}

func TestIdentity(t *testing.T) {
	path := filepath.Join(t.TempDir(), "identity")
	first, err := p2p.LoadOrCreateIdentity(path)
	if err != nil {
		t.Fatal(err)
	}
	again, err := p2p.LoadOrCreateIdentity(path)
	if err != nil || !first.Equals(again) {
		t.Errorf("loaded another key (%v)", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if left, _ := os.ReadDir(filepath.Dir(path)); len(left) != 1 {
		t.Errorf("left behind: %v", left)
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	secp, _, err := crypto.GenerateSecp256k1Key(bytes.NewReader(bytes.Repeat([]byte{7}, 64)))
	if err != nil {
		t.Fatal(err)
	}
	wrongType, err := crypto.MarshalPrivateKey(secp)
	if err != nil {
		t.Fatal(err)
	}
	flipped := bytes.Clone(raw)
	flipped[len(flipped)-1] ^= 1
	for name, bad := range map[string][]byte{"empty": {}, "cut": raw[:20], "flipped": flipped, "other type": wrongType, "huge": make([]byte, 5000)} {
		if err := os.WriteFile(path, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := p2p.LoadOrCreateIdentity(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: err %v", name, err)
		}
	}
}

func TestConfigErrors(t *testing.T) {
	key, err := p2p.LoadOrCreateIdentity(filepath.Join(t.TempDir(), "identity"))
	if err != nil {
		t.Fatal(err)
	}
	good := p2p.Config{Key: key, Protocol: "/a/b"}
	for want, spoil := range map[string]func(*p2p.Config){
		"Key":       func(c *p2p.Config) { c.Key = nil },
		"Protocol":  func(c *p2p.Config) { c.Protocol = "ciro" },
		"HighWater": func(c *p2p.Config) { c.HighWater = -1 },
		"tcp:4001":  func(c *p2p.Config) { c.Listen = []string{"tcp:4001"} },
	} {
		c := good
		spoil(&c)
		if _, err := p2p.New(c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: err %v", want, err)
		}
	}
}
