package p2p

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dssync "github.com/ipfs/go-datastore/sync"
	"github.com/libp2p/go-libp2p"
	dht "github.com/libp2p/go-libp2p-kad-dht"
	"github.com/libp2p/go-libp2p-kad-dht/records"
	record "github.com/libp2p/go-libp2p-record"
	"github.com/libp2p/go-libp2p/core/event"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/core/routing"
	"github.com/libp2p/go-libp2p/p2p/host/eventbus"
	"github.com/libp2p/go-libp2p/p2p/net/connmgr"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	quic "github.com/libp2p/go-libp2p/p2p/transport/quic"
	"github.com/libp2p/go-libp2p/p2p/transport/tcp"
	"golang.org/x/sync/errgroup"
)

// ErrClosed is returned by everything that is asked of a host that has ended.
var ErrClosed = errors.New("p2p: host is closed")

// Host is one peer of the mesh. All methods may be called from any goroutine,
// but for the order stated in the package comment.
type Host struct {
	cfg     Config
	self    peer.ID
	log     *slog.Logger
	host    host.Host
	kad     *dht.IpfsDHT
	gate    *gater
	gossip  *gossip
	metrics *metrics
	events  event.Subscription
	changed chan struct{} // a peer came or went; wakes discovery

	stopGossip context.CancelFunc
	ctx        context.Context // ends with Run or Close; everything spawned lives under it
	cancel     context.CancelFunc

	mu      sync.Mutex
	ended   bool // no more spawning
	spawned sync.WaitGroup
	running bool
	onPeer  []func(peer.ID, bool)

	closing  sync.Once
	closeErr error
}

// New builds a host that neither listens nor dials yet. It fails on a Config
// that is not valid, and on metrics that are registered already.
func New(cfg Config) (*Host, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	gate, err := newGater()
	if err != nil {
		return nil, fmt.Errorf("p2p: %w", err)
	}
	self, err := peer.IDFromPrivateKey(cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("p2p: identity: %w", err)
	}
	h := &Host{cfg: cfg, self: self, log: cfg.Log, gate: gate, changed: make(chan struct{}, 1)}
	h.ctx, h.cancel = context.WithCancel(context.Background())
	if h.metrics, err = newMetrics(cfg.Registerer, h); err != nil {
		return nil, fmt.Errorf("p2p: %w", err)
	}
	if err := h.build(); err != nil {
		return nil, fmt.Errorf("p2p: %w", errors.Join(err, h.Close()))
	}
	return h, nil
}

