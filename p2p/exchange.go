package p2p

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

var (
	// ErrQueueFull means that the peer takes messages more slowly than they are
	// sent; this one was not queued.
	ErrQueueFull = errors.New("p2p: the queue to the peer is full")
	// ErrMessageTooLarge means that a message exceeds its protocol's limit.
	ErrMessageTooLarge = errors.New("p2p: message is too large")
)

// Times of an exchange.
const (
	exchangeIdle    = 5 * time.Minute  // a sender closes its stream
	exchangeSilence = 10 * time.Minute // a receiver closes it, if the sender did not
	writeTimeout    = 10 * time.Second
	linkOpenTimeout = 10 * time.Second
	minBackoff      = 50 * time.Millisecond
	maxBackoff      = 2 * time.Second
	giveUpAfter     = time.Minute     // unreachable for so long: drop what is queued
	steadyAfter     = 5 * time.Second // a stream that lived so long was no failure
)

// ExchangeConfig describes an exchange.
type ExchangeConfig struct {
	// Name is the protocol's name below the network's prefix, like "raft/1".
	Name string
	// Handler gets each message. It is called from one goroutine per sender at a
	// time; while it blocks, that sender's messages wait. It owns msg.
	Handler func(from peer.ID, msg []byte)
	// Queue is the number of messages that wait per peer; 0 is 1024.
	Queue int
	// Rate is how many messages per second are taken from one peer, with bursts
	// of as many; what comes faster waits at its sender. 0 bounds nothing.
	Rate float64
	// MaxMessage is the largest message in bytes, up to MaxMessageLimit; 0 is
	// DefaultMaxMessage. It must be the same on all nodes.
	MaxMessage int
}

// Exchange sends messages to peers and receives theirs, over one long-lived
// stream per peer and direction. Messages of one stream arrive in order; what
// is in flight when a stream breaks is lost; nothing arrives twice or torn.
type Exchange struct {
	h     *Host
	cfg   ExchangeConfig
	proto protocol.ID
	pace  *pace

	mu    sync.Mutex
	links map[peer.ID]*link    // outgoing, while active
	in    map[peer.ID]*inbound // incoming, the newest stream of each peer
}

// inbound is an incoming stream and the end of its handling.
type inbound struct {
	s    network.Stream
	done chan struct{}
}

// Exchange registers an exchange; call it before Run, or it panics.
func (h *Host) Exchange(cfg ExchangeConfig) *Exchange {
	h.registering("exchange", cfg.Name)
	if cfg.Queue <= 0 {
		cfg.Queue = 1024
	}
	cfg.MaxMessage = messageLimit(cfg.MaxMessage)
	x := &Exchange{h: h, cfg: cfg, proto: h.Protocol(cfg.Name), pace: newPace(cfg.Rate), links: map[peer.ID]*link{}, in: map[peer.ID]*inbound{}}
	h.host.SetStreamHandler(x.proto, x.accept)
	return x
}

// Send queues msg for a peer and never blocks. nil says that it is queued, not
// that it arrives. The errors are ErrQueueFull, ErrMessageTooLarge, ErrClosed.
// msg must not be changed afterwards. A message to this host itself reaches the
// handler too, in order, from another goroutine.
func (x *Exchange) Send(to peer.ID, msg []byte) error {
	if len(msg) > x.cfg.MaxMessage {
		return fmt.Errorf("%w: %d bytes on %s, limit %d", ErrMessageTooLarge, len(msg), x.cfg.Name, x.cfg.MaxMessage)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	l, ok := x.links[to]
	if !ok {
		if len(x.links) >= 4*x.h.cfg.HighWater {
			x.dropped("too_many_peers", 1)
			return fmt.Errorf("%w: sending to %d peers already", ErrQueueFull, len(x.links))
		}
		l = &link{x: x, to: to, queue: make(chan []byte, x.cfg.Queue)}
		run := l.run
		if to == x.h.self {
			run = l.runSelf
		}
		if !x.h.spawn(run) {
			return ErrClosed
		}
		x.links[to] = l
	}
	if x.h.ctx.Err() != nil {
		return ErrClosed
	}
	select {
	case l.queue <- msg:
		return nil
	default:
		x.dropped("queue_full", 1)
		return ErrQueueFull
	}
}

func (x *Exchange) dropped(reason string, n int) {
	x.h.metrics.exchangeDropped.WithLabelValues(x.cfg.Name, reason).Add(float64(n))
}

// retire removes an idle link, unless a message came meanwhile.
func (x *Exchange) retire(l *link) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if len(l.queue) > 0 {
		return false
	}
	delete(x.links, l.to)
	return true
}

// accept handles an incoming stream until it ends. libp2p calls it.
func (x *Exchange) accept(s network.Stream) {
	from := s.Conn().RemotePeer()
	if !x.h.Admitted(from) || !x.h.enter() {
		reset(s)
		return
	}
	defer x.h.spawned.Done()
	defer reset(s)
	defer x.h.resetAtEnd(s)()
	me := x.takeOver(from, s)
	defer x.leave(from, me)
	received := x.h.metrics.exchangeReceived.WithLabelValues(x.cfg.Name)
	r := newMessageReader(s, x.cfg.MaxMessage)
	var renewed time.Time
	for {
		if now := time.Now(); now.Sub(renewed) > time.Minute {
			renewed = now
			if s.SetReadDeadline(now.Add(exchangeSilence)) != nil {
				return
			}
		}
		msg, err := r.next()
		if err != nil || !x.h.Admitted(from) {
			if errors.Is(err, errMalformed) || errors.Is(err, errTooLarge) {
				x.h.log.Warn("bad message, stream closed", "exchange", x.cfg.Name, "peer", from.String(), "error", err)
			}
			return
		}
		received.Inc()
		if !x.pace.wait(x.h.ctx, from) {
			return
		}
		x.cfg.Handler(from, msg)
	}
}

// takeOver makes s the stream of its peer: an older one is reset and waited
// for, so that messages of one peer never run side by side.
func (x *Exchange) takeOver(from peer.ID, s network.Stream) *inbound {
	me := &inbound{s: s, done: make(chan struct{})}
	x.mu.Lock()
	prev := x.in[from]
	x.in[from] = me
	x.mu.Unlock()
	if prev != nil {
		reset(prev.s)
		select {
		case <-prev.done:
		case <-x.h.ctx.Done():
		}
	}
	return me
}

func (x *Exchange) leave(from peer.ID, me *inbound) {
	close(me.done)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.in[from] == me {
		delete(x.in, from)
	}
}

// resetAtEnd resets s when the host ends; the returned function calls it off.
func (h *Host) resetAtEnd(s network.Stream) (cancel func() bool) {
	return context.AfterFunc(h.ctx, func() { reset(s) })
}
