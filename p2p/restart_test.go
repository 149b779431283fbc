package p2p_test

import (
	"crypto/rand"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
)

// TestRestartIsHeard ends a host of many topics and starts it again at once, as
// a service manager does, several times: cleanly, by a crash that leaves the others
// with connections to nobody, and by one so soon after the last that only who is
// told can tell these from new ones. Whatever is said in any topic, by it and to
// it, arrives.
func TestRestartIsHeard(t *testing.T) {
	crash := func(net *p2ptest.Net, h *p2p.Host) {
		net.Cut(h)
		net.Stop(h)
	}
	t.Run("stopped", func(t *testing.T) { testRestart(t, 0, func(net *p2ptest.Net, h *p2p.Host) { net.Stop(h) }) })
	t.Run("crashed", func(t *testing.T) { testRestart(t, 0, crash) })
	t.Run("crashed twice", func(t *testing.T) { testRestart(t, 1, crash) })
	t.Run("crashed often", func(t *testing.T) { testRestart(t, 5, crash) })
}

// testRestart ends a host several times; between two lives that are looked at,
// there are some short ones.
func testRestart(t *testing.T, short int, end func(*p2ptest.Net, *p2p.Host)) {
	synctest.Test(t, func(t *testing.T) {
		const others, subjects = 3, 34 // as many as a voter of 16 shards follows
		net := p2ptest.New(t, 10*time.Millisecond)
		defer net.Close()
		var hosts []*p2p.Host
		topics, boxes := map[*p2p.Host][]*p2p.Topic{}, map[*p2p.Host]*inbox{}
		start := func(key crypto.PrivKey) *p2p.Host {
			h := net.HostWithKey(key, func(c *p2p.Config) {
				if len(hosts) > 0 {
					c.Bootstrap = []peer.AddrInfo{p2ptest.Info(hosts[0])}
				}
			})
			boxes[h] = &inbox{}
			for i := range subjects {
				topic, err := h.Topic(fmt.Sprint("t", i), nil)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := topic.Subscribe(boxes[h].put); err != nil {
					t.Fatal(err)
				}
				topics[h] = append(topics[h], topic)
			}
			net.Run(h)
			return h
		}
		newKey := func() crypto.PrivKey {
			key, _, err := crypto.GenerateEd25519Key(rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			return key
		}
		for range others {
			hosts = append(hosts, start(newKey()))
		}
		key := newKey()
		live := func(d time.Duration) *p2p.Host {
			h := start(key)
			within(t, 30*time.Second, func() bool { return all([]*p2p.Host{h}, others) })
			time.Sleep(d) // a hello may take its time
			for _, other := range hosts {
				other.Restarted(h.ID())
			}
			return h
		}
		for life := range 3 {
			h := live(1500 * time.Millisecond)
			time.Sleep(4 * time.Second) // its meshes form
			for i := range subjects {
				for from, who := range []*p2p.Host{hosts[0], h} {
					if err := topics[who][i].Publish(t.Context(), fmt.Appendf(nil, "%d %d %d", life, i, from)); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(time.Second)
			synctest.Wait()
			for _, other := range hosts {
				if n := len(topics[other][0].Peers()); n != others {
					t.Errorf("life %d: %s knows %d subscribers, not %d", life, other.ID(), n, others)
				}
			}
			for i := range subjects {
				if text := fmt.Sprintf("%d %d 0", life, i); !boxes[h].has(text) {
					t.Errorf("life %d: in topic %d the host that came back is deaf", life, i)
				}
				if text := fmt.Sprintf("%d %d 1", life, i); !boxes[hosts[1]].has(text) || !boxes[hosts[2]].has(text) {
					t.Errorf("life %d: in topic %d the host that came back is not heard", life, i)
				}
			}
			end(net, h)
			for range short {
				end(net, live(500*time.Millisecond))
			}
		}
	})
}
