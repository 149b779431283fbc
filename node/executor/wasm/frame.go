package wasm

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/ciro-network/ciro/node/executor"
)

// Parent and child talk in frames: one byte of kind, four of length (big
// endian), then the payload. A length above maxFrame is an error, so that
// neither side can make the other allocate.
const (
	maxFrame      = 64 << 10
	maxRequest    = 4 << 20 // arguments and environment; the parent is trusted
	frameOverhead = 5
)

// Frame kinds. Parent to child: hello once, then request once. Child to
// parent: ready, accepted, any number of stdout, stderr and progress, result.
const (
	kindHello byte = iota + 1
	kindRequest
	kindReady
	kindAccepted
	kindStdout
	kindStderr
	kindProgress
	kindResult
)

// hello prepares a child before anybody knows what it will run.
type hello struct {
	// CacheDir holds compiled modules; "" compiles every time.
	CacheDir string
	// Preload is compiled ahead if it is not empty; its hash is PreloadHash.
	Preload, PreloadHash string
	// MaxMemory is the largest guest memory that a request may ask for.
	MaxMemory uint64
}

// request is a task for a child: its paths are absolute, its limits set.
type request struct {
	Module, ModuleHash string
	Args, Env          []string
	In, Out, Tmp       string
	Limits             executor.Limits
	Deterministic      bool
	Seed               uint64
	Clock              time.Time
	// CheckOnly compiles the module and looks at it, but does not start it.
	CheckOnly bool
}

// fits refuses arguments and an environment that make the request too large for
// its frame.
func (r request) fits() error {
	size := 0
	for _, list := range [][]string{r.Args, r.Env} {
		for _, s := range list {
			size += len(s) + len(`"",`)
		}
	}
	if size < maxRequest/8 { // JSON makes six bytes of one at most, and paths are short
		return nil
	}
	if b, err := json.Marshal(r); err != nil || len(b) > maxRequest {
		return fmt.Errorf("%w: arguments and environment have %d bytes, which is more than the sandbox takes (%d when encoded)",
			executor.ErrTask, size, maxRequest)
	}
	return nil
}

// result is the child's last word.
type result struct {
	Cause   executor.Cause
	Detail  string
	Exit    uint32
	CPU     time.Duration
	Compile time.Duration
	// Dropped counts the bytes beyond executor.MaxStream, stdout then stderr.
	Dropped [2]uint64
}

// progress is one line that the guest wrote to /dev/progress.
type progress struct {
	Fraction float64
	Message  string
}

var errFrame = errors.New("malformed frame")

// writeFrame writes one frame with a single call of w.Write.
func writeFrame(w io.Writer, kind byte, payload []byte) error {
	b := make([]byte, frameOverhead+len(payload))
	b[0] = kind
	binary.BigEndian.PutUint32(b[1:], uint32(len(payload)))
	copy(b[frameOverhead:], payload)
	_, err := w.Write(b)
	return err
}

// writeJSON is writeFrame for a payload in JSON.
func writeJSON(w io.Writer, kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode frame %d: %w", kind, err)
	}
	return writeFrame(w, kind, b)
}

// frameReader reads frames; the payload it returns is valid until the next call.
type frameReader struct {
	r   *bufio.Reader
	max int
	buf []byte
}

func newFrameReader(r io.Reader, limit int) *frameReader {
	return &frameReader{r: bufio.NewReaderSize(r, maxFrame+frameOverhead), max: limit}
}

func (f *frameReader) next() (kind byte, payload []byte, err error) {
	var head [frameOverhead]byte
	if _, err := io.ReadFull(f.r, head[:]); err != nil {
		return 0, nil, err
	}
	n := int(binary.BigEndian.Uint32(head[1:]))
	if n > f.max || head[0] == 0 || head[0] > kindResult {
		return 0, nil, fmt.Errorf("%w: kind %d, %d bytes", errFrame, head[0], n)
	}
	if cap(f.buf) < n {
		f.buf = make([]byte, n)
	}
	f.buf = f.buf[:n]
	if _, err := io.ReadFull(f.r, f.buf); err != nil {
		return 0, nil, fmt.Errorf("%w: cut short", errFrame)
	}
	return head[0], f.buf, nil
}

// nextJSON reads a frame of the wanted kind into v.
func (f *frameReader) nextJSON(want byte, v any) error {
	kind, payload, err := f.next()
	if err != nil {
		return err
	}
	if kind != want {
		return fmt.Errorf("%w: kind %d instead of %d", errFrame, kind, want)
	}
	return json.Unmarshal(payload, v)
}
