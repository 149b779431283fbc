package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	dssync "github.com/ipfs/go-datastore/sync"
	ipld "github.com/ipfs/go-ipld-format"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func memory() ds.Batching { return dssync.MutexWrap(ds.NewMapDatastore()) }

// noise is n bytes that no two seeds share.
func noise(seed uint64, n int) []byte {
	var key [32]byte
	key[0], key[1] = byte(seed), byte(seed>>8)
	out := make([]byte, n)
	rand.NewChaCha8(key).Read(out)
	return out
}

// local opens a store without a network.
func local(t testing.TB, data ds.Batching, cfg blobs.BlobsConfig) *blobs.Blobs {
	t.Helper()
	b, err := blobs.NewBlobs(nil, data, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func add(t testing.TB, b *blobs.Blobs, content []byte) cid.Cid {
	t.Helper()
	c, n, err := b.Add(t.Context(), bytes.NewReader(content))
	if err != nil || n != int64(len(content)) {
		t.Fatalf("added %d of %d bytes: %v", n, len(content), err)
	}
	return c
}

func read(t testing.TB, b *blobs.Blobs, c cid.Cid, path string) []byte {
	t.Helper()
	r, size, err := b.Open(t.Context(), c, path)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	out, err := io.ReadAll(r)
	if err != nil || int64(len(out)) != size {
		t.Fatalf("read %d of %d bytes: %v", len(out), size, err)
	}
	return out
}

// root makes a directory with the given files; a name that ends in / is a
// directory.
func root(t testing.TB, files map[string]string) *os.Root {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		full := filepath.Join(dir, name)
		if strings.HasSuffix(name, "/") {
			if err := os.MkdirAll(full, 0o755); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	r, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r
}

// TestCIDsAreThoseOfIPFS compares with what `ipfs add --cid-version=1` prints.
func TestCIDsAreThoseOfIPFS(t *testing.T) {
	b := local(t, memory(), blobs.BlobsConfig{})
	for content, want := range map[string]string{
		"":            "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
		"hello world": "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e",
	} {
		if got := add(t, b, []byte(content)); got.String() != want {
			t.Errorf("%q: %s, want %s", content, got, want)
		}
	}
	empty, _, err := b.AddDir(t.Context(), root(t, nil))
	if want := "bafybeiczsscdsbs7ffqz55asqdf3smv6klcw3gofszvwlyarci47bgf354"; err != nil || empty.String() != want {
		t.Errorf("empty directory: %s, want %s (%v)", empty, want, err)
	}
}

func TestDirectoryRoundTrip(t *testing.T) {
	b := local(t, memory(), blobs.BlobsConfig{})
	files := map[string]string{"a.txt": "alpha", "sub/b.bin": string(noise(1, 700_000)), "sub/deep/c": "", "empty/": ""}
	c, n, err := b.AddDir(t.Context(), root(t, files))
	if err != nil || n != 700_005 {
		t.Fatalf("added %d bytes: %v", n, err)
	}
	again, _, err := b.AddDir(t.Context(), root(t, files))
	if err != nil || again != c {
		t.Errorf("the same tree became %s, then %s (%v)", c, again, err)
	}
	list, err := b.List(t.Context(), c)
	if err != nil || len(list) != 3 || list[0].Path != "a.txt" || list[1].Path != "sub/b.bin" || list[1].Size != 700_000 || list[2].Path != "sub/deep/c" {
		t.Errorf("list %v, %v", list, err)
	}
	if got := read(t, b, c, "sub/b.bin"); string(got) != files["sub/b.bin"] {
		t.Error("sub/b.bin differs")
	}
	for _, path := range []string{"nothing", "a.txt/below", "sub/nothing"} {
		if _, _, err := b.Open(t.Context(), c, path); !errors.Is(err, blobs.ErrNotFound) {
			t.Errorf("open %s: %v", path, err)
		}
	}
	dst := root(t, nil)
	if err := b.Export(t.Context(), c, dst, "out/here", blobs.FetchLimit{}); err != nil {
		t.Fatal(err)
	}
	back, err := dst.OpenRoot("out/here")
	if err != nil {
		t.Fatal(err)
	}
	defer back.Close()
	if same, _, err := b.AddDir(t.Context(), back); err != nil || same != c {
		t.Errorf("what was exported is %s, not %s (%v)", same, c, err)
	}
	if err := b.Export(t.Context(), c, dst, "out/here", blobs.FetchLimit{}); !errors.Is(err, os.ErrExist) {
		t.Errorf("export over what exists: %v", err)
	}
	if err := b.Export(t.Context(), c, dst, "small", blobs.FetchLimit{Bytes: 1000}); !errors.Is(err, blobs.ErrLimit) {
		t.Errorf("export above the limit: %v", err)
	}
	for _, name := range []string{"../x", "/x", "a/../../x", `a\b`, "a\x00b"} {
		if err := b.Export(t.Context(), c, dst, name, blobs.FetchLimit{}); err == nil {
			t.Errorf("exported to %q", name)
		}
	}
}

func TestSpecialFilesAreRefused(t *testing.T) {
	b := local(t, memory(), blobs.BlobsConfig{MaxEntries: 10})
	linked := root(t, map[string]string{"in/a": "x"})
	if err := linked.Symlink("a", "in/link"); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.AddDir(t.Context(), linked); !errors.Is(err, blobs.ErrRefused) || !strings.Contains(err.Error(), "in/link") {
		t.Errorf("symbolic link: %v", err)
	}
	piped := root(t, nil)
	if err := syscall.Mkfifo(filepath.Join(piped.Name(), "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := b.AddDir(t.Context(), piped); !errors.Is(err, blobs.ErrRefused) || !strings.Contains(err.Error(), "pipe") {
		t.Errorf("pipe: %v", err)
	}
	many := map[string]string{}
	for i := range 11 {
		many[fmt.Sprint(i)] = "x"
	}
	if _, _, err := b.AddDir(t.Context(), root(t, many)); !errors.Is(err, blobs.ErrLimit) {
		t.Errorf("too many entries: %v", err)
	}
}

// hostile puts nodes of our own making into data, as another peer might send them.
func hostile(t *testing.T, data ds.Batching, nodes ...ipld.Node) {
	t.Helper()
	bs := blockstore.NewBlockstore(namespace.Wrap(data, ds.NewKey("blobs")))
	for _, n := range nodes {
		if err := bs.Put(t.Context(), blocks.Block(n)); err != nil {
			t.Fatal(err)
		}
	}
}

func dirOf(t *testing.T, name string, children ...ipld.Node) *merkledag.ProtoNode {
	t.Helper()
	d := merkledag.NodeWithData(unixfs.FolderPBData())
	if err := d.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12}); err != nil {
		t.Fatal(err)
	}
	for i, c := range children {
		n := name
		if len(children) > 1 && i > 0 {
			n = fmt.Sprintf("%s%d", name, i)
		}
		if err := d.AddNodeLink(n, c); err != nil {
			t.Fatal(err)
		}
	}
	return d
}

func TestHostileContentIsRefused(t *testing.T) {
	data := memory()
	b := local(t, data, blobs.BlobsConfig{MaxEntries: 1000})
	target, err := unixfs.SymlinkData("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	link, file := merkledag.NodeWithData(target), merkledag.NewRawNode([]byte("x"))
	hostile(t, data, link, file)
	cases := map[string]ipld.Node{"symlink": dirOf(t, "l", link)}
	for _, name := range []string{"..", "a/b", "/etc", `a\b`, "a\nb", ".", ""} {
		cases[fmt.Sprintf("name %q", name)] = dirOf(t, name, file)
	}
	bomb := ipld.Node(file) // 8^10 files in eleven blocks
	for range 10 {
		bomb = dirOf(t, "d", bomb, bomb, bomb, bomb, bomb, bomb, bomb, bomb)
		hostile(t, data, bomb)
	}
	cases["bomb"] = bomb
	deep := ipld.Node(file)
	for range 100 {
		deep = dirOf(t, "d", deep)
		hostile(t, data, deep)
	}
	cases["deep"] = deep
	for name, node := range cases {
		hostile(t, data, node)
		dst := root(t, nil)
		for what, err := range map[string]error{
			"export": b.Export(t.Context(), node.Cid(), dst, "out", blobs.FetchLimit{}),
			"list":   second(b.List(t.Context(), node.Cid())),
		} {
			if !errors.Is(err, blobs.ErrRefused) && !errors.Is(err, blobs.ErrLimit) {
				t.Errorf("%s of %s: %v", what, name, err)
			}
		}
	}
}

func second(_ []blobs.Entry, err error) error { return err }

func TestQuota(t *testing.T) {
	data := memory()
	b := local(t, data, blobs.BlobsConfig{Quota: 1 << 20})
	c := add(t, b, noise(1, 600_000))
	if _, _, err := b.Add(t.Context(), bytes.NewReader(noise(2, 600_000))); !errors.Is(err, blobs.ErrFull) {
		t.Errorf("second file: %v", err)
	}
	if again := add(t, b, noise(1, 600_000)); again != c {
		t.Error("what is here already must still be accepted")
	}
	bytes1, blocks1 := b.Usage(t.Context())
	reopened := local(t, data, blobs.BlobsConfig{})
	if n, k := reopened.Usage(t.Context()); n != bytes1 || k != blocks1 || n < 600_000 || n > 1<<20 {
		t.Errorf("usage %d in %d, after opening again %d in %d", bytes1, blocks1, n, k)
	}
}

func TestCollectKeepsPinned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := local(t, memory(), blobs.BlobsConfig{Grace: time.Hour})
		ctx := t.Context()
		pinned, loose := add(t, b, noise(1, 1<<20)), add(t, b, noise(2, 1<<20))
		if err := errors.Join(b.Pin(ctx, "job/1", pinned), b.Pin(ctx, "job/2", loose)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(30 * time.Minute)
		if err := b.Unpin(ctx, "job/2"); err != nil {
			t.Fatal(err)
		}
		if freed, err := b.Collect(ctx); err != nil || freed != 0 {
			t.Errorf("within the grace time: %d freed, %v", freed, err)
		}
		time.Sleep(time.Hour)
		young := add(t, b, noise(3, 1<<20))
		time.Sleep(time.Minute)
		slow, feed := io.Pipe() // an Add that takes longer than the grace time
		done := make(chan cid.Cid)
		go func() { c, _, err := b.Add(ctx, slow); done <- c; _ = err }()
		if _, err := feed.Write(noise(4, 1<<20)); err != nil {
			t.Fatal(err)
		}
		freed, err := b.Collect(ctx)
		if err != nil || freed < 1<<20 || freed > 1<<20+1000 {
			t.Errorf("%d bytes freed, %v", freed, err)
		}
		time.Sleep(50 * time.Minute)
		if _, err := feed.Write(noise(5, 1<<20)); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50 * time.Minute)
		if _, err := b.Collect(ctx); err != nil {
			t.Error(err)
		}
		feed.Close()
		late := <-done
		for c, want := range map[cid.Cid]bool{pinned: true, loose: false, young: false, late: true} {
			if has, err := b.Has(ctx, c); err != nil || has != want {
				t.Errorf("%s here: %v, want %v (%v)", c, has, want, err)
			}
		}
		owners, err := b.Owners(ctx)
		if err != nil || len(owners) != 1 || len(owners["job/1"]) != 1 || owners["job/1"][0] != pinned {
			t.Errorf("owners %v, %v", owners, err)
		}
		if got := read(t, b, pinned, ""); !bytes.Equal(got, noise(1, 1<<20)) {
			t.Error("pinned content differs")
		}
	})
}

func TestRunCollects(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := local(t, memory(), blobs.BlobsConfig{Grace: time.Minute, CollectEvery: time.Minute})
		c := add(t, b, noise(1, 100))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- b.Run(ctx) }()
		time.Sleep(3*time.Minute + time.Second)
		if has, err := b.Has(ctx, c); err != nil || has {
			t.Errorf("still here: %v, %v", has, err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}
