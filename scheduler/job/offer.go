package job

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/ciro-network/ciro/scheduler/codec"
)

// ID names a job: SHA-256 over the offer's unsigned body. Its text form is 64
// lower-case hexadecimal digits.
type ID [32]byte

const hexDigits = "0123456789abcdef"

// String returns the one text form.
func (id ID) String() string {
	out := make([]byte, 0, 64)
	for _, b := range id {
		out = append(out, hexDigits[b>>4], hexDigits[b&15])
	}
	return string(out)
}

// Short returns the first twelve digits, for people.
func (id ID) Short() string { return id.String()[:12] }

// Shard returns the shard that a job belongs to among n shards.
func (id ID) Shard(n uint32) uint32 {
	return uint32(binary.BigEndian.Uint64(id[:8]) % uint64(n))
}

// ParseID reads the text form.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 64 {
		return id, fmt.Errorf("job id %q: need 64 hexadecimal digits", s)
	}
	for i := range id {
		hi, lo := unhex(s[2*i]), unhex(s[2*i+1])
		if hi > 15 || lo > 15 {
			return ID{}, fmt.Errorf("job id %q: need 64 hexadecimal digits", s)
		}
		id[i] = hi<<4 | lo
	}
	return id, nil
}

func unhex(c byte) byte {
	switch {
	case c >= '0' && c <= '9':
		return c - '0'
	case c >= 'a' && c <= 'f':
		return c - 'a' + 10
	}
	return 255
}

// Offer is a client's signed request to run a job. The core trusts the
// signature: whoever brings an Offer into the core has verified Signature with
// ClientKey over Body.
type Offer struct {
	Network   [32]byte // genesis hash of the network it is meant for
	ClientKey []byte   // Ed25519 public key, 32 bytes
	Nonce     [16]byte // chosen by the client; the same nonce is the same job
	NotAfter  int64    // unix milliseconds; refused afterwards
	Spec      []byte   // encoded Spec
	Signature []byte   // Ed25519 over Body
}

const offerVersion = 1

// Body returns the canonical unsigned bytes: what is signed and hashed.
func (o *Offer) Body() []byte {
	var w codec.Writer
	w.String("ciro-offer")
	w.Uint(offerVersion)
	w.Fixed(o.Network[:])
	w.Bytes(o.ClientKey)
	w.Fixed(o.Nonce[:])
	w.Int(o.NotAfter)
	w.Bytes(o.Spec)
	return w.Data()
}

// ID returns the job's id. Signing again does not change it.
func (o *Offer) ID() ID { return sha256.Sum256(o.Body()) }

// Encode returns the offer with its signature.
func (o *Offer) Encode() []byte {
	var w codec.Writer
	w.Bytes(o.Body())
	w.Bytes(o.Signature)
	return w.Data()
}

// DecodeOffer reads an offer and checks its form, not its signature.
func DecodeOffer(b []byte) (*Offer, error) {
	outer := codec.NewReader(b)
	body, sig := outer.Bytes(MaxSpecBytes+512), outer.Bytes(64)
	if err := outer.Close(); err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	r := codec.NewReader(body)
	if mark := r.String(16); mark != "ciro-offer" && r.Err() == nil {
		return nil, errors.New("offer: these bytes are no offer")
	}
	if v := r.Uint(); v != offerVersion && r.Err() == nil {
		return nil, fmt.Errorf("offer version %d is not known here; this node speaks %d", v, offerVersion)
	}
	o := &Offer{Signature: sig}
	copy(o.Network[:], r.Fixed(32))
	o.ClientKey = r.Bytes(32)
	copy(o.Nonce[:], r.Fixed(16))
	o.NotAfter, o.Spec = r.Int(), r.Bytes(MaxSpecBytes)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("offer: %w", err)
	}
	if len(o.ClientKey) != 32 || len(o.Signature) != 64 {
		return nil, errors.New("offer: need a 32-byte key and a 64-byte signature")
	}
	return o, nil
}

// CheckTime says whether the offer may be taken at now, a wall time.
func (o *Offer) CheckTime(now time.Time) error {
	left := time.UnixMilli(o.NotAfter).Sub(now)
	switch {
	case left < 0:
		return errors.New("the offer has expired; submit it again with a later notAfter")
	case left > MaxAhead+time.Minute:
		return fmt.Errorf("the offer's notAfter lies more than %v ahead; choose a nearer one", MaxAhead)
	}
	return nil
}

// decodeSpec reads the spec that the offer carries, with its owner.
func (o *Offer) decodeSpec() (*Spec, error) {
	s, err := DecodeSpec(o.Spec)
	if err == nil {
		s.Owner = fmt.Sprintf("%x", o.ClientKey)
	}
	return s, err
}
