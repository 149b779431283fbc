package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/executor/wasm"
	"github.com/ciro-network/ciro/p2p/blobs"
)

// fetching is one module on its way; all attempts that need it share it.
type fetching struct {
	done chan struct{}
	err  error
}

// module brings a module from the mesh into a file and returns its path. The
// file is named by its CID, so that it is never stale.
func (r *runner) module(ctx context.Context, text string, holders []peer.ID) (string, error) {
	c, err := cid.Decode(text)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(r.n.store.Dir("cache"), "modules")
	path := filepath.Join(dir, c.String()+".wasm")
	for {
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
		f, mine := r.fetch(path)
		if mine {
			f.err = r.export(ctx, c, dir, holders)
			r.fetched(path, f)
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return "", ctx.Err()
		}
		if mine || f.err == nil {
			return path, f.err
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		if !errors.Is(f.err, context.Canceled) {
			return "", f.err
		}
	}
}

// fetch joins the fetching of a module or begins it.
func (r *runner) fetch(path string) (f *fetching, mine bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if f = r.fetches[path]; f != nil {
		return f, false
	}
	f = &fetching{done: make(chan struct{})}
	r.fetches[path] = f
	return f, true
}

func (r *runner) fetched(path string, f *fetching) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.fetches, path)
	close(f.done)
}

func (r *runner) export(ctx context.Context, c cid.Cid, dir string, holders []peer.ID) error {
	limit := blobs.FetchLimit{Bytes: wasm.MaxModule}
	if _, err := r.n.blobs.Fetch(ctx, c, holders, limit); err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	partial := c.String() + ".partial"
	if err := root.RemoveAll(partial); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := r.n.blobs.Export(ctx, c, root, partial, limit); err != nil {
		return err
	}
	return root.Rename(partial, c.String()+".wasm")
}
