package store

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/cockroachdb/pebble/v2"
	"github.com/libp2p/go-libp2p/core/peer"
)

const (
	maxOffers = 10_000 // idempotency keys kept
	maxPeers  = 256    // peers kept for the next start
)

// ErrFull means that the table of idempotency keys is full of keys that have not
// expired.
var ErrFull = errors.New("too many idempotency keys are in use; try again later or without one")

// Genesis returns the encoded genesis of this node's network and the join
// secret, "" for an open network; false when the node has no network yet.
func (s *Store) Genesis() (raw []byte, secret string, ok bool, err error) {
	raw, ok, err = s.Get([]byte("g/raw"))
	if err != nil || !ok {
		return nil, "", false, err
	}
	sec, _, err := s.Get([]byte("g/secret"))
	return raw, string(sec), err == nil, err
}

// PutGenesis stores the network that this node founded or joined, durably. What
// fill adds is part of the same write; nil adds nothing. A directory has one
// network for ever: a second one is an error.
func (s *Store) PutGenesis(raw []byte, secret string, fill func(*Batch) error) error {
	if _, _, ok, err := s.Genesis(); err != nil || ok {
		return errors.Join(err, fmt.Errorf("store the genesis: %s belongs to a network already; use another --data-dir", s.dir))
	}
	b := s.NewBatch()
	defer b.Close()
	b.Set([]byte("g/raw"), raw)
	b.Set([]byte("g/secret"), []byte(secret))
	if fill != nil {
		if err := fill(b); err != nil {
			return fmt.Errorf("store the genesis: %w", err)
		}
	}
	if err := b.Commit(true); err != nil {
		return fmt.Errorf("store the genesis: %w", err)
	}
	return nil
}

// KeptReport is a worker's report that its shard has not acknowledged.
type KeptReport struct {
	Shard  uint32
	Report work.Report
}

func reportKey(k work.Key) []byte {
	key := append([]byte("w/"), k.Job[:]...)
	key = binary.BigEndian.AppendUint32(key, uint32(k.Task))
	key = binary.BigEndian.AppendUint32(key, k.Attempt)
	return binary.BigEndian.AppendUint64(key, k.Fence)
}

// PutReport keeps a report until DropReport.
func (b *Batch) PutReport(shard uint32, r work.Report) {
	b.Set(reportKey(r.Key), append(binary.BigEndian.AppendUint32(nil, shard), work.Encode(r)...))
}

// DropReport forgets a report; one that is not kept is no error.
func (b *Batch) DropReport(k work.Key) { b.Delete(reportKey(k)) }

// Reports returns the kept reports, ordered by key. Their number is bounded by
// the worker that keeps them.
func (s *Store) Reports() ([]KeptReport, error) {
	var out []KeptReport
	err := s.Scan([]byte("w/"), func(key, val []byte) error {
		if len(val) < 4 {
			return s.damage(key, "it is no report")
		}
		msg, err := work.Decode(append([]byte(nil), val[4:]...))
		if err != nil {
			return s.damage(key, err.Error())
		}
		r, ok := msg.(work.Report)
		if !ok {
			return s.damage(key, fmt.Sprintf("it holds a %T", msg))
		}
		out = append(out, KeptReport{Shard: binary.BigEndian.Uint32(val), Report: r})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("load the reports: %w", err)
	}
	return out, nil
}

func offerKey(key string) []byte {
	sum := sha256.Sum256([]byte(key))
	return append([]byte("o/"), sum[:]...)
}

// Offer returns the encoded offer that was made for an idempotency key and has
// not expired. A record that cannot be read counts as none, and is logged.
func (s *Store) Offer(key string) ([]byte, bool) {
	val, ok, err := s.Get(offerKey(key))
	if err != nil {
		s.log.Error("an idempotency key cannot be read; the request counts as new", "error", err)
		return nil, false
	}
	if !ok || s.expired(val) {
		return nil, false
	}
	return val[8:], true
}

// expired says whether an offer's record is over, or none.
func (s *Store) expired(val []byte) bool {
	return len(val) < 8 || int64(binary.BigEndian.Uint64(val)) <= s.now().UnixMilli()
}

// KeepOffer keeps an encoded offer for an idempotency key until it expires,
// durably, and returns it; when another request with the key was first, its
// offer is returned instead. It fails with ErrFull when the table is full.
func (s *Store) KeepOffer(key string, raw []byte, until time.Time) ([]byte, error) {
	s.offerMu.Lock()
	defer s.offerMu.Unlock()
	k := offerKey(key)
	old, there, err := s.Get(k)
	if err != nil {
		return nil, fmt.Errorf("keep an offer: %w", err)
	}
	if there && !s.expired(old) {
		return old[8:], nil
	}
	if !there && s.offers >= maxOffers {
		if err := s.sweep(); err != nil {
			return nil, err
		}
		if s.offers >= maxOffers {
			return nil, fmt.Errorf("keep an offer: %w", ErrFull)
		}
	}
	val := append(be64(uint64(until.UnixMilli())), raw...)
	if err := s.db.Set(k, seal(k, val), pebble.Sync); err != nil {
		return nil, fmt.Errorf("keep an offer: %w", err)
	}
	if !there {
		s.offers++
	}
	return raw, nil
}

// sweepOffers forgets the expired idempotency keys and counts the others.
func (s *Store) sweepOffers() error {
	s.offerMu.Lock()
	defer s.offerMu.Unlock()
	return s.sweep()
}

// sweep is sweepOffers for who holds offerMu.
func (s *Store) sweep() error {
	var over [][]byte
	count := 0
	err := s.Scan([]byte("o/"), func(key, val []byte) error {
		if s.expired(val) {
			over = append(over, append([]byte(nil), key...))
		} else {
			count++
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("sweep the idempotency keys: %w", err)
	}
	b := s.db.NewBatch()
	for _, key := range over {
		err = errors.Join(err, b.Delete(key, nil))
	}
	if err = errors.Join(err, b.Commit(pebble.NoSync)); err != nil {
		return fmt.Errorf("sweep the idempotency keys: %w", err)
	}
	s.offers = count
	return nil
}

// Peers returns the peers that the last run knew. They are a hint: what cannot
// be read is logged and left out.
func (s *Store) Peers() []peer.AddrInfo {
	val, ok, err := s.Get([]byte("p/list"))
	var out []peer.AddrInfo
	if err == nil && ok {
		err = json.Unmarshal(val, &out)
	}
	if err != nil {
		s.log.Warn("the peers of the last run cannot be read; starting without them", "error", err)
		return nil
	}
	return out
}

// PutPeers replaces the peers kept for the next start; at most 256 are. The
// write is not synced: a crash may lose it.
func (s *Store) PutPeers(peers []peer.AddrInfo) error {
	val, err := json.Marshal(peers[:min(len(peers), maxPeers)])
	if err != nil {
		return fmt.Errorf("keep the known peers: %w", err)
	}
	key := []byte("p/list")
	if err := s.db.Set(key, seal(key, val), pebble.NoSync); err != nil {
		return fmt.Errorf("keep the known peers: %w", err)
	}
	return nil
}
