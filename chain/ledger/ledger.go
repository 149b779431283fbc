package ledger

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/ciro-network/ciro/chain"
)

// Errors of a ledger.
var (
	// ErrMismatch means that two nodes disagree about an entry: an alarm.
	ErrMismatch = errors.New("the ledger's entry is another one")
	// ErrSignature means that an entry's signature is not its signer's.
	ErrSignature = errors.New("the signature is not the signer's")
)

// Store keeps a ledger's values by key. What Put wrote is durable when it
// returns, all of it or nothing.
type Store interface {
	Get(key []byte) ([]byte, bool, error)
	Put(pairs ...Pair) error
}

// Pair is one value to write.
type Pair struct{ Key, Value []byte }

// Verify checks a peer's signature over a message.
type Verify func(peer string, message, signature []byte) error

// Ledger is the ledgers of all shards of one network that this node keeps. Its
// methods may be called concurrently.
type Ledger struct {
	network [32]byte
	store   Store
	verify  Verify

	mu    sync.Mutex
	known map[uint32]*extent
}

// extent is what is here of one shard: the entries from low to tip, and the hash
// of the tip, which itself may be missing (low is then beyond it).
type extent struct {
	tip, low uint64
	hash     [32]byte
}

// New returns the ledger in a store.
func New(network [32]byte, store Store, verify Verify) *Ledger {
	return &Ledger{network: network, store: store, verify: verify, known: map[uint32]*extent{}}
}

func key(kind byte, shard uint32, rest ...byte) []byte {
	return append(binary.BigEndian.AppendUint32([]byte{kind}, shard), rest...)
}

func entryKey(shard uint32, seq uint64) []byte {
	return key('e', shard, binary.BigEndian.AppendUint64(nil, seq)...)
}

func (l *Ledger) extent(shard uint32) (*extent, error) {
	if x := l.known[shard]; x != nil {
		return x, nil
	}
	x := &extent{low: 1}
	raw, ok, err := l.store.Get(key('x', shard))
	switch {
	case err != nil:
		return nil, fmt.Errorf("ledger of shard %d: %w", shard, err)
	case ok && len(raw) != 48:
		return nil, fmt.Errorf("ledger of shard %d: its extent has %d bytes", shard, len(raw))
	case ok:
		x.tip, x.low = binary.BigEndian.Uint64(raw), binary.BigEndian.Uint64(raw[8:])
		copy(x.hash[:], raw[16:])
	}
	l.known[shard] = x
	return x, nil
}

func (x *extent) pair(shard uint32) Pair {
	b := binary.BigEndian.AppendUint64(nil, x.tip)
	b = binary.BigEndian.AppendUint64(b, x.low)
	return Pair{key('x', shard), append(b, x.hash[:]...)}
}

// Tip returns the number and hash of the newest entry of a shard; 0: none.
func (l *Ledger) Tip(shard uint32) (uint64, [32]byte, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, err := l.extent(shard)
	if err != nil {
		return 0, [32]byte{}, err
	}
	return x.tip, x.hash, nil
}

// Entry returns an entry, signed or not yet; false when it is not here.
func (l *Ledger) Entry(shard uint32, seq uint64) (*Signed, bool, error) {
	raw, ok, err := l.store.Get(entryKey(shard, seq))
	if err != nil || !ok {
		return nil, false, err
	}
	s, err := Decode(raw)
	if err != nil {
		return nil, false, fmt.Errorf("entry %d of shard %d: %w", seq, shard, err)
	}
	return s, true, nil
}

// Append makes the entry of the next batch. The same batch again returns the
// entry that it has.
func (l *Ledger) Append(b chain.Batch) (*Signed, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.append(b)
}

