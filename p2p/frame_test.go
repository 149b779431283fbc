package p2p

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestFrameRefuses(t *testing.T) {
	full := append([]byte{0x80, 0x10, 0, 0}, make([]byte, maxChunk)...) // a whole chunk, more follow
	for name, c := range map[string]struct {
		in   []byte
		want error
	}{
		"nothing":         {nil, io.EOF},
		"half a header":   {[]byte{0, 0}, io.ErrUnexpectedEOF},
		"torn":            {[]byte{0, 0, 0, 5, 'a'}, io.ErrUnexpectedEOF},
		"huge chunk":      {[]byte{0x7f, 0xff, 0xff, 0xff}, errMalformed},
		"short with more": {[]byte{0x80, 0, 0, 1, 'a'}, errMalformed},
		"empty last":      {append(bytes.Clone(full), 0, 0, 0, 0), errMalformed},
		"torn after one":  {full, io.ErrUnexpectedEOF},
		"above limit":     {append(bytes.Clone(full), append([]byte{0, 0x10, 0, 0}, make([]byte, maxChunk)...)...), errTooLarge},
	} {
		if _, err := newMessageReader(bytes.NewReader(c.in), maxChunk+10).next(); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
	}
}

// FuzzFrame: any bytes are read without panic, and what is read has exactly the
// encoding that it was read from.
func FuzzFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 2, 'h', 'i', 0, 0, 0, 0})
	f.Add([]byte{0x80, 0, 0, 1, 'x', 0, 0, 0, 1, 'y'})
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff})
	f.Add(append([]byte{0x80, 0x10, 0, 0}, append(make([]byte, maxChunk), 0, 0, 0, 1, 'z')...))
	f.Fuzz(func(t *testing.T, in []byte) {
		r := newMessageReader(bytes.NewReader(in), 2*maxChunk)
		var again bytes.Buffer
		for {
			msg, err := r.next()
			if err != nil {
				break
			}
			if err := writeMessage(&again, msg); err != nil {
				t.Fatal(err)
			}
		}
		if !bytes.HasPrefix(in, again.Bytes()) {
			t.Fatalf("%x was read from %x", again.Bytes(), in)
		}
	})
}
