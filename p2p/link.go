package p2p

import (
	"bufio"
	"context"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

// reset ends a stream at once, both ways. That it had ended already is fine.
func reset(s network.Stream) { _ = s.Reset() }

// link sends to one peer. Its goroutine lives while there is something to send
// and for five minutes more.
type link struct {
	x     *Exchange
	to    peer.ID
	queue chan []byte

	fails     int       // streams in a row that did not last
	failingAt time.Time // when the first of them failed
}

// pipe is an open outgoing stream.
type pipe struct {
	s        network.Stream
	w        *bufio.Writer
	opened   time.Time
	deadline time.Time     // write deadline in force
	broken   chan struct{} // closed when the peer ended the stream
}

func (l *link) run(ctx context.Context) {
	for {
		msg, ok := l.wait(ctx)
		if !ok {
			return
		}
		p := l.open(ctx)
		if p == nil {
			l.drop(1)
			continue
		}
		l.pump(ctx, p, msg)
		p.end()
		if time.Since(p.opened) >= steadyAfter {
			l.fails = 0
		} else {
			l.failed()
		}
	}
}

// wait returns the next message, or false when there was none for long (the
// link is retired then) or the host ends.
func (l *link) wait(ctx context.Context) ([]byte, bool) {
	idle := time.NewTimer(exchangeIdle)
	defer idle.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, false
		case msg := <-l.queue:
			return msg, true
		case <-idle.C:
			if l.x.retire(l) {
				return nil, false
			}
			idle.Reset(exchangeIdle)
		}
	}
}

func (l *link) failed() {
	if l.fails == 0 {
		l.failingAt = time.Now()
	}
	l.fails++
}

// backoff is the pause before the next attempt.
func (l *link) backoff() time.Duration {
	if l.fails == 0 {
		return 0
	}
	return min(minBackoff<<min(l.fails-1, 10), maxBackoff)
}

// open opens a stream, trying until it succeeds, the peer has been unreachable
// for a minute, or the host ends; nil then.
func (l *link) open(ctx context.Context) *pipe {
	for {
		pause(ctx, l.backoff())
		if ctx.Err() != nil {
			return nil
		}
		s, err := l.dial(ctx)
		if err == nil {
			p := &pipe{s: s, w: bufio.NewWriterSize(s, 64<<10), opened: time.Now(), broken: make(chan struct{})}
			if l.x.h.spawn(p.watch) {
				return p
			}
			reset(s)
			return nil
		}
		l.failed()
		if time.Since(l.failingAt) > giveUpAfter {
			l.x.h.log.Debug("peer is unreachable, messages dropped", "exchange", l.x.cfg.Name, "peer", l.to.String(), "error", err)
			l.fails = 0
			l.drain()
			return nil
		}
	}
}

func (l *link) dial(ctx context.Context) (network.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, linkOpenTimeout)
	defer cancel()
	if err := l.x.h.Reach(ctx, l.to); err != nil {
		return nil, err
	}
	return l.x.h.host.NewStream(ctx, l.to, l.x.proto)
}

func (l *link) drop(n int) { l.x.dropped("unreachable", n) }

// drain empties the queue.
func (l *link) drain() {
	for {
		select {
		case <-l.queue:
			l.drop(1)
		default:
			return
		}
	}
}

// pump writes msg and what follows until the stream breaks, nothing follows for
// five minutes, or the host ends. It flushes when the queue is empty.
func (l *link) pump(ctx context.Context, p *pipe, msg []byte) {
	sent := l.x.h.metrics.exchangeSent.WithLabelValues(l.x.cfg.Name)
	idle := time.NewTimer(exchangeIdle)
	defer idle.Stop()
	for {
		if p.write(msg) != nil {
			return
		}
		sent.Inc()
		select {
		case msg = <-l.queue:
			continue
		default:
		}
		if p.flush() != nil {
			return
		}
		idle.Reset(exchangeIdle)
		select { // a stream known to be broken takes no further message
		case <-p.broken:
			return
		default:
		}
		select {
		case msg = <-l.queue:
		case <-p.broken:
			return
		case <-idle.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// renew moves the write deadline, at most once a second.
func (p *pipe) renew() error {
	now := time.Now()
	if p.deadline.Sub(now) > writeTimeout-time.Second {
		return nil
	}
	p.deadline = now.Add(writeTimeout)
	return p.s.SetWriteDeadline(p.deadline)
}

func (p *pipe) write(msg []byte) error {
	if err := p.renew(); err != nil {
		return err
	}
	return writeMessage(p.w, msg)
}

func (p *pipe) flush() error {
	if err := p.renew(); err != nil {
		return err
	}
	return p.w.Flush()
}

// watch waits for the peer to end the stream, on which it never sends, or for
// the end of the host.
func (p *pipe) watch(ctx context.Context) {
	defer close(p.broken)
	defer context.AfterFunc(ctx, func() { reset(p.s) })()
	var b [1]byte
	_, _ = p.s.Read(b[:]) // whatever comes, the stream is over
	reset(p.s)
}

// end closes the stream; what was flushed still arrives.
func (p *pipe) end() {
	select {
	case <-p.broken:
	default:
		if p.s.Close() != nil {
			reset(p.s)
		}
		_ = p.s.SetReadDeadline(time.Now().Add(writeTimeout)) // the peer closes in turn; do not wait for long
	}
}

// runSelf hands messages to ourselves to the handler.
func (l *link) runSelf(ctx context.Context) {
	for {
		msg, ok := l.wait(ctx)
		if !ok {
			return
		}
		l.x.h.metrics.exchangeReceived.WithLabelValues(l.x.cfg.Name).Inc()
		l.x.cfg.Handler(l.to, msg)
	}
}
