package blobs_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	pebbleds "github.com/ipfs/go-ds-pebble"
	"github.com/libp2p/go-libp2p/core/peer"
)

// node is a simulated host with a store.
func node(t *testing.T, net *p2ptest.Net, boot *p2p.Host, cfg blobs.BlobsConfig) (*p2p.Host, *blobs.Blobs) {
	t.Helper()
	h := net.Host(func(c *p2p.Config) {
		if boot != nil {
			c.Bootstrap = []peer.AddrInfo{p2ptest.Info(boot)}
		}
	})
	b, err := blobs.NewBlobs(h, memory(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	net.Run(h)
	return h, b
}

func TestFetchWithADeadHolder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		a, atA := node(t, net, nil, blobs.BlobsConfig{})
		b, atB := node(t, net, a, blobs.BlobsConfig{})
		_, atC := node(t, net, a, blobs.BlobsConfig{})
		content := noise(1, 2<<20)
		c := add(t, atA, content)
		if add(t, atB, content) != c {
			t.Fatal("CIDs differ")
		}
		time.Sleep(5 * time.Second)
		net.Cut(b) // dies without a word
		begin := time.Now()
		n, err := atC.Fetch(t.Context(), c, []peer.ID{b.ID(), a.ID()}, blobs.FetchLimit{Bytes: 3 << 20})
		if err != nil || n < 2<<20 {
			t.Fatalf("fetched %d bytes: %v", n, err)
		}
		t.Logf("fetched in %s (virtual)", time.Since(begin))
		if got := read(t, atC, c, ""); !bytes.Equal(got, content) {
			t.Error("content differs")
		}
		net.Cut(a)
		if n, err := atC.Fetch(t.Context(), c, []peer.ID{b.ID()}, blobs.FetchLimit{}); err != nil || n < 2<<20 {
			t.Errorf("what is here already: %d bytes, %v", n, err)
		}
		for _, x := range []*blobs.Blobs{atA, atB, atC} {
			if err := x.Close(); err != nil {
				t.Error(err)
			}
		}
		net.Close()
	})
}

func TestFetchEndsWithItsReason(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		a, atA := node(t, net, nil, blobs.BlobsConfig{})
		_, atB := node(t, net, a, blobs.BlobsConfig{Quota: 1 << 20})
		big, lost := add(t, atA, noise(1, 2<<20)), add(t, local(t, memory(), blobs.BlobsConfig{}), noise(9, 1000))
		many, _, err := atA.AddDir(t.Context(), root(t, map[string]string{"a": "1", "b": "2", "c": "3"}))
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		from := []peer.ID{a.ID()}
		if _, err := atB.Fetch(t.Context(), big, from, blobs.FetchLimit{Bytes: 500_000}); !errors.Is(err, blobs.ErrLimit) {
			t.Errorf("above the limit of bytes: %v", err)
		}
		if _, err := atB.Fetch(t.Context(), many, from, blobs.FetchLimit{Entries: 2}); !errors.Is(err, blobs.ErrLimit) {
			t.Errorf("above the limit of entries: %v", err)
		}
		if _, err := atB.Fetch(t.Context(), big, from, blobs.FetchLimit{}); !errors.Is(err, blobs.ErrFull) {
			t.Errorf("above the quota: %v", err)
		}
		if _, err := atB.Fetch(t.Context(), lost, from, blobs.FetchLimit{}); !errors.Is(err, blobs.ErrUnavailable) {
			t.Errorf("nowhere to be had: %v", err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := atB.Fetch(ctx, lost, from, blobs.FetchLimit{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("end of the context: %v", err)
		}
		if err := errors.Join(atA.Close(), atB.Close()); err != nil {
			t.Error(err)
		}
		net.Close()
	})
}

// real makes a host on loopback with a store on disk, running until the test ends.
func real(t testing.TB, boot []peer.AddrInfo) (*p2p.Host, *blobs.Blobs) {
	t.Helper()
	dir := t.TempDir()
	key, err := p2p.LoadOrCreateIdentity(filepath.Join(dir, "identity"))
	if err != nil {
		t.Fatal(err)
	}
	data, err := pebbleds.NewDatastore(filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	h, err := p2p.New(p2p.Config{Key: key, Protocol: "/blobtest/1", Bootstrap: boot,
		Listen: []string{"/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1"}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := blobs.NewBlobs(h, data, blobs.BlobsConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := h.Listen(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- h.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := errors.Join(<-done, b.Close(), h.Close(), data.Close()); err != nil {
			t.Error(err)
		}
	})
	return h, b
}

func TestFiftyMiBOnRealSockets(t *testing.T) {
	a, atA := real(t, nil)
	_, atB := real(t, []peer.AddrInfo{p2ptest.Info(a)})
	content := noise(1, 50<<20)
	begin := time.Now()
	c := add(t, atA, content)
	t.Logf("added in %s", time.Since(begin))
	begin = time.Now()
	if _, err := atB.Fetch(t.Context(), c, []peer.ID{a.ID()}, blobs.FetchLimit{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("fetched in %s", time.Since(begin))
	begin = time.Now()
	if _, err := atB.Fetch(t.Context(), c, nil, blobs.FetchLimit{}); err != nil {
		t.Fatal(err)
	}
	t.Logf("found here in %s", time.Since(begin))
	if !bytes.Equal(read(t, atB, c, ""), content) {
		t.Error("content differs")
	}
}

func BenchmarkAdd(b *testing.B) {
	_, x := real(b, nil)
	content := noise(1, 16<<20)
	b.SetBytes(int64(len(content)))
	for i := 0; b.Loop(); i++ {
		content[i%len(content)]++ // the first chunk at least is new
		add(b, x, content)
	}
}

func BenchmarkFetch(b *testing.B) {
	h, from := real(b, nil)
	_, to := real(b, []peer.AddrInfo{p2ptest.Info(h)})
	const size = 16 << 20
	b.SetBytes(size)
	for i := uint64(0); b.Loop(); i++ {
		b.StopTimer()
		c := add(b, from, noise(i, size))
		b.StartTimer()
		if _, err := to.Fetch(b.Context(), c, []peer.ID{h.ID()}, blobs.FetchLimit{}); err != nil {
			b.Fatal(err)
		}
	}
}
