package blobs

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	chunk "github.com/ipfs/boxo/chunker"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	"github.com/ipfs/boxo/ipld/unixfs/importer/balanced"
	"github.com/ipfs/boxo/ipld/unixfs/importer/helpers"
	"github.com/ipfs/go-cid"
	ipld "github.com/ipfs/go-ipld-format"
	mh "github.com/multiformats/go-multihash"
)

// The shape of what we add; changing any of it changes every CID.
const (
	chunkSize = 256 << 10
	maxLinks  = 174
	// maxDirBlock bounds the block of one directory; beyond, other peers would
	// not take it.
	maxDirBlock = 1 << 20
	maxDepth    = 64
)

func builder() cid.Builder {
	return cid.V1Builder{Codec: cid.DagProtobuf, MhType: mh.SHA2_256, MhLength: -1}
}

// ctxReader counts, and ends with its context.
type ctxReader struct {
	ctx context.Context
	r   io.Reader
	n   int64
}

// Read reads from the reader below.
func (c *ctxReader) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// Add stores what r yields as a file and returns its CID and length. Errors of r
// come back as they are. What a failed Add left behind is collected later.
func (b *Blobs) Add(ctx context.Context, r io.Reader) (cid.Cid, int64, error) {
	defer b.begin()()
	node, n, err := b.addFile(ctx, r)
	if err != nil {
		return cid.Undef, n, err
	}
	return node.Cid(), n, b.conclude(ctx, node.Cid())
}

func (b *Blobs) addFile(ctx context.Context, r io.Reader) (ipld.Node, int64, error) {
	in := &ctxReader{ctx: ctx, r: r}
	out := ipld.NewBufferedDAG(ctx, b.dag)
	params := helpers.DagBuilderParams{Maxlinks: maxLinks, RawLeaves: true, CidBuilder: builder(), Dagserv: out}
	build, err := params.New(chunk.NewSizeSplitter(in, chunkSize))
	if err != nil {
		return nil, 0, fmt.Errorf("blobs: add: %w", err)
	}
	node, err := balanced.Layout(build)
	if err == nil {
		err = out.Commit()
	}
	if err != nil {
		return nil, in.n, fmt.Errorf("blobs: add: %w", err)
	}
	return node, in.n, nil
}

// AddDir stores the directory behind root with all below, and returns its CID
// and the bytes of all files. Symbolic links and special files are refused by
// name (ErrRefused), too many entries are ErrLimit. The same tree always has the
// same CID: times, owners and modes are not stored.
func (b *Blobs) AddDir(ctx context.Context, root *os.Root) (cid.Cid, int64, error) {
	defer b.begin()()
	t := &tree{b: b, fsys: root.FS(), root: root}
	node, err := t.dir(ctx, ".", 0)
	if err != nil {
		return cid.Undef, t.bytes, err
	}
	return node.Cid(), t.bytes, b.conclude(ctx, node.Cid())
}

// tree is a directory being added.
type tree struct {
	b       *Blobs
	fsys    fs.FS
	root    *os.Root
	entries int
	bytes   int64
}

func (t *tree) dir(ctx context.Context, name string, depth int) (ipld.Node, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("%w: %s is more than %d directories deep", ErrLimit, name, maxDepth)
	}
	entries, err := fs.ReadDir(t.fsys, name) // sorted
	if err != nil {
		return nil, fmt.Errorf("blobs: add: %w", err)
	}
	if t.entries += len(entries); t.entries > t.b.cfg.MaxEntries {
		return nil, fmt.Errorf("%w: more than %d files and directories", ErrLimit, t.b.cfg.MaxEntries)
	}
	node := merkledag.NodeWithData(unixfs.FolderPBData())
	if err := node.SetCidBuilder(builder()); err != nil {
		return nil, fmt.Errorf("blobs: add: %w", err)
	}
	for _, e := range entries {
		child, err := t.entry(ctx, path.Join(name, e.Name()), e, depth)
		if err != nil {
			return nil, err
		}
		if err := node.AddNodeLink(e.Name(), child); err != nil {
			return nil, fmt.Errorf("blobs: add %s: %w", name, err)
		}
	}
	raw, err := node.EncodeProtobuf(false)
	if err != nil {
		return nil, fmt.Errorf("blobs: add %s: %w", name, err)
	}
	if len(raw) > maxDirBlock {
		return nil, fmt.Errorf("%w: directory %s has too many entries (%d): spread them over subdirectories", ErrLimit, name, len(entries))
	}
	if err := t.b.dag.Add(ctx, node); err != nil {
		return nil, fmt.Errorf("blobs: add %s: %w", name, err)
	}
	return node, nil
}

func (t *tree) entry(ctx context.Context, name string, e fs.DirEntry, depth int) (ipld.Node, error) {
	if err := checkName(e.Name()); err != nil {
		return nil, err
	}
	switch {
	case e.IsDir():
		return t.dir(ctx, name, depth+1)
	case e.Type() != 0:
		return nil, fmt.Errorf("%w: %s is neither a file nor a directory (%s)", ErrRefused, name, e.Type())
	}
	f, err := openPlain(t.root, name)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read only: nothing to lose
	node, n, err := t.b.addFile(ctx, f)
	t.bytes += n
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return node, nil
}
