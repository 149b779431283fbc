package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ipfs/boxo/bitswap"
	"github.com/ipfs/boxo/bitswap/client"
	bsiface "github.com/ipfs/boxo/bitswap/network"
	"github.com/ipfs/boxo/bitswap/network/bsnet"
	"github.com/ipfs/boxo/blockservice"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/exchange/offline"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
)

// Defaults of BlobsConfig.
const (
	DefaultGrace        = time.Hour
	DefaultCollectEvery = 10 * time.Minute
	DefaultMaxEntries   = 100_000
)

var (
	// ErrNotFound means that the content, or a path in it, is not here.
	ErrNotFound = errors.New("blobs: not found")
	// ErrLimit means that content exceeds a limit of bytes or entries.
	ErrLimit = errors.New("blobs: content exceeds the limit")
	// ErrUnavailable means that no reachable peer has the content.
	ErrUnavailable = errors.New("blobs: nobody reachable has the content")
	// ErrRefused means that content is not made of plain files and directories
	// with plain names.
	ErrRefused = errors.New("blobs: content is refused")
)

// BlobsConfig tunes Blobs; the zero value is useful.
type BlobsConfig struct {
	Quota        int64               // bytes of blocks kept at most; 0 is no limit
	Room         func(n int64) error // whether n more bytes may be written, wrapping ErrFull if not; nil always
	Grace        time.Duration       // how long unpinned content stays; 0 is DefaultGrace
	CollectEvery time.Duration       // pause between collections in Run; 0 is DefaultCollectEvery
	MaxEntries   int                 // files and directories in one DAG; 0 is DefaultMaxEntries
	Log          *slog.Logger        // nil discards
}

// Blobs is a store of content and its exchange with peers. All methods may be
// called from any goroutine.
type Blobs struct {
	h     *p2p.Host
	cfg   BlobsConfig
	store *store
	reads blockstore.Blockstore // store, with inline content
	dag   ipld.DAGService       // local only

	network bsiface.BitSwapNetwork // nil without a host
	bitswap *bitswap.Bitswap
	stop    context.CancelFunc
	closing sync.Once

	// collecting excludes the collector from moments in which content becomes
	// needed: pinning, beginning and concluding an Add or Fetch. They share it.
	collecting sync.RWMutex

	mu     sync.Mutex
	active map[*operation]struct{}
}

// operation is an Add or Fetch under way; what was written since it began stays.
type operation struct{ began time.Time }

// NewBlobs opens the content in data and serves it to the host's peers; call it
// before the host runs. Without a host (nil) there is only what is here. It
// reads all keys once to count them.
func NewBlobs(h *p2p.Host, data ds.Batching, cfg BlobsConfig) (*Blobs, error) {
	if cfg.Grace <= 0 {
		cfg.Grace = DefaultGrace
	}
	if cfg.CollectEvery <= 0 {
		cfg.CollectEvery = DefaultCollectEvery
	}
	if cfg.MaxEntries <= 0 {
		cfg.MaxEntries = DefaultMaxEntries
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	ctx, stop := context.WithCancel(context.Background())
	st, err := newStore(ctx, below(data), cfg.Quota, cfg.Room)
	if err != nil {
		stop()
		return nil, err
	}
	b := &Blobs{h: h, cfg: cfg, store: st, stop: stop, active: map[*operation]struct{}{}}
	b.reads = blockstore.NewIdStore(st)
	b.dag = merkledag.NewDAGService(blockservice.New(b.reads, offline.Exchange(b.reads)))
	if h != nil {
		b.network = bsnet.NewFromIpfsHost(h.Libp2p(), bsnet.Prefix(h.Protocol("blobs")))
		b.bitswap = bitswap.New(ctx, b.network, nil, st,
			bitswap.WithPeerBlockRequestFilter(func(p peer.ID, _ cid.Cid) bool { return h.Admitted(p) }),
			// Holders are known and few, and often new to us: ask all who are connected.
			bitswap.WithClientOption(client.BroadcastControlEnable(false)),
			bitswap.MaxQueuedWantlistEntriesPerPeer(4096))
	}
	return b, nil
}

// Run collects garbage now and then until ctx ends.
func (b *Blobs) Run(ctx context.Context) error {
	tick := time.NewTicker(b.cfg.CollectEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			freed, err := b.Collect(ctx)
			switch {
			case ctx.Err() != nil:
			case err != nil:
				b.cfg.Log.Warn("collecting unused content failed", "error", err)
			case freed > 0:
				b.cfg.Log.Info("unused content removed", "bytes", freed)
			}
		}
	}
}

// Close ends the exchange with peers. Close the host after it, then the datastore.
func (b *Blobs) Close() error {
	var err error
	b.closing.Do(func() {
		b.stop()
		if b.bitswap != nil {
			b.network.Stop()
			err = b.bitswap.Close()
		}
	})
	return err
}

// Usage is what is stored: bytes of blocks, and their number.
func (b *Blobs) Usage(ctx context.Context) (bytes, blocks int64) { return b.store.usage() }

// Has reports whether all of c is here.
func (b *Blobs) Has(ctx context.Context, c cid.Cid) (bool, error) {
	_, err := newWalk(b, FetchLimit{}).run(ctx, c)
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

// begin notes an operation; everything written from now on outlives the
// collector until end.
func (b *Blobs) begin() (end func()) {
	b.collecting.RLock() // a collection under way has fixed what it keeps
	defer b.collecting.RUnlock()
	op := &operation{began: time.Now()}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.active[op] = struct{}{}
	return func() {
		b.mu.Lock()
		defer b.mu.Unlock()
		delete(b.active, op)
	}
}

// conclude makes the finished content under c durable and new.
func (b *Blobs) conclude(ctx context.Context, c cid.Cid) error {
	b.collecting.RLock()
	defer b.collecting.RUnlock()
	if err := b.touch(ctx, c); err != nil {
		return err
	}
	return b.store.sync(ctx)
}

func rootKey(c cid.Cid) ds.Key { return ds.NewKey("roots").ChildString(c.String()) }

// touch starts the grace time of c anew.
func (b *Blobs) touch(ctx context.Context, c cid.Cid) error {
	if err := b.store.data.Put(ctx, rootKey(c), timestamp(time.Now())); err != nil {
		return fmt.Errorf("blobs: note %s: %w", c, err)
	}
	return nil
}
