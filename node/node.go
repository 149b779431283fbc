package node

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/store"
	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/blobs"
)

// Roles that a node may have beside being a door for clients.
const (
	roleWorker      = "worker"
	roleCoordinator = "coordinator"
)

// Node is one participant of a network. New makes it, Run runs it.
type Node struct {
	cfg     config.Config
	parts   Parts
	log     *slog.Logger
	started time.Time

	key    crypto.PrivKey
	client ed25519.PrivateKey // signs offers of those who use this node's API
	self   string
	net    *network

	store  *store.Store
	host   *p2p.Host
	blobs  *blobs.Blobs
	dir    *directory
	ages   *ages
	gossip *gossip
	engine *engine
	hub    *hub
	chain  *ledgers
	runner *runner  // nil without the worker role
	serves []uint32 // the shards that its worker attaches to, sorted
	links  *links
	api    *api.Server
	meters

	ran      atomic.Bool    // Run was called; it closes the API's sockets
	bg       sync.WaitGroup // background work that requests start
	bgCtx    context.Context
	bgCancel context.CancelFunc
	bgSlots  chan struct{}
	told     time.Time // the origin of the wall clock as the peers know it; tend's alone
	skew     atomic.Pointer[skew]
	changed  chan struct{} // what this worker offers has changed
	disk     *disk

	operatorDrains, stopping atomic.Bool // why the worker takes no tasks

	offerMu sync.Mutex // one change of it at a time
}

// maxBackground bounds work that requests and messages start in the background.
const maxBackground = 256

// New opens the data directory, founds or joins a network if there is none in
// it, and binds the sockets. Joining speaks to the peer named by the
// configuration. Nothing runs until Run; a Node that is not run must be closed.
func New(ctx context.Context, cfg config.Config, version string, log *slog.Logger) (*Node, error) {
	return NewWith(ctx, cfg, Parts{Version: version, Log: log})
}

// NewWith is New with some parts replaced. Without any address in cfg.API.Listen
// the node has no HTTP interface; Jobs and its like are there all the same.
func NewWith(ctx context.Context, cfg config.Config, parts Parts) (*Node, error) {
	parts = parts.withDefaults()
	n := &Node{cfg: cfg, parts: parts, log: parts.Log, started: time.Now(), meters: newMeters(), bgSlots: make(chan struct{}, maxBackground), changed: make(chan struct{}, 1)}
	n.bgCtx, n.bgCancel = context.WithCancel(context.WithoutCancel(ctx))
	n.skew.Store(&skew{})
	for _, step := range []func(context.Context) error{n.openStore, n.openNetwork, n.openHost, n.openCores, n.openAPI} {
		if err := step(ctx); err != nil {
			return nil, errors.Join(err, n.Close())
		}
	}
	return n, nil
}

// Close releases what New opened. Run calls it.
func (n *Node) Close() error {
	n.bgCancel()
	n.bg.Wait()
	var errs []error
	if n.api != nil && !n.ran.Load() {
		errs = append(errs, n.api.Close())
	}
	if n.blobs != nil {
		errs = append(errs, n.blobs.Close())
	}
	if n.host != nil {
		errs = append(errs, n.host.Close())
	}
	if n.store != nil {
		errs = append(errs, n.store.Close())
	}
	return errors.Join(errs...)
}

// background runs f with a context that ends when the node stops. When too much
// runs already, f is dropped: whoever wanted it asks again.
func (n *Node) background(f func(context.Context)) {
	select {
	case n.bgSlots <- struct{}{}:
	default:
		return
	}
	n.bg.Go(func() {
		defer func() { <-n.bgSlots }()
		f(n.bgCtx)
	})
}

// Run runs the node until ctx ends, then stops it cleanly: attempts are finished
// within the grace time or handed back, leaderships are handed over, and the
// data directory is closed. It returns nil after a clean stop.
func (n *Node) Run(ctx context.Context) error {
	n.ran.Store(true)
	// The parts outlive ctx by the time that a clean stop takes.
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	defer end()
	g, life := errgroup.WithContext(life)
	if n.runner != nil {
		n.runner.arm(life)
	}
	g.Go(func() error { return n.host.Run(life) })
	g.Go(func() error { return n.blobs.Run(life) })
	g.Go(func() error { return n.gossip.run(life) })
	g.Go(func() error { return n.engine.run(life) })
	g.Go(func() error { return n.tend(life) })
	g.Go(func() error { return n.watchDisk(life) })
	g.Go(func() error { return n.chain.run(life) })
	if n.api != nil {
		g.Go(func() error { return n.api.Run(life) })
	}
	if n.runner != nil {
		g.Go(func() error { return n.runner.run(life) })
		g.Go(func() error { return n.advertise(life) })
	}
	g.Go(func() error {
		defer end()
		select {
		case <-n.bgCtx.Done():
		case <-ctx.Done():
			n.leave(life, n.cfg.Worker.Grace)
		case <-life.Done():
		}
		return nil
	})
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		err = nil
	}
	err = errors.Join(err, n.Close())
	n.disk.ended()
	return err
}

// Abort ends Run at once, as a crash would: nothing is handed over, handed back
// or reported; the next start finds what was durable. For a second signal. It may
// be called from any goroutine, before Run too.
func (n *Node) Abort() { n.bgCancel() }

// Banner is what a person sees when the node starts.
func (n *Node) Banner() string {
	var b strings.Builder
	roles := strings.Join(n.cfg.Roles, ", ")
	if roles == "" {
		roles = "none (client's door only)"
	}
	fmt.Fprintf(&b, "network  %s  %s (%d shards)\n", n.net.gen.Name, n.net.String()[:16], n.net.gen.Shards)
	fmt.Fprintf(&b, "node     %s  roles: %s\n", n.self, roles)
	if n.api != nil {
		fmt.Fprintf(&b, "api      http://%s\n", n.api.Addr())
		fmt.Fprintf(&b, "browser  http://%s/ shows the dashboard\n", n.api.Addr())
	}
	fmt.Fprintf(&b, "join     %s\n", n.JoinCommand())
	return b.String()
}

// JoinCommand is the exact command that joins another machine to the network.
func (n *Node) JoinCommand() string {
	addr := n.joinAddress()
	if n.net.secret != "" {
		addr += "#" + n.net.secret
		return "ciro start --join '" + addr + "'"
	}
	return "ciro start --join " + addr
}

// joinAddress picks the address that another machine most likely reaches: not
// loopback if there is another, TCP first.
func (n *Node) joinAddress() string {
	best, score := "", -1
	for _, a := range n.host.Addrs() {
		s := a.String()
		v := 0
		if !strings.HasPrefix(s, "/ip4/127.") && !strings.HasPrefix(s, "/ip6/::1/") {
			v += 2
		}
		if strings.Contains(s, "/tcp/") {
			v++
		}
		if v > score {
			best, score = s, v
		}
	}
	return best
}

// PeerID returns the node's peer id.
func (n *Node) PeerID() peer.ID { return n.host.ID() }

// APIAddr returns the host and port of the node's HTTP interface, "" without one.
func (n *Node) APIAddr() string {
	if n.api == nil {
		return ""
	}
	return n.api.Addr()
}
