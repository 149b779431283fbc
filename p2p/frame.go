package p2p

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// A message travels as chunks of a 4-byte big-endian header and up to maxChunk
// bytes. The header's top bit says that more chunks follow; the other bits are
// the chunk's length. All chunks but the last are exactly maxChunk long and the
// last of several is not empty, so a message has one encoding.
const (
	maxChunk    = 1 << 20
	chunkMore   = 1 << 31
	frameHeader = 4
)

// Limits of message sizes, in bytes.
const (
	// DefaultMaxMessage is the largest message unless configured otherwise.
	DefaultMaxMessage = 1 << 20
	// MaxMessageLimit is the largest limit that may be configured.
	MaxMessageLimit = 80 << 20
)

var (
	errTooLarge  = errors.New("message is larger than the limit")
	errMalformed = errors.New("malformed frame")
)

// messageLimit turns a configured limit into the one in force.
func messageLimit(configured int) int {
	if configured <= 0 {
		return DefaultMaxMessage
	}
	return min(configured, MaxMessageLimit)
}

// writeMessage writes msg to w, cut into chunks.
func writeMessage(w io.Writer, msg []byte) error {
	var head [frameHeader]byte
	for {
		chunk, more := msg, uint32(0)
		if len(msg) > maxChunk {
			chunk, more = msg[:maxChunk], chunkMore
		}
		binary.BigEndian.PutUint32(head[:], uint32(len(chunk))|more)
		if _, err := w.Write(head[:]); err != nil {
			return err
		}
		if _, err := w.Write(chunk); err != nil {
			return err
		}
		if more == 0 {
			return nil
		}
		msg = msg[len(chunk):]
	}
}

// messageReader puts messages together again. It holds at most limit bytes of
// an unfinished message, and only as much as has arrived, rounded up to a chunk.
type messageReader struct {
	r     *bufio.Reader
	limit int
}

func newMessageReader(r io.Reader, limit int) *messageReader {
	return &messageReader{r: bufio.NewReaderSize(r, 64<<10), limit: limit}
}

// next returns the next whole message, in memory of its own. io.EOF means that
// the stream ended between messages; any other end is an error.
func (m *messageReader) next() ([]byte, error) {
	var msg []byte
	for first := true; ; first = false {
		size, more, err := m.header(first)
		if err != nil {
			return nil, err
		}
		if size > m.limit-len(msg) {
			return nil, fmt.Errorf("%w of %d bytes", errTooLarge, m.limit)
		}
		at := len(msg)
		msg = append(msg, make([]byte, size)...)
		if _, err := io.ReadFull(m.r, msg[at:]); err != nil {
			return nil, torn(err)
		}
		if !more {
			return msg, nil
		}
	}
}

func (m *messageReader) header(first bool) (size int, more bool, err error) {
	var head [frameHeader]byte
	if _, err := io.ReadFull(m.r, head[:]); err != nil {
		if first && errors.Is(err, io.EOF) {
			return 0, false, io.EOF
		}
		return 0, false, torn(err)
	}
	word := binary.BigEndian.Uint32(head[:])
	size, more = int(word&^uint32(chunkMore)), word&chunkMore != 0
	switch {
	case size > maxChunk:
		return 0, false, fmt.Errorf("%w: chunk of %d bytes", errMalformed, size)
	case more && size != maxChunk:
		return 0, false, fmt.Errorf("%w: short chunk of %d bytes before the last", errMalformed, size)
	case !first && !more && size == 0:
		return 0, false, fmt.Errorf("%w: empty last chunk", errMalformed)
	}
	return size, more, nil
}

// torn names an end in the middle of a message.
func torn(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
