package p2p

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/net/swarm"
	ma "github.com/multiformats/go-multiaddr"
)

// maxKnownPeers bounds what KnownPeers returns.
const maxKnownPeers = 64

// PeerInfo describes a connected peer.
type PeerInfo struct {
	ID      peer.ID
	Addrs   []ma.Multiaddr // where the connections go to, without /p2p/ID
	Inbound bool           // the oldest connection was opened by the peer
	Latency time.Duration  // round trip, smoothed; 0 if not measured yet
	Agent   string         // what the peer calls its version
	Since   time.Time      // when the oldest connection was opened
}

// ID is this host's peer id.
func (h *Host) ID() peer.ID { return h.self }

// Addrs are the addresses that others can dial, with /p2p/ID, in a stable order.
// Empty before Listen.
func (h *Host) Addrs() []ma.Multiaddr {
	suffix, err := ma.NewComponent("p2p", h.self.String())
	if err != nil {
		return nil
	}
	var out []ma.Multiaddr
	for _, a := range h.host.Addrs() {
		out = append(out, a.AppendComponent(suffix))
	}
	slices.SortFunc(out, func(a, b ma.Multiaddr) int { return cmp.Compare(a.String(), b.String()) })
	return out
}

// Peers are the connected peers, by id.
func (h *Host) Peers() []PeerInfo {
	var out []PeerInfo
	for _, p := range h.connected() {
		info := PeerInfo{ID: p, Latency: h.host.Peerstore().LatencyEWMA(p)}
		if agent, err := h.host.Peerstore().Get(p, "AgentVersion"); err == nil {
			info.Agent, _ = agent.(string)
		}
		for _, c := range h.host.Network().ConnsToPeer(p) {
			info.Addrs = append(info.Addrs, c.RemoteMultiaddr())
			if s := c.Stat(); info.Since.IsZero() || s.Opened.Before(info.Since) {
				info.Since, info.Inbound = s.Opened, s.Direction == network.DirInbound
			}
		}
		out = append(out, info)
	}
	return out
}

// connected lists the peers with a full connection, in order.
func (h *Host) connected() []peer.ID {
	peers := h.host.Network().Peers()
	peers = slices.DeleteFunc(peers, func(p peer.ID) bool { return h.host.Network().Connectedness(p) != network.Connected })
	slices.Sort(peers)
	return peers
}

// Connect connects to a peer at the given and known addresses, without minding
// earlier failures. It returns nil at once if it is connected already.
func (h *Host) Connect(ctx context.Context, to peer.AddrInfo) error {
	if to.ID == h.self {
		return nil
	}
	if s, ok := h.host.Network().(*swarm.Swarm); ok {
		s.Backoff().Clear(to.ID)
	}
	if err := h.host.Connect(ctx, to); err != nil {
		return fmt.Errorf("p2p: connect to %s: %w", to.ID, err)
	}
	return nil
}

