package p2p

import (
	"context"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/time/rate"
)

// maxPaced bounds the peers whose pace is remembered; beyond, those unheard
// longest start afresh.
const maxPaced = 4096

// pace bounds what one peer may bring per second, so that a flood from it is its
// own loss and not its neighbours'. A nil pace bounds nothing.
type pace struct {
	perSecond float64
	peers     *lru.Cache[peer.ID, *rate.Limiter]
}

// newPace bounds to so many things per second and peer, and as many at once; 0
// bounds nothing.
func newPace(perSecond float64) *pace {
	if perSecond <= 0 {
		return nil
	}
	peers, err := lru.New[peer.ID, *rate.Limiter](maxPaced)
	if err != nil {
		panic(err) // its size is a positive constant
	}
	return &pace{perSecond: perSecond, peers: peers}
}

func (p *pace) of(from peer.ID) *rate.Limiter {
	l, known := p.peers.Get(from)
	if !known {
		l = rate.NewLimiter(rate.Limit(p.perSecond), max(1, int(p.perSecond)))
		if earlier, raced, _ := p.peers.PeekOrAdd(from, l); raced {
			l = earlier
		}
	}
	return l
}

// wait returns when the peer may bring one more; false when ctx has ended.
func (p *pace) wait(ctx context.Context, from peer.ID) bool {
	return p == nil || p.of(from).Wait(ctx) == nil
}

// allow says whether the peer may bring one more now.
func (p *pace) allow(from peer.ID) bool { return p == nil || p.of(from).Allow() }
