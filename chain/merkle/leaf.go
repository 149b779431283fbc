package merkle

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"

	"github.com/consensys/gnark-crypto/ecc/stark-curve/fp"
)

// Hash is a field element as 32 bytes, most significant first. Its text is 0x
// and 64 lower-case digits.
type Hash [32]byte

// MarshalText implements encoding.TextMarshaler.
func (h Hash) MarshalText() ([]byte, error) { return []byte(h.String()), nil }

// String returns the text form.
func (h Hash) String() string { return "0x" + hex.EncodeToString(h[:]) }

// UnmarshalText reads the text form; what is no field element is refused.
func (h *Hash) UnmarshalText(text []byte) error {
	if len(text) != 66 || string(text[:2]) != "0x" {
		return fmt.Errorf("hash %.70q: need 0x and 64 hexadecimal digits", text)
	}
	if _, err := hex.Decode(h[:], text[2:]); err != nil || h.String() != string(text) {
		return fmt.Errorf("hash %.70q: need lower-case hexadecimal digits", text)
	}
	_, err := h.element()
	return err
}

func (h Hash) element() (fp.Element, error) {
	var e fp.Element
	if err := e.SetBytesCanonical(h[:]); err != nil {
		return e, fmt.Errorf("hash %v is no element of the field: %w", h, err)
	}
	return e, nil
}

func hashOf(e *fp.Element) Hash { return e.Bytes() }

// Digest is what remains of a SHA-256 in a field element: its first 31 bytes.
type Digest [31]byte

// MarshalText implements encoding.TextMarshaler: 62 hexadecimal digits.
func (d Digest) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, d[:]), nil }

// UnmarshalText reads the text form.
func (d *Digest) UnmarshalText(text []byte) error {
	if len(text) != 62 {
		return fmt.Errorf("digest %.70q: need 62 hexadecimal digits", text)
	}
	if _, err := hex.Decode(d[:], text); err != nil || hex.EncodeToString(d[:]) != string(text) {
		return fmt.Errorf("digest %.70q: need lower-case hexadecimal digits", text)
	}
	return nil
}

func (d *Digest) element() fp.Element {
	var e fp.Element
	e.SetBytes(d[:])
	return e
}

// Cut returns the first 31 bytes of a SHA-256.
func Cut(sum [32]byte) Digest { return Digest(sum[:31]) }

// The kinds of records.
const (
	Assignment = 1
	Completion = 2
)

// Leaf is one record as plain values; see the package documentation for what
// each is.
type Leaf struct {
	Kind    uint8
	Shard   uint32
	Term    uint64
	Seq     uint64
	Job     [32]byte
	Task    int32 // -1 is the gather task
	Attempt uint32
	Worker  string
	Spec    Digest
	Exit    uint32 // the rest is a completion's
	Output  string
	Prints  [32]byte
}

// Hash returns the record's leaf.
func (l *Leaf) Hash() Hash {
	var in [12]fp.Element
	in[0] = word("leaf-v1")
	for i, v := range []uint64{uint64(l.Kind), uint64(l.Shard), l.Term, l.Seq} {
		in[1+i].SetUint64(v)
	}
	in[5].SetBytes(l.Job[:16])
	in[6].SetBytes(l.Job[16:])
	in[7].SetUint64(uint64(int64(l.Task) + 1))
	in[8].SetUint64(uint64(l.Attempt))
	worker := Cut(sha256.Sum256([]byte(l.Worker)))
	in[9], in[10] = worker.element(), l.Spec.element()
	if l.Kind == Completion {
		result := l.result()
		in[11] = result.element()
	}
	h := array(in[:]...)
	return hashOf(&h)
}

func (l *Leaf) result() Digest {
	b := append([]byte(nil), "ciro-result-v1"...)
	b = binary.BigEndian.AppendUint32(b, l.Exit)
	b = binary.BigEndian.AppendUint32(b, uint32(len(l.Output)))
	b = append(b, l.Output...)
	return Cut(sha256.Sum256(append(b, l.Prints[:]...)))
}
