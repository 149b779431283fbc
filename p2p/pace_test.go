package p2p_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	"github.com/libp2p/go-libp2p/core/peer"
)

// TestFloodWaitsAtItsSender has one peer send far more than its pace: nothing is
// lost, and what is beyond the pace takes its time.
func TestFloodWaitsAtItsSender(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, 5*time.Millisecond)
		defer net.Close()
		_, b, x, box := pair(t, net, p2p.ExchangeConfig{Queue: 1000, Rate: 100})
		for i := range 500 {
			if err := x.Send(b.ID(), fmt.Appendf(nil, "%d", i)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Second) // virtual: a burst of 100, then 100 a second
		if n := len(box.all()); n < 150 || n > 250 {
			t.Errorf("after a second %d messages were taken, want about 200", n)
		}
		took := within(t, 10*time.Second, func() bool { return len(box.all()) == 500 })
		if took < 2*time.Second {
			t.Errorf("the rest was taken within %v", took)
		}
		increasing(t, box.all())
	})
}

// TestCallsPerSecondAreBounded refuses what is beyond the pace and takes calls
// again a little later.
func TestCallsPerSecondAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := p2ptest.New(t, time.Millisecond)
		defer net.Close()
		_, b, remote, _ := callPair(t, net, p2p.CallsConfig{Handler: answer, Rate: 5})
		refused := 0
		for range 20 {
			var re *p2p.RemoteError
			switch err := remote.Call(t.Context(), b.ID(), []byte("1"), nil); {
			case errors.As(err, &re) && strings.Contains(re.Message, "calls a second"):
				refused++
			case err != nil:
				t.Fatal(err)
			}
		}
		if refused < 10 || refused > 15 {
			t.Errorf("%d of 20 calls were refused", refused)
		}
		time.Sleep(time.Second) // virtual
		if err := remote.Call(t.Context(), b.ID(), []byte("1"), nil); err != nil {
			t.Errorf("a second later: %v", err)
		}
	})
}

// BenchmarkFlood measures the round trip of a quiet peer, and then beside one
// that sends as much as it can.
func BenchmarkFlood(b *testing.B) {
	back := make(chan struct{}, 1)
	victim, quiet, loud := loopback(b, nil), loopback(b, nil), loopback(b, nil)
	cfg := p2p.ExchangeConfig{Name: "x", Queue: 4096, Rate: 5000}
	var answers *p2p.Exchange
	cfg.Handler = func(from peer.ID, m []byte) {
		if from == quiet.ID() {
			_ = answers.Send(from, m) // a lost answer shows as a hang
		}
	}
	answers = victim.Exchange(cfg)
	cfg.Handler = func(peer.ID, []byte) { back <- struct{}{} }
	ping := quiet.Exchange(cfg)
	cfg.Handler = func(peer.ID, []byte) {}
	flood := loud.Exchange(cfg)
	for _, h := range []*p2p.Host{victim, quiet, loud} {
		start(b, h)
	}
	for _, h := range []*p2p.Host{quiet, loud} {
		if err := h.Connect(b.Context(), p2ptest.Info(victim)); err != nil {
			b.Fatal(err)
		}
	}
	msg := make([]byte, 300)
	ctx, stop := context.WithCancel(b.Context())
	ended := make(chan struct{})
	for _, name := range []string{"quiet", "beside-a-flood"} {
		if name != "quiet" {
			go func() {
				defer close(ended)
				for ctx.Err() == nil {
					if errors.Is(flood.Send(victim.ID(), msg), p2p.ErrQueueFull) {
						time.Sleep(100 * time.Microsecond)
						runtime.Gosched()
					}
				}
			}()
		}
		b.Run(name, func(b *testing.B) {
			var took []time.Duration
			for b.Loop() {
				began := time.Now()
				if err := ping.Send(victim.ID(), msg); err != nil {
					b.Fatal(err)
				}
				<-back
				took = append(took, time.Since(began))
			}
			slices.Sort(took)
			b.ReportMetric(float64(took[len(took)/2].Microseconds()), "p50-us")
			b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-us")
		})
	}
	stop()
	<-ended
}