func (l *Ledger) append(b chain.Batch) (*Signed, error) {
	x, err := l.extent(b.Shard)
	if err != nil {
		return nil, err
	}
	if b.Network != l.network {
		return nil, fmt.Errorf("append to the ledger: the batch is another network's")
	}
	if b.Seq <= x.tip {
		old, ok, err := l.Entry(b.Shard, b.Seq)
		switch {
		case err != nil:
			return nil, err
		case !ok:
			return nil, fmt.Errorf("entry %d of shard %d: %w", b.Seq, b.Shard, chain.ErrUnknown)
		case (&Entry{b, old.Previous}).Hash() != old.Hash():
			return nil, fmt.Errorf("entry %d of shard %d: %w", b.Seq, b.Shard, chain.ErrConflict)
		}
		return old, nil
	}
	if b.Seq != x.tip+1 {
		return nil, fmt.Errorf("entry %d of shard %d, the tip is %d: %w", b.Seq, b.Shard, x.tip, chain.ErrGap)
	}
	if last, ok, err := l.Entry(b.Shard, x.tip); err != nil {
		return nil, err
	} else if ok && b.Term < last.Term {
		return nil, fmt.Errorf("entry %d of shard %d: %w", b.Seq, b.Shard, chain.ErrStale)
	}
	s := &Signed{Entry: Entry{Batch: b, Previous: x.hash}}
	if x.tip == 0 {
		s.Previous = [32]byte{}
	}
	next := extent{tip: b.Seq, low: min(x.low, b.Seq), hash: s.Hash()}
	if err := l.put(s, &next); err != nil {
		return nil, err
	}
	*x = next
	return s, nil
}

// put writes an entry and the extent, and notes whom the entry is the first to
// name.
func (l *Ledger) put(s *Signed, x *extent) error {
	pairs := []Pair{{entryKey(s.Shard, s.Seq), s.Encode()}, x.pair(s.Shard)}
	for _, m := range s.Members {
		k := key('m', s.Shard, []byte(m)...)
		raw, ok, err := l.store.Get(k)
		if err != nil {
			return fmt.Errorf("entry %d of shard %d: %w", s.Seq, s.Shard, err)
		}
		if !ok || len(raw) != 8 || binary.BigEndian.Uint64(raw) > s.Seq {
			pairs = append(pairs, Pair{k, binary.BigEndian.AppendUint64(nil, s.Seq)})
		}
	}
	if err := l.store.Put(pairs...); err != nil {
		return fmt.Errorf("entry %d of shard %d: %w", s.Seq, s.Shard, err)
	}
	return nil
}

// Named returns the number of the first entry here that names a peer.
func (l *Ledger) Named(shard uint32, peer string) (uint64, bool, error) {
	raw, ok, err := l.store.Get(key('m', shard, []byte(peer)...))
	if err != nil || !ok || len(raw) != 8 {
		return 0, false, err
	}
	return binary.BigEndian.Uint64(raw), true, nil
}

// Seal is the word of a shard's leader about an entry, as the shard's log has it.
type Seal struct {
	Shard     uint32
	Seq       uint64
	Root      [32]byte
	Hash      [32]byte
	Signer    string
	Signature []byte
	Reference string
}

// Seal puts the leader's word to an entry. ErrMismatch says that the leader
// anchored something else than this node made of the log; ErrSignature that the
// word is not its signer's. ErrUnknown: the entry is not here yet.
func (l *Ledger) Seal(s Seal) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	e, ok, err := l.Entry(s.Shard, s.Seq)
	switch {
	case err != nil:
		return err
	case !ok:
		return fmt.Errorf("seal entry %d of shard %d: %w", s.Seq, s.Shard, chain.ErrUnknown)
	case e.Hash() != s.Hash || e.Root != s.Root:
		return fmt.Errorf("entry %d of shard %d has hash %x and root %v here, and %x and %x by its leader %s: %w",
			s.Seq, s.Shard, e.Hash(), e.Root, s.Hash, s.Root, s.Signer, ErrMismatch)
	}
	if err := l.verify(s.Signer, Message(s.Hash, s.Reference), s.Signature); err != nil {
		return fmt.Errorf("entry %d of shard %d, signer %s: %w: %w", s.Seq, s.Shard, s.Signer, ErrSignature, err)
	}
	e.Signer, e.Signature, e.Reference = s.Signer, s.Signature, s.Reference
	if err := l.store.Put(Pair{entryKey(s.Shard, s.Seq), e.Encode()}); err != nil {
		return fmt.Errorf("seal entry %d of shard %d: %w", s.Seq, s.Shard, err)
	}
	return nil
}

// Base makes the ledger go on behind an entry that is not here: that of a
// snapshot. What lies before is wanted then.
func (l *Ledger) Base(shard uint32, seq uint64, hash [32]byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, err := l.extent(shard)
	if err != nil || seq <= x.tip {
		return err
	}
	next := extent{tip: seq, low: seq + 1, hash: hash}
	if err := l.store.Put(next.pair(shard)); err != nil {
		return fmt.Errorf("ledger of shard %d: %w", shard, err)
	}
	*x = next
	return nil
}

