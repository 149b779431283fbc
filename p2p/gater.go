package p2p

import (
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/libp2p/go-libp2p/core/control"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	ma "github.com/multiformats/go-multiaddr"
)

// maxBlocked bounds the blocked peers; the ones blocked longest ago are
// forgotten first.
const maxBlocked = 4096

// gater refuses connections from and to blocked peers.
type gater struct{ blocked *lru.Cache[peer.ID, struct{}] }

func newGater() (*gater, error) {
	c, err := lru.New[peer.ID, struct{}](maxBlocked)
	return &gater{c}, err
}

func (g *gater) block(p peer.ID)       { g.blocked.Add(p, struct{}{}) }
func (g *gater) allows(p peer.ID) bool { return !g.blocked.Contains(p) }

// InterceptPeerDial refuses to dial a blocked peer. libp2p calls it.
func (g *gater) InterceptPeerDial(p peer.ID) bool { return g.allows(p) }

// InterceptAddrDial lets every address pass. libp2p calls it.
func (g *gater) InterceptAddrDial(peer.ID, ma.Multiaddr) bool { return true }

// InterceptAccept lets every address pass: who it is shows later. libp2p calls it.
func (g *gater) InterceptAccept(network.ConnMultiaddrs) bool { return true }

// InterceptSecured refuses a blocked peer as soon as it has shown who it is.
// libp2p calls it.
func (g *gater) InterceptSecured(_ network.Direction, p peer.ID, _ network.ConnMultiaddrs) bool {
	return g.allows(p)
}

// InterceptUpgraded lets everything pass that got this far. libp2p calls it.
func (g *gater) InterceptUpgraded(network.Conn) (bool, control.DisconnectReason) { return true, 0 }
