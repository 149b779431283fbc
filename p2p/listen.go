package p2p

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"context"

	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/host/autorelay"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
	manet "github.com/multiformats/go-multiaddr/net"
)

// Listen binds every address of Config.Listen, so that port errors come before
// Run and Addrs is complete. An address that is taken is an error that names
// it, or, with FallbackPorts, is bound on a free port instead. After an error
// the host is good for Close only.
func (h *Host) Listen() error {
	addrs, err := h.cfg.listenAddrs()
	if err != nil {
		return err
	}
	for _, a := range addrs {
		err := h.bind(a)
		if err != nil && h.cfg.FallbackPorts && taken(err) {
			free, ferr := withFreePort(a)
			if ferr != nil {
				return fmt.Errorf("p2p: %w", ferr)
			}
			if err = h.bind(free); err == nil {
				h.log.Info("port is taken, listening on a free one", "wanted", a.String())
			}
		}
		if err != nil && taken(err) {
			return fmt.Errorf("p2p: address %s is taken: stop what listens there or choose another: %w", a, err)
		}
		if err != nil {
			return fmt.Errorf("p2p: listen on %s: %w", a, err)
		}
	}
	return nil
}

func (h *Host) bind(a ma.Multiaddr) error {
	if !h.cfg.TestTransport {
		if err := probe(a); err != nil {
			return err
		}
	}
	return h.host.Network().Listen(a)
}

// probe binds a TCP address for a moment. libp2p itself binds with SO_REUSEPORT,
// with which a second daemon on the same port would succeed, and silently take
// half of the connections.
func probe(a ma.Multiaddr) error {
	if _, err := a.ValueForProtocol(ma.P_TCP); err != nil {
		return nil
	}
	network, address, err := manet.DialArgs(a)
	if err != nil {
		return err
	}
	l, err := net.Listen(network, address)
	if err != nil {
		return err
	}
	return l.Close()
}

// taken tells an address in use from other errors; libp2p flattens some of them
// to text.
func taken(err error) bool {
	return errors.Is(err, syscall.EADDRINUSE) || strings.Contains(err.Error(), "address already in use")
}

// withFreePort is a with its TCP or UDP port set to 0.
func withFreePort(a ma.Multiaddr) (ma.Multiaddr, error) {
	parts := strings.Split(a.String(), "/")
	for i := 1; i+1 < len(parts); i++ {
		if parts[i] == "tcp" || parts[i] == "udp" {
			parts[i+1] = "0"
			return ma.NewMultiaddr(strings.Join(parts, "/"))
		}
	}
	return nil, fmt.Errorf("address %s has no port", a)
}

// natOptions make hosts behind NAT reachable with the help of their own mesh:
// mapped ports, reachability checks for each other, hole punching, relays whose
// circuits are long and large enough for a worker's streams.
func natOptions(kad *atomic.Pointer[dht.IpfsDHT]) []libp2p.Option {
	resources := relay.DefaultResources()
	resources.Limit = &relay.RelayLimit{Duration: time.Hour, Data: 64 << 20}
	resources.MaxReservationsPerIP = 64
	resources.MaxReservationsPerASN = 128
	return []libp2p.Option{
		libp2p.EnableRelay(), libp2p.NATPortMap(), libp2p.EnableNATService(), libp2p.EnableAutoNATv2(),
		libp2p.EnableHolePunching(), libp2p.EnableRelayService(relay.WithResources(resources)),
		libp2p.EnableAutoRelayWithPeerSource(relaySource(kad), autorelay.WithMinCandidates(1),
			autorelay.WithBootDelay(10*time.Second), autorelay.WithBackoff(time.Minute)),
	}
}

// relaySource offers the peers of the routing table as relays.
func relaySource(kad *atomic.Pointer[dht.IpfsDHT]) autorelay.PeerSource {
	return func(_ context.Context, n int) <-chan peer.AddrInfo {
		out := make(chan peer.AddrInfo, n)
		defer close(out)
		d := kad.Load()
		if d == nil {
			return out
		}
		for _, p := range d.RoutingTable().ListPeers() {
			if info := d.Host().Peerstore().PeerInfo(p); len(info.Addrs) > 0 && len(out) < n {
				out <- info
			}
		}
		return out
	}
}
