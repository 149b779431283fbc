package p2p

import (
	"context"
	"fmt"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

// openLimit bounds a request to an open protocol and its answer, in bytes, and
// openTimeout how long one may take.
const (
	openLimit   = 64 << 10
	openTimeout = 10 * time.Second
)

// ServeOpen answers requests of a protocol that is not below the network's
// prefix, for those who do not know the network yet. The handler gets at most
// 64 KiB and answers with as much; nil ends the stream without an answer. It is
// called from many goroutines. Register before Run.
func (h *Host) ServeOpen(proto string, handler func(from peer.ID, req []byte) []byte) error {
	h.registering("open protocol", proto)
	h.host.SetStreamHandler(protocol.ID(proto), func(s network.Stream) {
		if !h.enter() {
			_ = s.Reset()
			return
		}
		defer h.spawned.Done()
		if err := answerOpen(s, handler); err != nil {
			_ = s.Reset() // the other side sees its request fail
		}
	})
	return nil
}

func answerOpen(s network.Stream, handler func(peer.ID, []byte) []byte) error {
	if err := s.SetDeadline(time.Now().Add(openTimeout)); err != nil {
		return err
	}
	req, err := newMessageReader(s, openLimit).next()
	if err != nil {
		return err
	}
	answer := handler(s.Conn().RemotePeer(), req)
	if answer == nil {
		return s.Reset()
	}
	if err := writeMessage(s, answer); err != nil {
		return err
	}
	return s.Close()
}

// OpenRequest is one request to an open protocol.
type OpenRequest struct {
	Protocol string
	Body     []byte // at most 64 KiB
}

// AskOpen asks a peer over a host of its own that lives as long as the call: for
// those who have no network yet.
func AskOpen(ctx context.Context, key crypto.PrivKey, to peer.AddrInfo, req OpenRequest) (answer []byte, err error) {
	host, err := libp2p.New(libp2p.Identity(key), libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics())
	if err != nil {
		return nil, fmt.Errorf("open a client host: %w", err)
	}
	defer func() {
		if cerr := host.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("close the client host: %w", cerr)
		}
	}()
	if err := host.Connect(ctx, to); err != nil {
		return nil, fmt.Errorf("connect to %s: %w", to.ID, err)
	}
	s, err := host.NewStream(ctx, to.ID, protocol.ID(req.Protocol))
	if err != nil {
		return nil, fmt.Errorf("%s does not answer %s: %w", to.ID, req.Protocol, err)
	}
	defer s.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := s.SetDeadline(deadline); err != nil {
			return nil, err
		}
	}
	if err := writeMessage(s, req.Body); err != nil {
		return nil, fmt.Errorf("ask %s: %w", to.ID, err)
	}
	if answer, err = newMessageReader(s, openLimit).next(); err != nil {
		return nil, fmt.Errorf("answer of %s: %w", to.ID, err)
	}
	return answer, nil
}