// Want returns the newest entry that is missing and the hash that it must have;
// false when none is.
func (l *Ledger) Want(shard uint32) (seq uint64, hash [32]byte, missing bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, err := l.extent(shard)
	if err != nil || x.low == 1 {
		return 0, hash, false, err
	}
	hash, err = l.expected(shard, x)
	return x.low - 1, hash, err == nil, err
}

// expected is the hash of the entry before low.
func (l *Ledger) expected(shard uint32, x *extent) ([32]byte, error) {
	if x.low > x.tip {
		return x.hash, nil
	}
	e, ok, err := l.Entry(shard, x.low)
	if err != nil || !ok {
		return [32]byte{}, errors.Join(err, fmt.Errorf("ledger of shard %d: entry %d is missing although it was here", shard, x.low))
	}
	return e.Previous, nil
}

// Forget says that what is here up to an entry cannot be relied on: it is wanted
// from others again. What they do not have to send, since it fits, is taken back.
func (l *Ledger) Forget(shard uint32, seq uint64) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, err := l.extent(shard)
	if err != nil || seq < x.low {
		return err
	}
	next := extent{tip: x.tip, low: min(seq, x.tip) + 1, hash: x.hash}
	if err := l.store.Put(next.pair(shard)); err != nil {
		return fmt.Errorf("ledger of shard %d: %w", shard, err)
	}
	*x = next
	return nil
}

// Audit reads the ledger from an entry downwards, 0 being the newest, at most n
// entries of it, and returns where to go on, 0 when nothing is left. Entries that
// are gone, or up to final have no signer, are wanted from then on. ErrMismatch
// says that the entry returned is not what the one after it names.
func (l *Ledger) Audit(shard uint32, from, final uint64, n int) (next uint64, err error) {
	l.mu.Lock()
	x, err := l.extent(shard)
	if err != nil {
		l.mu.Unlock()
		return 0, err
	}
	at := *x
	l.mu.Unlock()
	want, seq := at.hash, at.tip
	if from > 0 && from < at.tip {
		after, ok, err := l.Entry(shard, from+1)
		if err != nil || !ok {
			return 0, err // it was here a moment ago: forgotten since
		}
		want, seq = after.Previous, from
	}
	for ; seq >= at.low && n > 0; n-- {
		e, ok, err := l.Entry(shard, seq)
		switch {
		case err != nil:
			return seq, err
		case !ok:
			return 0, l.Forget(shard, seq)
		case e.Hash() != want:
			return seq, fmt.Errorf("entry %d of shard %d has hash %x, and what follows it names %x: %w", seq, shard, e.Hash(), want, ErrMismatch)
		case e.Signer == "" && seq <= final:
			return 0, l.Forget(shard, seq)
		}
		want, seq = e.Previous, seq-1
	}
	if seq < at.low {
		return 0, nil
	}
	return seq, nil
}

// fillAtOnce bounds how many entries that are here already one Fill walks over.
const fillAtOnce = 4096

// Fill takes the wanted entry from another voter. ErrMismatch says that it is
// not the one that the ledger goes on from.
func (l *Ledger) Fill(s *Signed) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	x, err := l.extent(s.Shard)
	if err != nil {
		return err
	}
	if x.low == 1 || s.Seq != x.low-1 {
		return fmt.Errorf("fill in entry %d of shard %d: it is not the one wanted", s.Seq, s.Shard)
	}
	want, err := l.expected(s.Shard, x)
	if err != nil {
		return err
	}
	if s.Hash() != want || s.Network != l.network {
		return fmt.Errorf("fill in entry %d of shard %d: %w", s.Seq, s.Shard, ErrMismatch)
	}
	if err := l.verify(s.Signer, Message(want, s.Reference), s.Signature); err != nil {
		return fmt.Errorf("fill in entry %d of shard %d, signer %s: %w: %w", s.Seq, s.Shard, s.Signer, ErrSignature, err)
	}
	next := extent{tip: x.tip, low: s.Seq, hash: x.hash}
	before := s.Previous
	for range fillAtOnce { // a ledger that was here before the gap joins up again
		older, ok, err := l.Entry(s.Shard, next.low-1)
		if err != nil || !ok || older.Hash() != before || older.Signer == "" {
			break
		}
		next.low, before = older.Seq, older.Previous
	}
	if err := l.put(s, &next); err != nil {
		return err
	}
	*x = next
	return nil
}
