package node

import (
	"errors"
	"testing"

	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/node/store"
)

// TestAges tells an older copy of a directory from a node that restarted, from
// one that was made anew under the same key, and from one that does not say,
// also after a restart of the node that judges.
func TestAges(t *testing.T) {
	dir := t.TempDir()
	var st *store.Store
	var a *ages
	reopen := func() {
		t.Helper()
		if st != nil {
			if err := st.Close(); err != nil {
				t.Fatal(err)
			}
		}
		var err error
		if st, err = store.Open(dir, store.Options{}); err != nil {
			t.Fatal(err)
		}
		if a, err = newAges(st); err != nil {
			t.Fatal(err)
		}
	}
	reopen()
	defer func() {
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	}()
	const p = peer.ID("somebody")
	for _, c := range []struct {
		what                string
		root, starts, run   uint64
		restarted, outdated bool
	}{
		{"first seen", 7, 3, 30, false, false},
		{"connected again", 7, 3, 30, false, false},
		{"restarted", 7, 4, 40, true, false},
		{"an older copy", 7, 3, 31, false, true},
		{"a copy made since, at once", 7, 4, 41, false, true},
		{"the node itself", 7, 4, 40, false, false},
		{"made anew", 8, 1, 50, true, false},
		{"an older copy of that", 8, 1, 51, false, true},
		{"does not say", 0, 0, 0, false, false},
	} {
		for range 2 { // before and after a restart of this node
			restarted, err := a.judge(p, &meshpb.DirectoryAge{Root: c.root, Starts: c.starts, Run: c.run})
			if errors.Is(err, errOutdated) != c.outdated || err != nil && !c.outdated {
				t.Errorf("%s: %v", c.what, err)
			}
			if restarted != c.restarted {
				t.Errorf("%s: restarted %t", c.what, restarted)
			}
			c.restarted = false // it is known by now
			reopen()
		}
	}
}
