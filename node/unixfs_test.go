package node_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ipfs/boxo/blockstore"
	"github.com/ipfs/boxo/ipld/merkledag"
	"github.com/ipfs/boxo/ipld/unixfs"
	blocks "github.com/ipfs/go-block-format"
	"github.com/ipfs/go-cid"
	ds "github.com/ipfs/go-datastore"
	"github.com/ipfs/go-datastore/namespace"
	ipld "github.com/ipfs/go-ipld-format"

	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/nodetest"
	"github.com/ciro-network/ciro/node/store"
)

// folder is a UnixFS directory with one entry, of any name.
func folder(t *testing.T, name string, child ipld.Node) ipld.Node {
	t.Helper()
	d := merkledag.NodeWithData(unixfs.FolderPBData())
	if err := errors.Join(d.SetCidBuilder(cid.V1Builder{Codec: cid.DagProtobuf, MhType: 0x12}), d.AddNodeLink(name, child)); err != nil {
		t.Fatal(err)
	}
	return d
}

// plant puts blocks into a data directory, as if another member had sent them.
func plant(t *testing.T, dir string, nodes ...ipld.Node) {
	t.Helper()
	s, err := store.Open(dir, store.Options{})
	if err != nil {
		t.Fatal(err)
	}
	bs := blockstore.NewBlockstore(namespace.Wrap(s.Blobs(), ds.NewKey("blobs")))
	for _, n := range nodes {
		if err := bs.Put(t.Context(), blocks.Block(n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
}

// daemon runs a node with real sockets on loopback and returns its client.
func daemon(t *testing.T, dir string, ran *[]string) *client.Client {
	t.Helper()
	cfg := config.Default("test")
	cfg.DataDir, cfg.API.Listen, cfg.Network.Listen, cfg.Network.MDNS = dir, []string{"127.0.0.1:0"}, []string{"/ip4/127.0.0.1/tcp/0"}, false
	cfg.Worker.CPUs, cfg.Worker.Memory, cfg.Worker.Disk, cfg.Worker.Slots = 2, 1<<30, 1<<30, 2
	n, err := node.NewWith(t.Context(), cfg, node.Parts{Executor: &nodetest.Executor{Script: func(ctx context.Context, task executor.Task) executor.Outcome {
		*ran = append(*ran, task.Out)
		return nodetest.Work(ctx, task, time.Millisecond)
	}}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	addr, err := os.ReadFile(filepath.Join(dir, "api.addr"))
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New("http://"+strings.TrimSpace(string(addr)), "")
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestHostileContentThroughTheAPI asks a real daemon for content with symbolic
// links and with names that lead out of their directory, by every way in which
// the API opens content and as a job's input: it is refused by name, no task ever
// sees it, and nothing is the node's own fault.
func TestHostileContentThroughTheAPI(t *testing.T) {
	dir := t.TempDir()
	target, err := unixfs.SymlinkData("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	link, file := merkledag.NodeWithData(target), merkledag.NewRawNode([]byte("content"))
	good := folder(t, "file", file)
	linked, escaping, slash := folder(t, "link", link), folder(t, "..", file), folder(t, "a/b", file)
	deep := folder(t, "sub", escaping)
	plant(t, dir, link, file, good, linked, escaping, slash, deep, folder(t, "sub", linked))
	var ran []string
	c := daemon(t, dir, &ran)
	refused := func(what string, err error, words ...string) {
		t.Helper()
		var r *api.Refusal
		if !errors.As(err, &r) || r.Code == api.CodeInternal || r.Next == "" {
			t.Errorf("%s: %v", what, err)
			return
		}
		for _, w := range words {
			if !strings.Contains(r.Message, w) {
				t.Errorf("%s: %q does not say %q", what, r.Message, w)
			}
		}
		t.Logf("%s: %s (%s): %s", what, r.Code, r.Message, r.Next)
	}
	opened := func(of ipld.Node, file string) error {
		r, _, err := c.Open(t.Context(), of.Cid().String(), file)
		if err != nil {
			return err
		}
		defer r.Close()
		text, err := io.ReadAll(r)
		t.Errorf("%s in %v gives %q, %v", file, of.Cid(), text, err)
		return nil
	}
	for name, bad := range map[string]struct {
		node ipld.Node
		file string
		word string
	}{
		"a link in a directory":    {linked, "link", "ymlink"},
		"a link alone":             {link, "", "ymlink"},
		"a name that leads out":    {escaping, "..", `".."`},
		"a name with a slash":      {slash, "a/b", `"a/b"`},
		"one that leads out, deep": {deep, "sub/..", `".."`},
	} {
		_, err := c.Files(t.Context(), bad.node.Cid().String())
		refused("list "+name, err, bad.word)
		refused("open "+name, opened(bad.node, bad.file))
		spec := `{"module":"MODULE","inputs":[{"name":"in","cid":"` + bad.node.Cid().String() + `"}]}`
		m, err := c.Upload(t.Context(), strings.NewReader("\x00asm\x01\x00\x00\x00"), 8)
		if err != nil {
			t.Fatal(err)
		}
		acc, err := c.Submit(t.Context(), api.Submission{Spec: []byte(strings.Replace(spec, "MODULE", m.CID, 1))})
		if err == nil {
			t.Errorf("a job with %s as its input is taken: %+v", name, acc)
			continue
		}
		refused("submit with "+name, err, bad.word)
	}
	for _, file := range []string{"../file", "..%2ffile", "%2e%2e/%2e%2e/identity.key", "/../../identity.key"} {
		refused("open "+file, opened(good, file))
	}
	if r, size, err := c.Open(t.Context(), good.Cid().String(), "file"); err != nil || size != 7 {
		t.Errorf("good content: %d, %v", size, err)
	} else {
		r.Close()
	}
	for _, name := range []string{"../in", "/in", "a/../../in", ".."} {
		_, err := c.Submit(t.Context(), api.Submission{Spec: []byte(`{"module":"` + file.Cid().String() + `","inputs":[{"name":"` + name + `","cid":"` + file.Cid().String() + `"}]}`)})
		refused("an input called "+name, err, "inputs: ", strconv.Quote(name))
	}
	if len(ran) > 0 {
		t.Errorf("tasks ran in %v", ran)
	}
}
