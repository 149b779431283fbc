package node

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/node/store"
)

// errOutdated says that a peer runs on an older copy of its data directory.
var errOutdated = errors.New("outdated")

// ages remembers how far the data directories of other nodes had come, over
// restarts of this one, so that an older copy is not taken for the node that it
// was copied from. It is used from any goroutine.
type ages struct {
	mu    sync.Mutex
	store *store.Store
	of    map[string]store.Age
}

func newAges(st *store.Store) (*ages, error) {
	of, err := st.PeerAges()
	return &ages{store: st, of: of}, err
}

// judge compares a peer's age with what was heard before, and remembers it. It
// says whether the peer has restarted since.
func (a *ages) judge(p peer.ID, m *meshpb.DirectoryAge) (restarted bool, err error) {
	now := store.Age{Root: m.GetRoot(), Starts: m.GetStarts(), Run: m.GetRun()}
	if now.Root == 0 {
		return false, nil // it does not say
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	was, known := a.of[p.String()]
	switch {
	case known && was.Outdates(now):
		return false, fmt.Errorf("%w: it has seen start %d, and start %d of the same directory was seen here", errOutdated, now.Starts, was.Starts)
	case was == now || !known && len(a.of) >= maxNodes:
		return false, nil
	}
	a.of[p.String()] = now
	return known, a.store.KeepPeerAge(p.String(), now, len(a.of))
}

func (n *Node) age() *meshpb.DirectoryAge {
	a := n.store.Age()
	return &meshpb.DirectoryAge{Root: a.Root, Starts: a.Starts, Run: a.Run}
}

// heedRefusal acts on another node's refusal of this one's hello. Being told that
// this directory is an older copy ends the node for good; coordinators of a
// closed network, and the founder of an open one, are trusted not to lie about
// that.
func (n *Node) heedRefusal(ctx context.Context, p peer.ID, h *meshpb.Hello, purpose string) {
	trusted := p.String() == n.net.gen.Founder || n.net.secret != "" && slices.Contains(h.Roles, roleCoordinator)
	if !h.Outdated || !trusted || !hmac.Equal(h.Proof, proof(n.net.secret, purpose, p.String(), n.self)) {
		return
	}
	// A stopped engine can do no harm.
	_ = n.engine.push(ctx, input{do: func(e *engine) {
		if e.failed == nil {
			e.failed = e.store.Condemn(fmt.Sprintf("node %s remembers a later start of it", short(p.String())))
		}
	}})
}
