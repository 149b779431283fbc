package blobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	uio "github.com/ipfs/boxo/ipld/unixfs/io"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
)

// Entry is a file within a DAG.
type Entry struct {
	Path string // with slashes, relative to the root; "" if the root is the file itself
	Size int64  // bytes, as its node claims
	CID  cid.Cid
}

// checkName accepts names that are one plain path element everywhere.
func checkName(name string) error {
	bad := name == "" || name == "." || name == ".." || len(name) > 255 || !utf8.ValidString(name) ||
		strings.ContainsAny(name, `/\`) || strings.ContainsFunc(name, unicode.IsControl)
	if bad {
		return fmt.Errorf("%w: %q is not a plain file name", ErrRefused, name)
	}
	return nil
}

// get reads a node that must be here.
func (b *Blobs) get(ctx context.Context, c cid.Cid) (ipld.Node, error) {
	node, err := b.dag.Get(ctx, c)
	if ipld.IsNotFound(err) {
		return nil, fmt.Errorf("%w: %s", ErrNotFound, c)
	}
	if err != nil {
		return nil, fmt.Errorf("blobs: read %s: %w", c, err)
	}
	return node, nil
}

// kind tells a file, with its size, from a directory, and refuses the rest.
func kind(node ipld.Node) (isDir bool, size int64, err error) {
	switch n := node.(type) {
	case *merkledag.RawNode:
		return false, int64(len(n.RawData())), nil
	case *merkledag.ProtoNode:
		fsNode, err := unixfs.FSNodeFromBytes(n.Data())
		if err != nil {
			return false, 0, fmt.Errorf("%w: %s is not UnixFS: %w", ErrRefused, node.Cid(), err)
		}
		switch fsNode.Type() {
		case unixfs.TFile, unixfs.TRaw:
			return false, int64(fsNode.FileSize()), nil
		case unixfs.TDirectory, unixfs.THAMTShard:
			return true, 0, nil
		}
		return false, 0, fmt.Errorf("%w: %s is neither a file nor a directory (UnixFS type %s)", ErrRefused, node.Cid(), fsNode.Type())
	}
	return false, 0, fmt.Errorf("%w: %s is neither a file nor a directory", ErrRefused, node.Cid())
}

// unfold visits what a DAG unfolds to, by path, directories before what is in them.
type unfold struct {
	b       *Blobs
	entries int // how many may still come
	dir     func(name string) error
	file    func(name string, node ipld.Node, size int64) error
}

func (u *unfold) run(ctx context.Context, c cid.Cid, name string, depth int) error {
	if depth > maxDepth {
		return fmt.Errorf("%w: %s is more than %d directories deep", ErrLimit, name, maxDepth)
	}
	node, err := u.b.get(ctx, c)
	if err != nil {
		return err
	}
	isDir, size, err := kind(node)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if !isDir {
		return u.file(name, node, size)
	}
	if err := u.dir(name); err != nil {
		return err
	}
	links, err := u.links(ctx, node)
	if err != nil {
		return err
	}
	for i, l := range links {
		if err := checkName(l.Name); err != nil {
			return err
		}
		if i > 0 && links[i-1].Name == l.Name {
			return fmt.Errorf("%w: %s has two entries %q", ErrRefused, c, l.Name)
		}
		if err := u.run(ctx, l.Cid, path.Join(name, l.Name), depth+1); err != nil {
			return err
		}
	}
	return nil
}

// links lists a directory by name, within the limit.
func (u *unfold) links(ctx context.Context, node ipld.Node) ([]*ipld.Link, error) {
	dir, err := uio.NewDirectoryFromNode(u.b.dag, node)
	if err != nil {
		return nil, fmt.Errorf("%w: directory %s: %w", ErrRefused, node.Cid(), err)
	}
	var links []*ipld.Link
	err = dir.ForEachLink(ctx, func(l *ipld.Link) error {
		if u.entries--; u.entries < 0 {
			return fmt.Errorf("%w: too many files and directories", ErrLimit)
		}
		links = append(links, l)
		return nil
	})
	if ipld.IsNotFound(err) {
		err = fmt.Errorf("%w: part of directory %s", ErrNotFound, node.Cid())
	}
	slices.SortFunc(links, func(a, b *ipld.Link) int { return cmp.Compare(a.Name, b.Name) })
	return links, err
}

// List returns the files below c, sorted by path. c must be here; only nodes are
// read, not the bytes of files.
func (b *Blobs) List(ctx context.Context, c cid.Cid) ([]Entry, error) {
	var out []Entry
	u := &unfold{b: b, entries: b.cfg.MaxEntries,
		dir: func(string) error { return nil },
		file: func(name string, node ipld.Node, size int64) error {
			out = append(out, Entry{Path: name, Size: size, CID: node.Cid()})
			return nil
		}}
	if err := u.run(ctx, c, "", 0); err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Entry) int { return cmp.Compare(a.Path, b.Path) })
	return out, nil
}

// Open opens the file at path in c ("" is c itself), from what is here, and
// returns its size. Reading fails once ctx has ended. Close it.
func (b *Blobs) Open(ctx context.Context, c cid.Cid, path string) (io.ReadSeekCloser, int64, error) {
	node, err := b.get(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	for name := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		if name == "" {
			continue
		}
		if node, err = b.step(ctx, node, name); err != nil {
			return nil, 0, fmt.Errorf("%s in %s: %w", path, c, err)
		}
	}
	isDir, _, err := kind(node)
	if err != nil {
		return nil, 0, err
	}
	if isDir {
		return nil, 0, fmt.Errorf("%w: %s in %s is a directory: name a file in it", ErrRefused, path, c)
	}
	r, err := uio.NewDagReader(ctx, node, b.dag)
	if err != nil {
		return nil, 0, fmt.Errorf("blobs: open %s: %w", c, err)
	}
	return r, int64(r.Size()), nil
}

// step goes from a directory to one of its entries.
func (b *Blobs) step(ctx context.Context, node ipld.Node, name string) (ipld.Node, error) {
	if isDir, _, err := kind(node); err != nil || !isDir {
		return nil, errors.Join(ErrNotFound, err)
	}
	dir, err := uio.NewDirectoryFromNode(b.dag, node)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	next, err := dir.Find(ctx, name)
	if errors.Is(err, os.ErrNotExist) || ipld.IsNotFound(err) {
		return nil, ErrNotFound
	}
	return next, err
}

// Export writes c, a file or a directory that is here, to name in dst, making
// parent directories. name "." puts a directory's entries into dst itself.
// Nothing that exists is overwritten; after an error what was written so far
// stays. Limits are on what is written.
func (b *Blobs) Export(ctx context.Context, c cid.Cid, dst *os.Root, name string, limit FetchLimit) error {
	name = path.Clean(name)
	for part := range strings.SplitSeq(name, "/") {
		if err := checkName(part); err != nil && name != "." {
			return err
		}
	}
	if limit.Entries <= 0 {
		limit.Entries = b.cfg.MaxEntries
	}
	if parent := path.Dir(name); parent != "." {
		if err := dst.MkdirAll(parent, 0o755); err != nil {
			return fmt.Errorf("blobs: export: %w", err)
		}
	}
	left := limit.Bytes
	u := &unfold{b: b, entries: limit.Entries,
		dir: func(name string) error {
			if name == "." {
				return nil
			}
			if err := dst.Mkdir(name, 0o755); err != nil {
				return fmt.Errorf("blobs: export: %w", err)
			}
			return nil
		},
		file: func(name string, node ipld.Node, size int64) error {
			if limit.Bytes > 0 && (size < 0 || size > left) {
				return fmt.Errorf("%w: more than %d bytes", ErrLimit, limit.Bytes)
			}
			n, err := b.exportFile(ctx, node, dst, name, size)
			left -= n
			return err
		}}
	return u.run(ctx, c, name, 0)
}

// exportFile writes a file, and not a byte more than its size.
func (b *Blobs) exportFile(ctx context.Context, node ipld.Node, dst *os.Root, name string, size int64) (n int64, err error) {
	r, err := uio.NewDagReader(ctx, node, b.dag)
	if err != nil {
		return 0, fmt.Errorf("blobs: export %s: %w", name, err)
	}
	defer r.Close() // read only
	f, err := dst.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if err != nil {
		return 0, fmt.Errorf("blobs: export: %w", err)
	}
	n, err = io.Copy(f, io.LimitReader(r, size+1))
	if err == nil && n != size {
		err = fmt.Errorf("%w: %s is not as long as it says (%d bytes)", ErrRefused, name, size)
	}
	if ipld.IsNotFound(err) {
		err = fmt.Errorf("%w: part of %s", ErrNotFound, name)
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return n, fmt.Errorf("blobs: export %s: %w", name, err)
	}
	return n, nil
}
