package p2p

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	mrand "math/rand/v2"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/peerstore"
	"github.com/libp2p/go-libp2p/p2p/discovery/mdns"
	mh "github.com/multiformats/go-multihash"
	"golang.org/x/sync/errgroup"
)

const (
	wantPeers       = 32 // stop looking for more when connected to so many
	fewPeers        = 4  // dial the bootstrap list again below
	provideValidity = 30 * time.Minute
	provideEvery    = 10 * time.Minute
	findTimeout     = 5 * time.Second // one dial or lookup
	minFindDelay    = 50 * time.Millisecond
	maxFindDelay    = time.Minute
)

// finder is the discovery loop's memory; one goroutine owns it.
type finder struct {
	h          *Host
	rendezvous cid.Cid
	provided   time.Time // when we last announced ourselves
	providedTo int       // routing table size then
	warned     bool      // said that no bootstrap peer answers
}

// discover looks for peers until ctx ends: fast while that changes something,
// then ever more rarely, up to a minute apart with jitter.
func (h *Host) discover(ctx context.Context) error {
	sum, err := mh.Sum([]byte(h.cfg.Protocol+"/rendezvous"), mh.SHA2_256, -1)
	if err != nil {
		return fmt.Errorf("p2p: rendezvous key: %w", err)
	}
	for _, b := range h.cfg.Bootstrap {
		h.host.Peerstore().AddAddrs(b.ID, b.Addrs, peerstore.PermanentAddrTTL)
	}
	f := &finder{h: h, rendezvous: cid.NewCidV1(cid.Raw, sum)}
	delay := minFindDelay
	for ctx.Err() == nil {
		before := len(h.connected())
		f.round(ctx)
		delay = min(2*delay, maxFindDelay)
		if now := len(h.connected()); now != before && now < wantPeers {
			delay = minFindDelay
		}
		timer := time.NewTimer(delay/2 + mrand.N(delay))
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-h.changed:
			if len(h.connected()) < wantPeers {
				delay = minFindDelay
			}
			pause(ctx, minFindDelay) // let identify and routing table catch up
		}
		timer.Stop()
	}
	return nil
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

func (f *finder) round(ctx context.Context) {
	if len(f.h.connected()) < fewPeers {
		f.dialBootstrap(ctx)
	}
	if f.h.RoutingSize() == 0 {
		return
	}
	f.provide(ctx)
	if len(f.h.connected()) >= wantPeers {
		return
	}
	f.askRendezvous(ctx)
	f.lookAround(ctx)
}

func (f *finder) dialBootstrap(ctx context.Context) {
	var missing []peer.AddrInfo
	for _, b := range f.h.cfg.Bootstrap {
		if b.ID != f.h.self && f.h.host.Network().Connectedness(b.ID) != network.Connected {
			missing = append(missing, b)
		}
	}
	if len(missing) == 0 {
		return
	}
	err := f.dial(ctx, missing)
	switch {
	case err == nil || len(f.h.connected()) > 0:
		f.warned = false
	case !f.warned && ctx.Err() == nil:
		f.warned = true
		f.h.log.Warn("no bootstrap peer answers, trying again", "error", err)
	}
}

// dial connects to all peers, a few at a time, and returns one of the errors.
func (f *finder) dial(ctx context.Context, peers []peer.AddrInfo) error {
	var g errgroup.Group // not one with a context: a failure stops nobody
	g.SetLimit(16)
	for _, p := range peers {
		g.Go(func() error {
			ctx, cancel := context.WithTimeout(ctx, findTimeout)
			defer cancel()
			return f.h.Connect(ctx, p)
		})
	}
	return g.Wait()
}

// provide announces us at the rendezvous: now and then, and when the routing
// table has grown, so that the record is not only with a peer that may go away.
func (f *finder) provide(ctx context.Context) {
	size := f.h.RoutingSize()
	if time.Since(f.provided) < provideEvery && size <= f.providedTo+f.providedTo/2 {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	if err := f.h.kad.Provide(ctx, f.rendezvous, true); err != nil {
		f.h.log.Debug("announcing at the rendezvous failed", "error", err)
		return
	}
	f.provided, f.providedTo = time.Now(), size
}

// askRendezvous connects to peers that announced themselves.
func (f *finder) askRendezvous(ctx context.Context) {
	fctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	var found []peer.AddrInfo
	for p := range f.h.kad.FindProvidersAsync(fctx, f.rendezvous, 2*wantPeers) {
		found = append(found, p)
	}
	f.join(ctx, found)
}

// lookAround looks up a random key and connects to the peers closest to it.
func (f *finder) lookAround(ctx context.Context) {
	if len(f.h.connected()) >= wantPeers || ctx.Err() != nil {
		return
	}
	var key [32]byte
	rand.Read(key[:]) // never fails
	fctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	closest, err := f.h.kad.GetClosestPeers(fctx, string(key[:]))
	if err != nil {
		f.h.log.Debug("lookup failed", "error", err)
	}
	var found []peer.AddrInfo
	for _, p := range closest {
		found = append(found, f.h.host.Peerstore().PeerInfo(p))
	}
	f.join(ctx, found)
}

// join dials those of found that are not connected, up to the wanted number.
func (f *finder) join(ctx context.Context, found []peer.AddrInfo) {
	room := wantPeers - len(f.h.connected())
	var missing []peer.AddrInfo
	for _, p := range found {
		if len(missing) >= room {
			break
		}
		if p.ID != f.h.self && len(p.Addrs) > 0 && f.h.gate.allows(p.ID) && f.h.host.Network().Connectedness(p.ID) != network.Connected {
			missing = append(missing, p)
		}
	}
	if err := f.dial(ctx, missing); err != nil {
		f.h.log.Debug("a peer that was found does not answer", "error", err)
	}
}

// runMDNS finds peers of this network on the LAN. A failure (no multicast here)
// is reported and otherwise ignored: there are other ways to find peers.
func (h *Host) runMDNS(ctx context.Context) error {
	sum := sha256.Sum256([]byte(h.cfg.Protocol))
	found := make(lanPeers, 64)
	service := mdns.NewMdnsService(h.host, "_c"+hex.EncodeToString(sum[:6])+"._udp", found)
	if err := service.Start(); err != nil {
		h.log.Warn("LAN discovery does not work here", "error", err)
		return nil
	}
	f := &finder{h: h}
	for {
		select {
		case <-ctx.Done():
			return service.Close()
		case p := <-found:
			f.join(ctx, []peer.AddrInfo{p})
		}
	}
}

// lanPeers queues what mDNS finds; when full, peers are found again later.
type lanPeers chan peer.AddrInfo

// HandlePeerFound is called by mDNS.
func (l lanPeers) HandlePeerFound(p peer.AddrInfo) {
	select {
	case l <- p:
	default:
	}
}
