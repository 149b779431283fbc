package p2p

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/network"
)

// conversation is one side of a call's stream: typed messages both ways, with
// keep-alives. One goroutine receives at a time; any may send.
type conversation struct {
	s         network.Stream
	r         *messageReader
	listening sync.WaitGroup // who receives beside the main goroutine

	mu sync.Mutex // guards w
	w  *bufio.Writer
}

func newConversation(s network.Stream, limit int) *conversation {
	return &conversation{s: s, r: newMessageReader(s, max(limit, maxErrorText)+1), w: bufio.NewWriterSize(s, 16<<10)}
}

// send writes a message at once. A peer that does not take it for long breaks
// the stream.
func (c *conversation) send(kind byte, body []byte) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.s.SetWriteDeadline(time.Now().Add(callWriteTimeout)); err != nil {
		return err
	}
	if err := writeMessage(c.w, append([]byte{kind}, body...)); err != nil {
		return err
	}
	return c.w.Flush()
}

// receive returns the next message that is no keep-alive, or ErrPeerSilent.
func (c *conversation) receive() (kind byte, body []byte, err error) {
	for {
		if err := c.s.SetReadDeadline(time.Now().Add(keepAliveSilence)); err != nil {
			return 0, nil, err
		}
		msg, err := c.r.next()
		switch {
		case errors.Is(err, os.ErrDeadlineExceeded):
			return 0, nil, fmt.Errorf("%w for %s", ErrPeerSilent, keepAliveSilence)
		case errors.Is(err, io.EOF):
			return 0, nil, io.ErrUnexpectedEOF
		case err != nil:
			return 0, nil, err
		case len(msg) == 0:
			return 0, nil, fmt.Errorf("%w: empty message in a call", errMalformed)
		case msg[0] != callAlive:
			return msg[0], msg[1:], nil
		}
	}
}

// keepAlive sends a sign of life every few seconds until ctx ends, and resets
// the stream then. stop ends it without a reset and waits for it.
func (c *conversation) keepAlive(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	unhook := context.AfterFunc(ctx, func() { reset(c.s) })
	var done sync.WaitGroup
	done.Go(func() {
		tick := time.NewTicker(keepAliveEvery)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				if c.send(callAlive, nil) != nil {
					return // the receiving side notices
				}
			}
		}
	})
	return func() {
		unhook()
		cancel()
		done.Wait()
	}
}
