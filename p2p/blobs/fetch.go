package blobs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/ipfs/boxo/exchange"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/verifcid"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	"github.com/libp2p/go-libp2p/core/peer"
	"golang.org/x/sync/errgroup"
)

const (
	fetchBatch  = 64               // blocks asked for at a time
	fetchStall  = 30 * time.Second // without a block, while a holder is connected
	aloneStall  = 5 * time.Second  // without a block, while none is
	fetchRounds = 3                // a collection in between may cost a round
	minChunk    = 1 << 10          // mean bytes per block that content must have, entries aside

)

// FetchLimit bounds content. Zero fields: no limit of bytes, MaxEntries of the
// configuration.
type FetchLimit struct {
	Bytes   int64 // of distinct blocks when fetching, of files when exporting
	Entries int   // files and directories
}

// Fetch brings all of c here, from the holders named and from whoever else is
// connected, and returns the bytes of its distinct blocks. What is here already
// is not asked for. Errors: ErrLimit, ErrFull, ErrUnavailable (nothing came for
// long), ErrRefused, or the end of ctx. Blocks that came before an error stay for
// the grace time, so trying again goes on where it stopped.
func (b *Blobs) Fetch(ctx context.Context, c cid.Cid, from []peer.ID, limit FetchLimit) (int64, error) {
	defer b.begin()()
	if err := b.touch(ctx, c); err != nil {
		return 0, err
	}
	for range fetchRounds {
		n, err := b.bring(ctx, c, from, limit)
		if err != nil {
			return n, err
		}
		n, err = b.settle(ctx, c, limit)
		if !errors.Is(err, ErrNotFound) {
			return n, err
		}
	}
	return 0, fmt.Errorf("%w: %s vanishes as fast as it comes", ErrUnavailable, c)
}

// settle checks that all of c is here while nothing is collected, and makes it
// new and durable.
func (b *Blobs) settle(ctx context.Context, c cid.Cid, limit FetchLimit) (int64, error) {
	b.collecting.RLock()
	defer b.collecting.RUnlock()
	n, err := newWalk(b, limit).run(ctx, c)
	if err != nil {
		return n, err
	}
	if err := b.touch(ctx, c); err != nil {
		return n, err
	}
	return n, b.store.sync(ctx)
}

// bring fetches what is missing of c.
func (b *Blobs) bring(ctx context.Context, c cid.Cid, from []peer.ID, limit FetchLimit) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w := newWalk(b, limit)
	src := &source{b: b, from: from}
	if b.bitswap != nil {
		w.missing = src.blocks
	}
	n, err := w.run(ctx, c)
	cancel()
	_ = src.reaching.Wait() // its goroutines report what fails themselves
	if err != nil {
		return n, fmt.Errorf("fetch %s: %w", c, err)
	}
	return n, nil
}

// source asks peers for blocks; it connects to the holders when first used.
type source struct {
	b        *Blobs
	from     []peer.ID
	session  exchange.Fetcher
	reaching errgroup.Group
	reached  chan struct{}
}

// connect begins to reach all holders and waits for the first that is there, or
// for all to fail.
func (s *source) connect(ctx context.Context) {
	s.reached = make(chan struct{}, len(s.from))
	failed := make(chan struct{}, len(s.from))
	s.reaching.SetLimit(16)
	ended := make(chan struct{})
	s.reaching.Go(func() error {
		defer close(ended)
		var each errgroup.Group
		each.SetLimit(8)
		for _, p := range s.from {
			each.Go(func() error {
				if err := s.b.h.Reach(ctx, p); err != nil {
					s.b.cfg.Log.Debug("holder is not reachable", "peer", p.String(), "error", err)
					failed <- struct{}{}
					return nil
				}
				s.reached <- struct{}{}
				return nil
			})
		}
		return each.Wait()
	})
	for range s.from {
		select {
		case <-s.reached:
			s.reached <- struct{}{} // remembered: one holder at least is there
			return
		case <-failed:
		case <-ctx.Done():
			return
		}
	}
	<-ended
}

