package blobs

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/query"
)

// maxOwner bounds an owner's name, in bytes.
const maxOwner = 256

func ownerKey(owner string) ds.Key {
	return ds.NewKey("pins").ChildString(hex.EncodeToString([]byte(owner)))
}

// Pin keeps c until owner is unpinned; an owner may pin many. It need not be
// here yet. It is durable when Pin returns, and waits for a collection under way.
func (b *Blobs) Pin(ctx context.Context, owner string, c cid.Cid) error {
	if owner == "" || len(owner) > maxOwner || !c.Defined() {
		return fmt.Errorf("blobs: pin needs an owner of 1 to %d bytes and a CID", maxOwner)
	}
	b.collecting.RLock()
	defer b.collecting.RUnlock()
	key := ownerKey(owner).ChildString(c.String())
	if err := b.store.data.Put(ctx, key, timestamp(time.Now())); err != nil {
		return fmt.Errorf("blobs: pin %s: %w", c, err)
	}
	return b.store.sync(ctx)
}

// Unpin takes back all pins of owner; that there are none is no error. The
// content stays for its grace time, and as long as others pin it.
func (b *Blobs) Unpin(ctx context.Context, owner string) error {
	b.collecting.RLock()
	defer b.collecting.RUnlock()
	keys, err := b.keys(ctx, ownerKey(owner))
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := b.store.data.Delete(ctx, ds.RawKey(k)); err != nil {
			return fmt.Errorf("blobs: unpin %s: %w", owner, err)
		}
	}
	return b.store.sync(ctx)
}

// Owners returns all pins, by owner.
func (b *Blobs) Owners(ctx context.Context) (map[string][]cid.Cid, error) {
	keys, err := b.keys(ctx, ds.NewKey("pins"))
	if err != nil {
		return nil, err
	}
	out := map[string][]cid.Cid{}
	for _, k := range keys {
		parts := strings.Split(strings.TrimPrefix(k, "/pins/"), "/")
		if len(parts) != 2 {
			return nil, fmt.Errorf("blobs: damaged pin %q", k)
		}
		owner, err := hex.DecodeString(parts[0])
		if err != nil {
			return nil, fmt.Errorf("blobs: damaged pin %q: %w", k, err)
		}
		c, err := cid.Decode(parts[1])
		if err != nil {
			return nil, fmt.Errorf("blobs: damaged pin %q: %w", k, err)
		}
		out[string(owner)] = append(out[string(owner)], c)
	}
	return out, nil
}

// keys lists the keys below prefix, sorted.
func (b *Blobs) keys(ctx context.Context, prefix ds.Key) ([]string, error) {
	res, err := b.store.data.Query(ctx, query.Query{Prefix: prefix.String(), KeysOnly: true})
	if err != nil {
		return nil, fmt.Errorf("blobs: list %s: %w", prefix, err)
	}
	entries, err := res.Rest()
	if err != nil {
		return nil, fmt.Errorf("blobs: list %s: %w", prefix, err)
	}
	out := make([]string, 0, len(entries))
	for _, e := range entries {
		out = append(out, e.Key)
	}
	slices.Sort(out)
	return out, nil
}

// Collect removes the blocks that nobody pins and that are older than the grace
// time, and returns the bytes freed. It keeps all of an incomplete DAG that is
// here. An error while it looks what to keep removes nothing.
func (b *Blobs) Collect(ctx context.Context) (freed int64, err error) {
	b.collecting.Lock()
	defer b.collecting.Unlock()
	cutoff := b.cutoff()
	keep, err := b.keep(ctx, cutoff)
	if err != nil {
		return 0, err
	}
	all, err := b.store.AllKeysChan(ctx)
	if err != nil {
		return 0, fmt.Errorf("blobs: collect: %w", err)
	}
	var old []cid.Cid
	for c := range all {
		if _, ok := keep[string(c.Hash())]; !ok {
			old = append(old, c)
		}
	}
	for _, c := range old {
		if err := ctx.Err(); err != nil {
			return freed, err
		}
		n, err := b.store.deleteOlder(ctx, c, cutoff)
		freed += n
		if err != nil {
			return freed, err
		}
	}
	return freed, nil
}

// cutoff is the time before which unpinned content is old: the grace time ago,
// and before anything under way began. One second is the stamps' resolution.
func (b *Blobs) cutoff() time.Time {
	at := time.Now().Add(-b.cfg.Grace)
	b.mu.Lock()
	defer b.mu.Unlock()
	for op := range b.active { // any order: the earliest counts
		if op.began.Before(at) {
			at = op.began
		}
	}
	return at.Truncate(time.Second)
}

// keep returns the hashes of all blocks below pins and new roots, and forgets
// the roots that are old.
func (b *Blobs) keep(ctx context.Context, cutoff time.Time) (map[string]struct{}, error) {
	var roots []cid.Cid
	owners, err := b.Owners(ctx)
	if err != nil {
		return nil, err
	}
	for _, pins := range owners { // any order: it is a set
		roots = append(roots, pins...)
	}
	recent, err := b.keys(ctx, ds.NewKey("roots"))
	if err != nil {
		return nil, err
	}
	for _, k := range recent {
		stamp, err := b.store.data.Get(ctx, ds.RawKey(k))
		if err != nil {
			return nil, fmt.Errorf("blobs: read %s: %w", k, err)
		}
		c, err := cid.Decode(lastName(k))
		if err != nil || stampTime(stamp).Before(cutoff) {
			if err := b.store.data.Delete(ctx, ds.RawKey(k)); err != nil {
				return nil, fmt.Errorf("blobs: forget %s: %w", k, err)
			}
			continue
		}
		roots = append(roots, c)
	}
	keep := map[string]struct{}{}
	for _, c := range roots {
		if err := b.mark(ctx, c, keep); err != nil {
			return nil, err
		}
	}
	return keep, nil
}

// mark adds what is here of c to keep. Content that is refused was never
// complete, so nothing depends on the part that is not marked.
func (b *Blobs) mark(ctx context.Context, c cid.Cid, keep map[string]struct{}) error {
	w := newWalk(b, FetchLimit{Entries: math.MaxInt})
	w.lenient = true
	w.visit = func(c cid.Cid) { keep[string(c.Hash())] = struct{}{} }
	_, err := w.run(ctx, c)
	if err != nil && !errors.Is(err, ErrRefused) {
		return fmt.Errorf("blobs: collect: %w", err)
	}
	return nil
}
