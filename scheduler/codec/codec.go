// Package codec is the binary form of everything that the core keeps in a log,
// a snapshot or a message between a coordinator and a worker.
//
// The form is deterministic: one value has exactly one encoding, so that
// replicas can compare bytes and a job's id can be a hash. Numbers are
// LEB128 varints (signed ones zigzag), byte strings carry their length before
// them, lists their count. There is no schema in the bytes; every top-level
// value starts with a version number that its decoder checks.
//
// A Reader takes untrusted bytes: it never panics, never allocates more than
// the input can justify, and remembers the first error, so that a decoder reads
// all fields in a row and asks Close once.
package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrShort says that the input ended inside a value.
var ErrShort = errors.New("input ends inside a value")

// ErrTrailing says that bytes follow the value.
var ErrTrailing = errors.New("bytes follow the value")

// ErrForm says that a value is not in its one canonical form or breaks a bound.
var ErrForm = errors.New("value is malformed")

// Writer appends values to a byte slice. The zero Writer is ready to use.
type Writer struct{ b []byte }

// NewWriter returns a Writer that appends to b, which is its own from now on.
func NewWriter(b []byte) Writer { return Writer{b} }

// Data returns what has been written. The slice is the Writer's own.
func (w *Writer) Data() []byte { return w.b }

// Uint appends an unsigned number.
func (w *Writer) Uint(v uint64) { w.b = binary.AppendUvarint(w.b, v) }

// Int appends a signed number.
func (w *Writer) Int(v int64) { w.b = binary.AppendVarint(w.b, v) }

// Bool appends one byte, 0 or 1.
func (w *Writer) Bool(v bool) {
	if v {
		w.b = append(w.b, 1)
		return
	}
	w.b = append(w.b, 0)
}

// Bytes appends a byte string with its length.
func (w *Writer) Bytes(v []byte) {
	w.Uint(uint64(len(v)))
	w.b = append(w.b, v...)
}

// String appends a text with its length.
func (w *Writer) String(v string) {
	w.Uint(uint64(len(v)))
	w.b = append(w.b, v...)
}

// Fixed appends bytes whose length both sides know.
func (w *Writer) Fixed(v []byte) { w.b = append(w.b, v...) }

// Strings appends a list of texts.
func (w *Writer) Strings(v []string) {
	w.Uint(uint64(len(v)))
	for _, s := range v {
		w.String(s)
	}
}

// Reader takes values off a byte slice in the order in which they were written.
type Reader struct {
	b   []byte
	err error
}

// NewReader reads from b, which must not change meanwhile.
func NewReader(b []byte) *Reader { return &Reader{b: b} }

// Fail records an error found by the caller; the first error stays.
func (r *Reader) Fail(err error) {
	if r.err == nil {
		r.err = err
	}
	r.b = nil
}

// Err returns the first error so far.
func (r *Reader) Err() error { return r.err }

// Left returns how many bytes have not been read; none after an error.
func (r *Reader) Left() int { return len(r.b) }

// Close returns the first error, or ErrTrailing when bytes are left.
func (r *Reader) Close() error {
	if r.err == nil && len(r.b) > 0 {
		r.err = ErrTrailing
	}
	return r.err
}

// Uint reads an unsigned number in its shortest form.
func (r *Reader) Uint() uint64 {
	v, n := binary.Uvarint(r.b)
	switch {
	case n == 0:
		r.Fail(ErrShort)
		return 0
	case n < 0 || n > 1 && r.b[n-1] == 0:
		r.Fail(fmt.Errorf("%w: number", ErrForm))
		return 0
	}
	r.b = r.b[n:]
	return v
}

// Uint32 reads an unsigned number that fits in 32 bits.
func (r *Reader) Uint32() uint32 {
	v := r.Uint()
	if v > 1<<32-1 {
		r.Fail(fmt.Errorf("%w: number over 32 bits", ErrForm))
		return 0
	}
	return uint32(v)
}

// Int reads a signed number.
func (r *Reader) Int() int64 {
	u := r.Uint()
	v := int64(u >> 1)
	if u&1 != 0 {
		v = ^v
	}
	return v
}

// Bool reads a truth value.
func (r *Reader) Bool() bool {
	b := r.Fixed(1)
	if len(b) == 0 {
		return false
	}
	if b[0] > 1 {
		r.Fail(fmt.Errorf("%w: truth value %d", ErrForm, b[0]))
	}
	return b[0] == 1
}

// Fixed reads n bytes. The result is part of the input.
func (r *Reader) Fixed(n int) []byte {
	if n < 0 || n > len(r.b) {
		r.Fail(ErrShort)
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

// Bytes reads a byte string of at most limit bytes, as a copy; nil when empty.
func (r *Reader) Bytes(limit int) []byte {
	v := r.Fixed(r.Count(limit))
	if len(v) == 0 {
		return nil
	}
	return append([]byte(nil), v...)
}

// String reads a text of at most limit bytes.
func (r *Reader) String(limit int) string { return string(r.Fixed(r.Count(limit))) }

// Count reads the length of a list or string, at most limit and never more
// than the bytes that are left, so that a forged count cannot make the caller
// allocate.
func (r *Reader) Count(limit int) int {
	v := r.Uint()
	if r.err != nil {
		return 0
	}
	if v > uint64(limit) {
		r.Fail(fmt.Errorf("%w: length %d over the limit of %d", ErrForm, v, limit))
		return 0
	}
	if v > uint64(len(r.b)) {
		r.Fail(ErrShort)
		return 0
	}
	return int(v)
}

// Strings reads a list of at most count texts of at most limit bytes each; nil
// when empty.
func (r *Reader) Strings(count, limit int) []string {
	n := r.Count(count)
	if n == 0 {
		return nil
	}
	out := make([]string, 0, n)
	for range n {
		out = append(out, r.String(limit))
	}
	return out
}
