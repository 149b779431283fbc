package p2p_test

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/p2ptest"
	"github.com/libp2p/go-libp2p/core/peer"
)

// benchPair is two connected hosts on loopback; set registers what they speak.
func benchPair(b *testing.B, set func(a, z *p2p.Host)) (a, z *p2p.Host) {
	b.Helper()
	a, z = loopback(b, nil), loopback(b, nil)
	set(a, z)
	start(b, a)
	start(b, z)
	if err := a.Connect(b.Context(), p2ptest.Info(z)); err != nil {
		b.Fatal(err)
	}
	return a, z
}

// BenchmarkExchange sends messages of 300 bytes one way, as fast as the queue
// takes them, and counts those that arrive: all of them.
func BenchmarkExchange(b *testing.B) {
	var arrived atomic.Int64
	var x *p2p.Exchange
	_, z := benchPair(b, func(a, z *p2p.Host) {
		x = a.Exchange(p2p.ExchangeConfig{Name: "x", Queue: 4096})
		z.Exchange(p2p.ExchangeConfig{Name: "x", Handler: func(peer.ID, []byte) { arrived.Add(1) }})
	})
	msg := make([]byte, 300)
	b.SetBytes(300)
	sent := int64(0)
	for b.Loop() {
		for errors.Is(x.Send(z.ID(), msg), p2p.ErrQueueFull) {
			runtime.Gosched()
		}
		sent++
	}
	for arrived.Load() < sent {
		runtime.Gosched()
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "msg/s")
}

// BenchmarkExchangeRoundTrip sends one message and waits for the answer.
func BenchmarkExchangeRoundTrip(b *testing.B) {
	back := make(chan struct{}, 1)
	var x, y *p2p.Exchange
	_, z := benchPair(b, func(a, z *p2p.Host) {
		x = a.Exchange(p2p.ExchangeConfig{Name: "x", Handler: func(peer.ID, []byte) { back <- struct{}{} }})
		y = z.Exchange(p2p.ExchangeConfig{Name: "x", Handler: func(from peer.ID, m []byte) { _ = y.Send(from, m) }}) // a lost answer shows as a hang
	})
	msg := make([]byte, 300)
	for b.Loop() {
		if err := x.Send(z.ID(), msg); err != nil {
			b.Fatal(err)
		}
		<-back
	}
}

// BenchmarkCall makes calls with one reply, several at a time.
func BenchmarkCall(b *testing.B) {
	var c *p2p.Calls
	_, z := benchPair(b, func(a, z *p2p.Host) {
		z.Calls(p2p.CallsConfig{Name: "c", Handler: func(_ context.Context, _ peer.ID, req []byte, reply func([]byte) error) error { return reply(req) }})
		c = a.Calls(p2p.CallsConfig{Name: "c"})
	})
	msg := make([]byte, 300)
	b.SetParallelism(8)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			if err := c.Call(b.Context(), z.ID(), msg, nil); err != nil {
				b.Error(err)
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}
