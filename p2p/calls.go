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

// Times of a call.
const (
	keepAliveEvery   = 5 * time.Second
	keepAliveSilence = 15 * time.Second
	callWriteTimeout = 30 * time.Second // a caller that is slow to read may hold a reply up so long
)

// The first byte of each message of a call.
const (
	callRequest byte = iota + 1
	callReply
	callEnd
	callError
	callAlive
)

// maxErrorText bounds the text of an error that travels, in bytes.
const maxErrorText = 4096

// CallHandler answers one call: it sends any number of replies, each of which
// is on its way when reply returns, and then returns. Its error reaches the
// caller as text. ctx ends when the caller goes away.
type CallHandler func(ctx context.Context, from peer.ID, req []byte, reply func([]byte) error) error

// CallsConfig describes a service.
type CallsConfig struct {
	// Name is the protocol's name below the network's prefix, like "job/1".
	Name string
	// Open also answers peers that are not admitted.
	Open bool
	// Handler answers; nil makes a host that calls but does not answer.
	Handler CallHandler
	// MaxMessage is the largest request or reply in bytes, up to
	// MaxMessageLimit; 0 is DefaultMaxMessage. The same on all nodes.
	MaxMessage int
	// MaxPerPeer bounds the calls that one peer has open; 0 is 64, at most 256.
	MaxPerPeer int
	// Rate is how many calls per second are taken from one peer, with bursts of as
	// many; more are refused. 0 bounds nothing.
	Rate float64
}

// RemoteError is the error that the other side's handler returned, or why it
// did not call it.
type RemoteError struct{ Message string }

// Error is the message as it came.
func (e *RemoteError) Error() string { return e.Message }

// ErrPeerSilent means that the other side of a call stopped sending even
// keep-alives: it is dead, stuck or unreachable.
var ErrPeerSilent = errors.New("p2p: peer fell silent")

// Calls is a service: requests with a stream of replies, each on a libp2p
// stream of its own. For rare or long things; an Exchange is some thirty times
// cheaper per message.
type Calls struct {
	h     *Host
	cfg   CallsConfig
	proto protocol.ID
	pace  *pace

	mu   sync.Mutex
	open map[peer.ID]int // calls being answered
}

// Calls registers a service; call it before Run, or it panics.
func (h *Host) Calls(cfg CallsConfig) *Calls {
	h.registering("calls", cfg.Name)
	if cfg.MaxPerPeer <= 0 {
		cfg.MaxPerPeer = 64
	}
	cfg.MaxPerPeer = min(cfg.MaxPerPeer, 256)
	cfg.MaxMessage = messageLimit(cfg.MaxMessage)
	c := &Calls{h: h, cfg: cfg, proto: h.Protocol(cfg.Name), pace: newPace(cfg.Rate), open: map[peer.ID]int{}}
	if cfg.Handler != nil {
		h.host.SetStreamHandler(c.proto, c.accept)
	}
	return c
}

// Call sends req to a peer, connecting to it if need be, and passes each reply
// to each (nil ignores them) in order, until the handler over there returns.
// The errors are *RemoteError from the handler, ErrPeerSilent, ErrMessageTooLarge,
// what each returned, the end of ctx, or why the peer could not be reached. A
// slow each slows the other side down. A call to ourselves runs here.
func (c *Calls) Call(ctx context.Context, to peer.ID, req []byte, each func(reply []byte) error) error {
	if each == nil {
		each = func([]byte) error { return nil }
	}
	if len(req) > c.cfg.MaxMessage {
		return fmt.Errorf("%w: request of %d bytes to %s, limit %d", ErrMessageTooLarge, len(req), c.cfg.Name, c.cfg.MaxMessage)
	}
	if !c.h.enter() {
		return ErrClosed
	}
	defer c.h.spawned.Done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.h.ctx, func() { cancel(ErrClosed) })()
	c.h.metrics.calls.WithLabelValues(c.cfg.Name, "caller").Inc()
	if to == c.h.self {
		return c.callSelf(ctx, req, each)
	}
	err := c.call(ctx, to, req, each)
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // the stream's own error only says "reset"
	}
	var remote *RemoteError
	if err == nil || errors.As(err, &remote) {
		return err
	}
	return fmt.Errorf("p2p: call %s at %s: %w", c.cfg.Name, to, err)
}

