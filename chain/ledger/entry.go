package ledger

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/ciro-network/ciro/chain"
)

// Bounds of an entry.
const (
	MaxMembers   = 64
	maxPeer      = 128
	maxSignature = 128
	maxReference = 256
	maxEntry     = 512 + MaxMembers*(maxPeer+2) + maxPeer + maxSignature + maxReference
)

const (
	entryMark = "ciro-entry\x01"
	signMark  = "ciro-anchor\x01"
)

// Entry is one entry of a shard's ledger.
type Entry struct {
	chain.Batch
	Previous [32]byte // hash of the entry before; zero in the first
}

// Signed is an entry with the word of the node that had it anchored. An empty
// Signer means that nobody has yet.
type Signed struct {
	Entry
	Signer    string // peer id
	Signature []byte
	Reference string
}

// Encode returns the entry's one binary form: fixed fields most significant byte
// first, lists and texts with their length before them in two bytes.
func (e *Entry) Encode() []byte {
	b := append([]byte(nil), entryMark...)
	b = append(b, e.Network[:]...)
	b = binary.BigEndian.AppendUint32(b, e.Shard)
	for _, v := range []uint64{e.Seq, e.Term, e.First, e.Count, uint64(e.At)} {
		b = binary.BigEndian.AppendUint64(b, v)
	}
	b = append(b, e.Root[:]...)
	b = append(b, e.Previous[:]...)
	b = binary.BigEndian.AppendUint16(b, uint16(len(e.Members)))
	for _, m := range e.Members {
		b = appendText(b, m)
	}
	return b
}

// Hash is the entry's hash: it covers all but the signature.
func (e *Entry) Hash() [32]byte { return sha256.Sum256(e.Encode()) }

// Message returns what is signed: the entry's hash and the anchor's reference.
func Message(hash [32]byte, reference string) []byte {
	b := append([]byte(signMark), hash[:]...)
	return appendText(b, reference)
}

// Encode returns the signed entry's one binary form.
func (s *Signed) Encode() []byte {
	b := s.Entry.Encode()
	b = appendText(b, s.Signer)
	b = appendText(b, string(s.Signature))
	return appendText(b, s.Reference)
}

func appendText(b []byte, s string) []byte {
	return append(binary.BigEndian.AppendUint16(b, uint16(len(s))), s...)
}

// reader takes fields off bytes and remembers that they ran out.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n > len(r.b) {
		r.bad, r.b = true, nil
		return make([]byte, n)
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) u64() uint64 { return binary.BigEndian.Uint64(r.take(8)) }

func (r *reader) text(limit int) string {
	n := int(binary.BigEndian.Uint16(r.take(2)))
	if n > limit {
		r.bad = true
		return ""
	}
	return string(r.take(n))
}

// Decode reads a signed entry. It checks the form, not what it says.
func Decode(raw []byte) (*Signed, error) {
	if len(raw) > maxEntry {
		return nil, fmt.Errorf("ledger entry: %d bytes are over %d", len(raw), maxEntry)
	}
	body, ok := bytes.CutPrefix(raw, []byte(entryMark))
	if !ok {
		return nil, errors.New("ledger entry: these bytes are none, or of a version that is not known here")
	}
	r := &reader{b: body}
	s := &Signed{}
	copy(s.Network[:], r.take(32))
	s.Shard = binary.BigEndian.Uint32(r.take(4))
	s.Seq, s.Term, s.First, s.Count, s.At = r.u64(), r.u64(), r.u64(), r.u64(), int64(r.u64())
	copy(s.Root[:], r.take(32))
	copy(s.Previous[:], r.take(32))
	n := int(binary.BigEndian.Uint16(r.take(2)))
	for i := 0; i < n && n <= MaxMembers && !r.bad; i++ {
		s.Members = append(s.Members, r.text(maxPeer))
	}
	s.Signer = r.text(maxPeer)
	if sig := r.text(maxSignature); sig != "" {
		s.Signature = []byte(sig)
	}
	s.Reference = r.text(maxReference)
	switch {
	case r.bad || n > MaxMembers || len(r.b) > 0:
		return nil, errors.New("ledger entry: its length does not fit its fields")
	case s.Seq == 0:
		return nil, errors.New("ledger entry: entries count from 1")
	}
	return s, nil
}

// reference names an entry of the embedded ledger.
func reference(hash [32]byte) string { return "ledger:" + hex.EncodeToString(hash[:16]) }