// build makes the libp2p parts from the bottom up; on error Close takes down
// what exists.
func (h *Host) build() error {
	var kad atomic.Pointer[dht.IpfsDHT] // relay search may ask before the DHT is there
	options, err := h.options(&kad)
	if err != nil {
		return err
	}
	if h.host, err = libp2p.New(options...); err != nil {
		return fmt.Errorf("libp2p: %w", err)
	}
	h.kad = kad.Load()
	h.host.Network().Notify(&network.NotifyBundle{ConnectedF: h.supersede})
	h.events, err = h.host.EventBus().Subscribe(new(event.EvtPeerConnectednessChanged), eventbus.BufSize(1024), eventbus.Name("p2p"))
	if err != nil {
		return fmt.Errorf("event bus: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	h.stopGossip = stop
	if h.gossip, err = newGossip(ctx, h); err != nil {
		return fmt.Errorf("gossip: %w", err)
	}
	return nil
}

func (h *Host) options(kad *atomic.Pointer[dht.IpfsDHT]) ([]libp2p.Option, error) {
	conns, err := connmgr.NewConnManager(h.cfg.HighWater*3/4, h.cfg.HighWater, connmgr.WithGracePeriod(time.Minute))
	if err != nil {
		return nil, fmt.Errorf("connection manager: %w", err)
	}
	out := []libp2p.Option{
		libp2p.Identity(h.cfg.Key), libp2p.NoListenAddrs, libp2p.UserAgent(h.cfg.Agent),
		libp2p.Security(noise.ID, noise.New), libp2p.ConnectionManager(conns), libp2p.ConnectionGater(h.gate),
		libp2p.WithDialTimeout(15 * time.Second),
		// Dialling many dead peers must not make us believe that UDP or IPv6 is blocked.
		libp2p.UDPBlackHoleSuccessCounter(nil), libp2p.IPv6BlackHoleSuccessCounter(nil),
		libp2p.Routing(func(lower host.Host) (routing.PeerRouting, error) {
			d, err := h.newDHT(lower)
			kad.Store(d)
			return d, err
		}),
	}
	if h.cfg.Registerer == nil {
		out = append(out, libp2p.DisableMetrics())
	} else {
		out = append(out, libp2p.PrometheusRegisterer(h.cfg.Registerer))
	}
	if !h.cfg.TestTransport {
		limits, err := newResourceManager(h.cfg.HighWater)
		if err != nil {
			return nil, err
		}
		out = append(out, libp2p.Transport(tcp.NewTCPTransport), libp2p.Transport(quic.NewTransport), libp2p.ResourceManager(limits))
	}
	if h.cfg.NAT {
		out = append(out, natOptions(kad)...)
	}
	return append(out, h.cfg.Options...), nil
}

func (h *Host) newDHT(lower host.Host) (*dht.IpfsDHT, error) {
	store := h.cfg.Datastore
	if store == nil {
		store = dssync.MutexWrap(ds.NewMapDatastore())
	}
	mode := map[DHTMode]dht.ModeOpt{DHTAutoServer: dht.ModeAutoServer, DHTServer: dht.ModeServer, DHTClient: dht.ModeClient}[h.cfg.DHT]
	// Small buckets and low concurrency: lookups open connections, and a mesh of
	// some hundred nodes would otherwise end up fully meshed.
	return dht.New(lower,
		dht.ProtocolPrefix(protocol.ID(h.cfg.Protocol)), dht.Mode(mode),
		dht.BucketSize(16), dht.Concurrency(4), dht.DisableValues(),
		dht.Datastore(namespace.Wrap(store, ds.NewKey("dht"))),
		dht.Validator(record.NamespacedValidator{"pk": record.PublicKeyValidator{}}),
		dht.ProviderManagerOpts(records.ProvideValidity(provideValidity), records.ProviderAddrTTL(provideValidity), records.CleanupInterval(10*time.Minute)))
}

// Run finds peers and serves until ctx ends, joins every goroutine that this
// package started, and returns nil then. It listens first if Listen was not
// called. A host runs once.
func (h *Host) Run(ctx context.Context) error {
	h.mu.Lock()
	again := h.running || h.ended
	h.running = true
	h.mu.Unlock()
	if again {
		return ErrClosed
	}
	defer h.end()
	if len(h.host.Network().ListenAddresses()) == 0 {
		if err := h.Listen(); err != nil {
			return err
		}
	}
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return h.watchPeers(ctx) })
	g.Go(func() error { return h.discover(ctx) })
	if h.cfg.MDNS {
		g.Go(func() error { return h.runMDNS(ctx) })
	}
	if err := g.Wait(); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// Close ends the host: gossip, then the DHT, then sockets and streams. It waits
// for what this package started and returns the same error every time. Close
// the datastore after it.
func (h *Host) Close() error {
	h.closing.Do(func() {
		h.end()
		var errs []error
		if h.stopGossip != nil {
			h.stopGossip()
		}
		if h.events != nil {
			errs = append(errs, h.events.Close())
		}
		if h.kad != nil {
			errs = append(errs, h.kad.Close())
		}
		if h.host != nil {
			errs = append(errs, h.host.Close())
		}
		h.metrics.unregister()
		h.closeErr = errors.Join(errs...)
	})
	return h.closeErr
}

// end stops and joins all that was spawned.
func (h *Host) end() {
	h.mu.Lock()
	h.ended = true
	h.mu.Unlock()
	h.cancel()
	h.spawned.Wait()
}

// enter counts one more goroutine that end waits for; false after the end. Who
// got true calls h.spawned.Done.
func (h *Host) enter() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ended {
		return false
	}
	h.spawned.Add(1)
	return true
}

// spawn runs f under the host's context; false after the end.
func (h *Host) spawn(f func(context.Context)) bool {
	if !h.enter() {
		return false
	}
	go func() {
		defer h.spawned.Done()
		f(h.ctx)
	}()
	return true
}

// registering panics once the host runs: peers learn what we speak when they
// connect, and a protocol that comes later may never become known to them.
func (h *Host) registering(what, name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.running {
		panic(fmt.Sprintf("p2p: %s %q is registered after Run", what, name))
	}
}

// Admitted reports whether p may use streams and gossip; the host itself always may.
func (h *Host) Admitted(p peer.ID) bool {
	return h.cfg.Admit == nil || p == h.self || h.cfg.Admit(p)
}

// Libp2p is the host underneath, for protocols of its ecosystem such as Bitswap.
// Register their handlers before Run and never close it.
func (h *Host) Libp2p() host.Host { return h.host }

// Protocol is the id of the protocol name below the network's prefix.
func (h *Host) Protocol(name string) protocol.ID { return protocol.ID(h.cfg.Protocol + "/" + name) }