func (c *Calls) callSelf(ctx context.Context, req []byte, each func([]byte) error) error {
	if c.cfg.Handler == nil {
		return &RemoteError{Message: "this node does not answer " + c.cfg.Name}
	}
	var failed error
	err := c.cfg.Handler(ctx, c.h.self, req, func(b []byte) error {
		if failed == nil {
			failed = errors.Join(ctx.Err(), each(b))
		}
		return failed
	})
	switch {
	case failed != nil:
		return failed
	case ctx.Err() != nil:
		return context.Cause(ctx)
	case err != nil:
		return &RemoteError{Message: clip(err.Error())}
	}
	return nil
}

func (c *Calls) call(ctx context.Context, to peer.ID, req []byte, each func([]byte) error) error {
	if err := c.h.Reach(ctx, to); err != nil {
		return err
	}
	s, err := c.h.host.NewStream(network.WithAllowLimitedConn(ctx, "ciro call"), to, c.proto)
	if err != nil {
		return err
	}
	defer reset(s) // after a clean end it changes nothing
	conv := newConversation(s, c.cfg.MaxMessage)
	stop := conv.keepAlive(ctx)
	defer stop()
	if err := conv.send(callRequest, req); err != nil {
		return err
	}
	for {
		kind, body, err := conv.receive()
		if err != nil {
			return err
		}
		switch kind {
		case callReply:
			if err := each(body); err != nil {
				return err
			}
		case callEnd:
			return nil
		case callError:
			return &RemoteError{Message: string(body)}
		default:
			return fmt.Errorf("%w: kind %d in a reply", errMalformed, kind)
		}
	}
}

// accept answers one call. libp2p calls it.
func (c *Calls) accept(s network.Stream) {
	from := s.Conn().RemotePeer()
	if !c.h.enter() {
		reset(s)
		return
	}
	defer c.h.spawned.Done()
	ctx, cancel := context.WithCancel(c.h.ctx)
	defer cancel()
	conv := newConversation(s, c.cfg.MaxMessage)
	stop := conv.keepAlive(ctx)
	err := c.answer(ctx, cancel, conv, from)
	if err == nil {
		err = conv.send(callEnd, nil)
	} else {
		err = conv.send(callError, []byte(clip(err.Error())))
	}
	stop() // before the end of ctx, which would reset the stream and lose what is under way
	if err != nil || s.Close() != nil {
		reset(s)
	}
	conv.listening.Wait() // the closed stream ends it
}

func (c *Calls) answer(ctx context.Context, cancel context.CancelFunc, conv *conversation, from peer.ID) error {
	if !c.cfg.Open && !c.h.Admitted(from) {
		return errors.New("refused: this peer is not admitted to the network")
	}
	if !c.pace.allow(from) {
		return fmt.Errorf("refused: more than %v calls a second", c.cfg.Rate)
	}
	if !c.take(from) {
		return fmt.Errorf("refused: more than %d calls at a time", c.cfg.MaxPerPeer)
	}
	defer c.release(from)
	kind, req, err := conv.receive()
	if err != nil {
		return err
	}
	if kind != callRequest {
		return fmt.Errorf("%w: kind %d instead of a request", errMalformed, kind)
	}
	c.h.metrics.calls.WithLabelValues(c.cfg.Name, "answerer").Inc()
	conv.listening.Go(func() { // notices that the caller went away
		defer cancel()
		_, _, err := conv.receive()
		_ = err // nothing but keep-alives may come: whatever it was, it is over
	})
	return c.cfg.Handler(ctx, from, req, func(b []byte) error {
		if len(b) > c.cfg.MaxMessage {
			return fmt.Errorf("%w: reply of %d bytes on %s, limit %d", ErrMessageTooLarge, len(b), c.cfg.Name, c.cfg.MaxMessage)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return conv.send(callReply, b)
	})
}

func (c *Calls) take(p peer.ID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[p] >= c.cfg.MaxPerPeer {
		return false
	}
	c.open[p]++
	return true
}

func (c *Calls) release(p peer.ID) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[p]--; c.open[p] == 0 {
		delete(c.open, p)
	}
}

// clip bounds an error's text.
func clip(s string) string {
	if len(s) > maxErrorText {
		return s[:maxErrorText]
	}
	return s
}
