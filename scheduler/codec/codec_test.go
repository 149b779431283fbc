package codec

import (
	"bytes"
	"errors"
	"math"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u, i, ok := rapid.Uint64().Draw(t, "u"), rapid.Int64().Draw(t, "i"), rapid.Bool().Draw(t, "ok")
		n, b, s := rapid.Uint32().Draw(t, "n"), rapid.SliceOf(rapid.Byte()).Draw(t, "b"), rapid.String().Draw(t, "s")
		list := rapid.SliceOf(rapid.String()).Draw(t, "list")
		var w Writer
		w.Uint(u)
		w.Int(i)
		w.Bool(ok)
		w.Uint(uint64(n))
		w.Bytes(b)
		w.Fixed([]byte{1, 2, 3})
		w.String(s)
		w.Strings(list)
		r := NewReader(w.Data())
		same := r.Uint() == u && r.Int() == i && r.Bool() == ok && r.Uint32() == n && bytes.Equal(r.Bytes(1<<20), b) &&
			bytes.Equal(r.Fixed(3), []byte{1, 2, 3}) && r.String(1<<20) == s && slices.Equal(r.Strings(1<<20, 1<<20), list)
		if err := r.Close(); err != nil || !same {
			t.Fatalf("same=%v, %v", same, err)
		}
	})
}

// TestPermanentForm pins the bytes of each kind of value.
func TestPermanentForm(t *testing.T) {
	var w Writer
	w.Uint(300)
	w.Int(-1)
	w.Int(math.MinInt64)
	w.Bool(true)
	w.Bytes([]byte{9})
	w.Strings([]string{"", "ab"})
	want := []byte{0xac, 2, 1, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1, 1, 1, 9, 2, 0, 2, 'a', 'b'}
	if !bytes.Equal(w.Data(), want) {
		t.Errorf("% x", w.Data())
	}
	r := NewReader(want)
	if r.Uint() != 300 || r.Int() != -1 || r.Int() != math.MinInt64 {
		t.Error("numbers came back otherwise")
	}
}

func TestRefusals(t *testing.T) {
	tests := []struct {
		name string
		in   []byte
		read func(*Reader)
		want error
	}{
		{"no number", nil, func(r *Reader) { r.Uint() }, ErrShort},
		{"half a number", []byte{0x80}, func(r *Reader) { r.Uint() }, ErrShort},
		{"number with idle bytes", []byte{0x80, 0}, func(r *Reader) { r.Uint() }, ErrForm},
		{"number over 64 bits", bytes.Repeat([]byte{0xff}, 11), func(r *Reader) { r.Uint() }, ErrForm},
		{"number over 32 bits", []byte{0x80, 0x80, 0x80, 0x80, 0x10}, func(r *Reader) { r.Uint32() }, ErrForm},
		{"truth of 2", []byte{2}, func(r *Reader) { r.Bool() }, ErrForm},
		{"no truth", nil, func(r *Reader) { r.Bool() }, ErrShort},
		{"string over its limit", []byte{3, 1, 2, 3}, func(r *Reader) { r.String(2) }, ErrForm},
		{"string over the input", []byte{3, 1, 2}, func(r *Reader) { r.String(9) }, ErrShort},
		{"forged count", []byte{0xff, 0xff, 0xff, 0xff, 0x0f}, func(r *Reader) { r.Strings(math.MaxInt, 1) }, ErrShort},
		{"list over its limit", []byte{3, 0, 0, 0}, func(r *Reader) { r.Strings(2, 1) }, ErrForm},
		{"negative length", []byte{1}, func(r *Reader) { r.Fixed(-1) }, ErrShort},
		{"bytes behind", []byte{1, 1}, func(r *Reader) { r.Uint() }, ErrTrailing},
	}
	for _, tt := range tests {
		r := NewReader(tt.in)
		tt.read(r)
		if err := r.Close(); !errors.Is(err, tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
}

func TestFirstErrorStays(t *testing.T) {
	r := NewReader([]byte{2, 3})
	r.Fail(errors.New("first"))
	r.Bool()
	if got := r.Uint(); got != 0 || r.Count(5) != 0 || r.Strings(1, 1) != nil || r.Bytes(3) != nil {
		t.Error("a failed reader gives values")
	}
	if err := r.Close(); err == nil || err.Error() != "first" || r.Err() != err {
		t.Error(err)
	}
}

// TestBytesAreACopy: the input may be reused, but Fixed is part of it.
func TestBytesAreACopy(t *testing.T) {
	in := []byte{1, 'a', 1, 'b'}
	r := NewReader(in)
	b, s := r.Bytes(9), r.String(9)
	in[1], in[3] = 'x', 'y'
	if string(b) != "a" || s != "b" {
		t.Errorf("%s %s", b, s)
	}
}

// FuzzReader runs a program of reads over any input: it must not panic, and what
// it accepts writes as it was.
func FuzzReader(f *testing.F) {
	f.Add("ui", []byte{1, 2})
	f.Add("bsfl", []byte{1, 2, 'h', 'i', 1, 2, 3, 1, 1, 'x'})
	f.Add(strings.Repeat("u", 20), []byte{0x80})
	f.Fuzz(func(t *testing.T, program string, in []byte) {
		r := NewReader(in)
		var w Writer
		for _, op := range program {
			switch op {
			case 'u':
				w.Uint(r.Uint())
			case 'i':
				w.Int(r.Int())
			case 'b':
				w.Bool(r.Bool())
			case 's':
				w.String(r.String(64))
			case 'f':
				w.Fixed(r.Fixed(3))
			case 'l':
				w.Strings(r.Strings(8, 8))
			}
		}
		if r.Close() == nil && !bytes.Equal(w.Data(), in) {
			t.Errorf("%x reads and writes as %x", in, w.Data())
		}
	})
}
