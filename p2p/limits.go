package p2p

import (
	"fmt"
	"net"
	"net/netip"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/network"
	rcmgr "github.com/libp2p/go-libp2p/p2p/host/resource-manager"
	"github.com/libp2p/go-libp2p/x/rate"
)

// nearby are the address ranges of one machine, LAN or data centre: many honest
// peers share them, so per-address limits made against strangers do not apply.
var nearby = []string{
	"127.0.0.0/8", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "169.254.0.0/16",
	"::1/128", "fc00::/7", "fe80::/10",
}

func nearbyPrefixes() (v4, v6 []netip.Prefix) {
	for _, s := range nearby {
		if p := netip.MustParsePrefix(s); p.Addr().Is4() {
			v4 = append(v4, p)
		} else {
			v6 = append(v6, p)
		}
	}
	return v4, v6
}

func nearbyIPNets() []*net.IPNet {
	var out []*net.IPNet
	v4, v6 := nearbyPrefixes()
	for _, p := range append(v4, v6...) {
		out = append(out, &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())})
	}
	return out
}

// newResourceManager makes limits that fit a mesh with high connections: the
// hard limits stand well above the connection manager's high water, else its
// trimming by usefulness would never run.
func newResourceManager(high int) (network.ResourceManager, error) {
	limits := rcmgr.DefaultLimits
	libp2p.SetDefaultServiceLimits(&limits)
	unlimited := rcmgr.ResourceLimits{Streams: rcmgr.Unlimited, StreamsInbound: rcmgr.Unlimited, StreamsOutbound: rcmgr.Unlimited}
	partial := rcmgr.PartialLimitConfig{
		System: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(4 * high), ConnsInbound: rcmgr.LimitVal(2 * high), ConnsOutbound: rcmgr.LimitVal(4 * high),
			Streams: rcmgr.Unlimited, StreamsInbound: rcmgr.Unlimited, StreamsOutbound: rcmgr.Unlimited,
		},
		Transient: rcmgr.ResourceLimits{
			Conns: rcmgr.LimitVal(high), ConnsInbound: rcmgr.LimitVal(high), ConnsOutbound: rcmgr.LimitVal(high),
			Streams: 8192, StreamsInbound: 4096, StreamsOutbound: 4096,
		},
		ProtocolDefault:     unlimited,
		ProtocolPeerDefault: rcmgr.ResourceLimits{Streams: 512, StreamsInbound: 256, StreamsOutbound: 256},
	}
	v4, v6 := nearbyPrefixes()
	perIP := max(64, high/2)
	rm, err := rcmgr.NewResourceManager(
		rcmgr.NewFixedLimiter(partial.Build(limits.AutoScale())),
		rcmgr.WithLimitPerSubnet(
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 32, ConnCount: perIP}},
			[]rcmgr.ConnLimitPerSubnet{{PrefixLength: 56, ConnCount: perIP}, {PrefixLength: 48, ConnCount: 4 * perIP}}),
		rcmgr.WithNetworkPrefixLimit(prefixLimits(v4), prefixLimits(v6)),
		rcmgr.WithConnRateLimiters(connRates(v4, v6)),
	)
	if err != nil {
		return nil, fmt.Errorf("resource limits: %w", err)
	}
	return rm, nil
}

// prefixLimits lifts the per-subnet limits for prefixes; the system limit still holds.
func prefixLimits(prefixes []netip.Prefix) []rcmgr.NetworkPrefixLimit {
	var out []rcmgr.NetworkPrefixLimit
	for _, p := range prefixes {
		out = append(out, rcmgr.NetworkPrefixLimit{Network: p, ConnCount: 1 << 30})
	}
	return out
}

// connRates bounds new connections per address: a few a second with a burst
// large enough for a whole site that comes back behind one NAT.
func connRates(v4, v6 []netip.Prefix) *rate.Limiter {
	free := make([]rate.PrefixLimit, 0, len(v4)+len(v6))
	for _, p := range append(append([]netip.Prefix{}, v4...), v6...) {
		free = append(free, rate.PrefixLimit{Prefix: p}) // a zero limit means none
	}
	each := rate.Limit{RPS: 5, Burst: 256}
	return &rate.Limiter{
		NetworkPrefixLimits: free,
		SubnetRateLimiter: rate.SubnetLimiter{
			IPv4SubnetLimits: []rate.SubnetLimit{{PrefixLength: 32, Limit: each}},
			IPv6SubnetLimits: []rate.SubnetLimit{{PrefixLength: 56, Limit: each}},
			GracePeriod:      time.Minute,
		},
	}
}