// Reach makes sure that p is connected: by the connection there is, else by the
// addresses known, else by those that the DHT finds. Without an end of its own
// in ctx it may take half a minute to fail.
func (h *Host) Reach(ctx context.Context, p peer.ID) error {
	if p == h.self || h.host.Network().Connectedness(p) == network.Connected {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	ctx, stop := h.untilConnected(ctx, p)
	defer stop()
	err := h.reach(ctx, p)
	if h.host.Network().Connectedness(p) == network.Connected {
		return nil
	}
	return err
}

// reach dials p at the addresses known, then at those that the DHT finds.
func (h *Host) reach(ctx context.Context, p peer.ID) error {
	var known error
	if len(h.host.Peerstore().Addrs(p)) > 0 {
		dctx, done := context.WithTimeout(ctx, 10*time.Second)
		known = h.Connect(dctx, peer.AddrInfo{ID: p})
		done()
		if known == nil {
			return nil
		}
	}
	info, err := h.kad.FindPeer(ctx, p)
	if err != nil {
		return fmt.Errorf("p2p: find %s: %w", p, errors.Join(err, known))
	}
	return h.Connect(ctx, info)
}

// untilConnected returns a context that also ends when p is connected: a dial to
// an address that p has left takes seconds to fail, while p may be dialling us.
func (h *Host) untilConnected(ctx context.Context, p peer.ID) (_ context.Context, stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var looking sync.WaitGroup
	looking.Go(func() {
		for ctx.Err() == nil {
			pause(ctx, 50*time.Millisecond)
			if h.host.Network().Connectedness(p) == network.Connected {
				cancel()
			}
		}
	})
	return ctx, func() { cancel(); looking.Wait() }
}

// supersede closes what is left of older connections when a peer opens a new
// one: it dials only when it has none, so it has lost them, most likely by a
// restart. QUIC would notice after half a minute, and swallow what we send until
// then. libp2p calls it; two peers that dial each other at once are left alone.
func (h *Host) supersede(n network.Network, c network.Conn) {
	if c.Stat().Direction != network.DirInbound {
		return
	}
	for _, old := range n.ConnsToPeer(c.RemotePeer()) {
		if c.Stat().Opened.Sub(old.Stat().Opened) > 5*time.Second {
			h.spawn(func(context.Context) {
				if err := old.Close(); err != nil {
					h.log.Debug("closing an old connection failed", "peer", old.RemotePeer().String(), "error", err)
				}
			})
		}
	}
}

// Restarted tells that p is known to have restarted: connections that are clearly
// older than its newest one lead nowhere and are closed. supersede guesses the
// same, but must allow for two peers that dial each other at once; a peer that
// restarts twice within its patience would not be heard by anybody for long.
//
// When the gossip router notes the end of a stream in an old connection, it forgets
// what the peer subscribes to, which has come by the new one by now and will not be
// said again. If that is what happened, the peer is soon connected to anew.
func (h *Host) Restarted(p peer.ID) {
	conns := h.host.Network().ConnsToPeer(p)
	var newest time.Time
	for _, c := range conns {
		if at := c.Stat().Opened; at.After(newest) {
			newest = at
		}
	}
	conns = slices.DeleteFunc(conns, func(c network.Conn) bool { return newest.Sub(c.Stat().Opened) < 200*time.Millisecond })
	if len(conns) == 0 {
		return
	}
	gossips := h.subscribes(p)
	for _, c := range conns {
		if err := c.Close(); err != nil {
			h.log.Debug("closing an old connection failed", "peer", p.String(), "error", err)
		}
	}
	if !gossips {
		return
	}
	h.spawn(func(ctx context.Context) {
		pause(ctx, settleDown)
		if h.subscribes(p) {
			return
		}
		h.Disconnect(p, false)
		if err := h.Reach(ctx, p); err != nil {
			h.log.Debug("a peer that restarted is not reached", "peer", p.String(), "error", err)
		}
	})
}

// settleDown is how long a peer that restarted is left alone: what it says first is
// urgent.
const settleDown = 2 * time.Second

// AddrsOf are the addresses known of p, without /p2p/ID.
func (h *Host) AddrsOf(p peer.ID) []ma.Multiaddr {
	if p == h.self {
		return h.host.Addrs()
	}
	return h.host.Peerstore().Addrs(p)
}

// Disconnect closes all connections to p. With block, p is refused from now on,
// in both directions, until the process ends or thousands more were blocked.
func (h *Host) Disconnect(p peer.ID, block bool) {
	if block {
		h.gate.block(p)
	}
	if err := h.host.Network().ClosePeer(p); err != nil {
		h.log.Debug("closing connections failed", "peer", p.String(), "error", err)
	}
}

// Protect keeps the connections to p from being trimmed, for as long as any tag
// does: coordinators, voters, peers with a lease.
func (h *Host) Protect(p peer.ID, tag string) { h.host.ConnManager().Protect(p, "ciro:"+tag) }

// Unprotect takes back Protect with the same tag.
func (h *Host) Unprotect(p peer.ID, tag string) { h.host.ConnManager().Unprotect(p, "ciro:"+tag) }

// OnPeer registers f to hear of each peer that came (up) or went. Register
// before Run. All functions are called from one goroutine, in order of events,
// and must not block: libp2p waits for them in the end.
func (h *Host) OnPeer(f func(p peer.ID, up bool)) {
	h.registering("OnPeer", "")
	h.mu.Lock()
	h.onPeer = append(h.onPeer, f)
	h.mu.Unlock()
}

// RoutingSize is the number of peers in the DHT's routing table.
func (h *Host) RoutingSize() int { return h.kad.RoutingTable().Size() }

// KnownPeers are peers worth remembering for the next start, with addresses:
// connected ones first, then those of the routing table; at most 64.
func (h *Host) KnownPeers() []peer.AddrInfo {
	var out []peer.AddrInfo
	seen := map[peer.ID]bool{h.self: true}
	for _, p := range append(h.connected(), h.kad.RoutingTable().ListPeers()...) {
		info := h.host.Peerstore().PeerInfo(p)
		if seen[p] || len(info.Addrs) == 0 || len(out) == maxKnownPeers {
			continue
		}
		seen[p] = true
		out = append(out, info)
	}
	return out
}

// watchPeers tells OnPeer's functions and discovery who came and went. libp2p
// may report a peer as connected again after a limited connection; only changes
// are passed on. The table is bounded by the connections there are.
func (h *Host) watchPeers(ctx context.Context) error {
	up := map[peer.ID]bool{}
	for {
		select {
		case <-ctx.Done():
			return nil
		case e, ok := <-h.events.Out():
			if !ok {
				return nil
			}
			change := e.(event.EvtPeerConnectednessChanged)
			now := change.Connectedness == network.Connected
			if up[change.Peer] == now {
				continue
			}
			if now {
				up[change.Peer] = true
			} else {
				delete(up, change.Peer)
			}
			for _, f := range h.onPeer {
				f(change.Peer, now)
			}
			h.wake()
		}
	}
}

// wake makes discovery look again soon.
func (h *Host) wake() {
	select {
	case h.changed <- struct{}{}:
	default:
	}
}
