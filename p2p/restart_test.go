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

// TestRestartIsHeard stops a host of many topics and starts it again at once, as
// a service manager does, several times. Whatever is said in any topic, by it and
// to it, arrives.
func TestRestartIsHeard(t *testing.T) {
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
		for life := range 4 {
			h := start(key)
			within(t, 30*time.Second, func() bool { return all(append(hosts, h), others) })
			time.Sleep(15 * time.Second) // its meshes form
			for i := range subjects {
				for from, who := range []*p2p.Host{hosts[0], h} {
					if err := topics[who][i].Publish(t.Context(), fmt.Appendf(nil, "%d %d %d", life, i, from)); err != nil {
						t.Fatal(err)
					}
				}
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			for i := range subjects {
				if text := fmt.Sprintf("%d %d 0", life, i); !boxes[h].has(text) {
					t.Errorf("life %d: in topic %d the host that came back is deaf", life, i)
				}
				if text := fmt.Sprintf("%d %d 1", life, i); !boxes[hosts[1]].has(text) || !boxes[hosts[2]].has(text) {
					t.Errorf("life %d: in topic %d the host that came back is not heard", life, i)
				}
			}
			net.Stop(h)
		}
	})
}