// blocks fetches want and passes each block to got as it comes.
func (s *source) blocks(ctx context.Context, want []cid.Cid, got func(blocks.Block) error) error {
	if s.session == nil {
		s.session = s.b.bitswap.NewSession(ctx)
		s.connect(ctx)
	}
	patience := fetchStall
	if len(s.reached) == 0 {
		patience = aloneStall
	}
	in, err := s.session.GetBlocks(ctx, want)
	if err != nil {
		return err
	}
	stalled := time.NewTimer(patience)
	defer stalled.Stop()
	for left := len(want); left > 0; left-- {
		select {
		case blk, ok := <-in:
			if !ok {
				return fmt.Errorf("%w: %d blocks are missing", ErrUnavailable, left)
			}
			if err := s.take(ctx, blk, got); err != nil {
				return err
			}
			stalled.Reset(patience)
		case <-stalled.C:
			return fmt.Errorf("%w: nothing came for %s, %d blocks are missing, such as %s", ErrUnavailable, patience, left, want[0])
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// take checks a block against the limits, stores it, and offers it to others.
func (s *source) take(ctx context.Context, blk blocks.Block, got func(blocks.Block) error) error {
	if err := got(blk); err != nil {
		return err
	}
	if err := s.b.store.Put(ctx, blk); err != nil {
		return err
	}
	if err := s.b.bitswap.NotifyNewBlocks(ctx, blk); err != nil {
		return fmt.Errorf("blobs: offer %s: %w", blk.Cid(), err)
	}
	return nil
}

// walk visits every distinct block of a DAG, within limits.
type walk struct {
	b       *Blobs
	limit   FetchLimit
	blocks  int64 // how many there may be
	missing func(context.Context, []cid.Cid, func(blocks.Block) error) error
	visit   func(cid.Cid) // may be nil; each distinct CID that is here
	lenient bool          // what is missing is skipped

	seen    map[string]struct{} // CIDs
	todo    []cid.Cid
	bytes   int64
	entries int
}

func newWalk(b *Blobs, limit FetchLimit) *walk {
	if limit.Entries <= 0 {
		limit.Entries = b.cfg.MaxEntries
	}
	w := &walk{b: b, limit: limit, blocks: 1 << 24, seen: map[string]struct{}{}}
	if limit.Bytes > 0 {
		w.blocks = min(w.blocks, 2*int64(limit.Entries)+limit.Bytes/minChunk+1024)
	} else {
		w.limit.Bytes = math.MaxInt64
	}
	return w
}

// run walks from root and returns the bytes of the blocks.
func (w *walk) run(ctx context.Context, root cid.Cid) (int64, error) {
	if err := w.push(root); err != nil {
		return 0, err
	}
	for len(w.todo) > 0 {
		if err := ctx.Err(); err != nil {
			return w.bytes, context.Cause(ctx)
		}
		n := min(fetchBatch, len(w.todo))
		batch := append([]cid.Cid(nil), w.todo[len(w.todo)-n:]...)
		w.todo = w.todo[:len(w.todo)-n]
		absent, err := w.local(ctx, batch)
		if err != nil {
			return w.bytes, err
		}
		switch {
		case len(absent) == 0 || w.lenient:
		case w.missing == nil:
			return w.bytes, fmt.Errorf("%w: block %s", ErrNotFound, absent[0])
		default:
			if err := w.missing(ctx, absent, w.block); err != nil {
				return w.bytes, err
			}
		}
	}
	return w.bytes, nil
}

// local visits those of batch that are here and returns the others.
func (w *walk) local(ctx context.Context, batch []cid.Cid) (absent []cid.Cid, err error) {
	for _, c := range batch {
		var blk blocks.Block
		var size int
		if c.Prefix().Codec == cid.Raw { // no need to read it
			size, err = w.b.reads.GetSize(ctx, c)
		} else {
			blk, err = w.b.reads.Get(ctx, c)
		}
		switch {
		case ipld.IsNotFound(err):
			absent = append(absent, c)
			continue
		case err != nil:
			return nil, fmt.Errorf("blobs: read %s: %w", c, err)
		case blk != nil:
			err = w.block(blk)
		default:
			err = w.account(c, size)
		}
		if err != nil {
			return nil, err
		}
	}
	return absent, nil
}

func (w *walk) account(c cid.Cid, size int) error {
	if w.bytes += int64(size); w.bytes > w.limit.Bytes {
		return fmt.Errorf("%w: more than %d bytes", ErrLimit, w.limit.Bytes)
	}
	if w.visit != nil {
		w.visit(c)
	}
	return nil
}

// block visits one block and notes its links.
func (w *walk) block(blk blocks.Block) error {
	if err := w.account(blk.Cid(), len(blk.RawData())); err != nil {
		return err
	}
	if blk.Cid().Prefix().Codec == cid.Raw {
		return nil
	}
	node, err := merkledag.DecodeProtobuf(blk.RawData())
	if err != nil {
		return fmt.Errorf("%w: block %s is not UnixFS: %w", ErrRefused, blk.Cid(), err)
	}
	fsNode, err := unixfs.FSNodeFromBytes(node.Data())
	if err != nil {
		return fmt.Errorf("%w: block %s is not UnixFS: %w", ErrRefused, blk.Cid(), err)
	}
	if fsNode.IsDir() {
		if w.entries += len(node.Links()); w.entries > w.limit.Entries {
			return fmt.Errorf("%w: more than %d files and directories", ErrLimit, w.limit.Entries)
		}
	}
	for _, l := range node.Links() {
		if err := w.push(l.Cid); err != nil {
			return err
		}
	}
	return nil
}

func (w *walk) push(c cid.Cid) error {
	if !c.Defined() {
		return fmt.Errorf("%w: no CID", ErrRefused)
	}
	if codec := c.Prefix().Codec; codec != cid.Raw && codec != cid.DagProtobuf {
		return fmt.Errorf("%w: %s is neither a file nor a directory (codec %#x)", ErrRefused, c, codec)
	}
	if err := verifcid.ValidateCid(verifcid.DefaultAllowlist, c); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrRefused, c, err)
	}
	key := c.KeyString() // not the hash: as a file's bytes and as a node it is not the same
	if _, ok := w.seen[key]; ok {
		return nil
	}
	if w.seen[key] = struct{}{}; int64(len(w.seen)) > w.blocks {
		return fmt.Errorf("%w: more than %d blocks", ErrLimit, w.blocks)
	}
	w.todo = append(w.todo, c)
	return nil
}
