package p2p

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"

	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
	"github.com/prometheus/client_golang/prometheus"
)

// DefaultHighWater is the number of connections above which the host begins to
// close the least useful ones, if Config.HighWater is zero.
const DefaultHighWater = 400

// DHTMode says whether a host answers DHT queries of others.
type DHTMode int

const (
	// DHTAutoServer serves unless the host finds that it cannot be reached.
	DHTAutoServer DHTMode = iota
	// DHTServer always serves: for nodes with a stable address.
	DHTServer
	// DHTClient never serves: such a host is found only while connected.
	DHTClient
)

// Config says what a Host is. The zero value of every field but Key and
// Protocol is useful.
type Config struct {
	// Key is the host's identity; its peer id is derived from it.
	Key crypto.PrivKey
	// Protocol is the prefix of the network, like "/ciro/3f2a…"; it starts with
	// a slash and does not end with one.
	Protocol string
	// Listen holds the multiaddrs to bind, TCP and QUIC. None: dial only.
	Listen []string
	// FallbackPorts takes a free port instead of one that is taken. Without it
	// a taken port is an error that names the address.
	FallbackPorts bool
	// Bootstrap is dialled at Run, and again whenever few peers are connected.
	Bootstrap []peer.AddrInfo
	// Datastore keeps DHT records, under a key of its own; nil keeps them in memory.
	Datastore ds.Batching
	// DHT is the role in the DHT.
	DHT DHTMode
	// MDNS finds peers of the same network on the LAN.
	MDNS bool
	// NAT maps ports on the router, probes reachability for others, punches
	// holes and uses peers as relays. Leave it off in tests and inside one LAN:
	// libp2p's search for the router outlives Close by up to five seconds.
	NAT bool
	// Admit says who may use streams and gossip; nil admits everybody. It is
	// asked often and from many goroutines: it must be quick, safe for
	// concurrent use, and may change its mind at any time.
	Admit func(peer.ID) bool
	// HighWater bounds the connections kept; 0 is DefaultHighWater. Trimming
	// goes down to three quarters of it and spares protected peers.
	HighWater int
	// Registerer gets the metrics; nil measures nothing. One per host.
	Registerer prometheus.Registerer
	// Log is where the host reports; nil discards.
	Log *slog.Logger
	// Agent is what peers see as our version; "" is "ciro".
	Agent string
	// Options are appended to libp2p's: simulated transports in tests.
	Options []libp2p.Option
	// TestTransport leaves transports and resource manager to Options.
	TestTransport bool
}

// Validate reports the first thing wrong with c, by field. New calls it.
func (c Config) Validate() error {
	if c.Key == nil {
		return errors.New("p2p: Key is missing")
	}
	if len(c.Protocol) < 2 || c.Protocol[0] != '/' || strings.HasSuffix(c.Protocol, "/") {
		return fmt.Errorf("p2p: Protocol %q must look like /name/id", c.Protocol)
	}
	if c.HighWater < 0 {
		return fmt.Errorf("p2p: HighWater %d is negative", c.HighWater)
	}
	_, err := c.listenAddrs()
	return err
}

func (c Config) listenAddrs() ([]ma.Multiaddr, error) {
	out := make([]ma.Multiaddr, 0, len(c.Listen))
	for _, s := range c.Listen {
		a, err := ma.NewMultiaddr(s)
		if err != nil {
			return nil, fmt.Errorf("p2p: listen address %q is not a multiaddress (%w): write it like /ip4/0.0.0.0/tcp/4001 or /ip4/0.0.0.0/udp/4001/quic-v1", s, err)
		}
		out = append(out, a)
	}
	return out, nil
}

func (c Config) withDefaults() Config {
	if c.HighWater == 0 {
		c.HighWater = DefaultHighWater
	}
	if c.Log == nil {
		c.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	if c.Agent == "" {
		c.Agent = "ciro"
	}
	return c
}
