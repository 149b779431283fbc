package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
	ds "github.com/ipfs/go-datastore"
	pebbleds "github.com/ipfs/go-ds-pebble"
)

// Format is the version of the data directory that this package writes.
const Format = 1

const (
	stateCache = 16 << 20 // bytes of block cache of each database
	blobCache  = 16 << 20
	memTable   = 4 << 20
	openFiles  = 256
)

// Options of Open. The zero value is usable.
type Options struct {
	Log *slog.Logger     // of the databases; nil discards
	Now func() time.Time // the clock that idempotency keys expire by; nil is time.Now
	FS  vfs.FS           // below both databases, to make a disk that fails; nil is the machine's
	// Fail is told, from any goroutine, in Open too, of the first change on the
	// disk that failed: a *DiskError. It must end the process. nil panics.
	Fail func(error)
}

// Store is an open data directory. Make one with Open, end it with Close.
type Store struct {
	dir   string
	age   Age
	log   *slog.Logger
	now   func() time.Time
	fs    vfs.FS
	fail  func(error)
	lock  *os.File
	db    *pebble.DB
	blobs *pebbleds.Datastore

	mu   sync.Mutex
	last map[uint32]uint64 // highest stored log index by shard, where known

	offerMu sync.Mutex // one KeepOffer at a time, its write included: the first of two must be on disk
	offers  int        // kept idempotency keys
}

// DamageError is a stored value that is not what was written.
type DamageError struct {
	Dir string // data directory
	Key string // readable
	Why string
}

// Error names the key and the next step.
func (e *DamageError) Error() string {
	return fmt.Sprintf("%s in %s is damaged: %s; do not start this node on it again: move the directory away, and join with a fresh one, the mesh replaces the replicas", e.Key, e.Dir, e.Why)
}

// DiskError is a change on the disk that failed under a database.
type DiskError struct {
	Path string
	Err  error
}

// Unwrap returns the cause.
func (e *DiskError) Unwrap() error { return e.Err }

// Error names the cause and the next step.
func (e *DiskError) Error() string {
	next := "see to the disk"
	if noRoom(e.Err) {
		next = "free some space"
	}
	return fmt.Sprintf("the disk under %s failed: %v; what this node has acknowledged is there on the next start: %s, then start it again", e.Path, e.Err, next)
}

func noRoom(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }

// Open takes a data directory, and makes one if there is none. It fails when
// another process has it, when a newer ciro wrote it, and when it is damaged.
func Open(dir string, o Options) (*Store, error) {
	s := &Store{dir: dir, log: o.Log, now: o.Now, fs: o.FS, fail: o.Fail, last: make(map[uint32]uint64)}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.now == nil {
		s.now = time.Now
	}
	if s.fs == nil {
		s.fs = vfs.Default
	}
	s.fs = failStop{s.fs, s}
	if s.fail == nil {
		s.fail = func(err error) { panic(err) }
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data directory: %w", err)
	}
	var err error
	if s.lock, err = takeLock(dir); err != nil {
		return nil, err
	}
	if err := s.open(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open() error {
	if err := checkVersion(s.dir); err != nil {
		return err
	}
	for _, name := range []string{"cache", "tmp"} {
		if err := os.MkdirAll(s.Dir(name), 0o700); err != nil {
			return fmt.Errorf("make %s: %w", s.Dir(name), err)
		}
	}
	db, err := pebble.Open(s.Dir("state"), s.databaseOptions("state", stateCache))
	if err != nil {
		return fmt.Errorf("open the state in %s: %w; if the directory is damaged, move it away and join again with a fresh one", s.Dir("state"), err)
	}
	s.db = db
	if err := s.grow(); err != nil {
		return err
	}
	blobs, err := pebbleds.NewDatastore(s.Dir("blobs"), pebbleds.WithPebbleOpts(s.databaseOptions("blobs", blobCache)))
	if err != nil {
		return fmt.Errorf("open the content in %s: %w; it may be moved away, the node fetches again what it needs", s.Dir("blobs"), err)
	}
	s.blobs = blobs
	return s.sweepOffers()
}

func (s *Store) databaseOptions(name string, cache int64) *pebble.Options {
	return &pebble.Options{
		FS:        s.fs,
		CacheSize: cache, MemTableSize: memTable, MaxOpenFiles: openFiles,
		FormatMajorVersion: pebble.FormatNewest, Logger: pebbleLog{s.log.With("database", name)},
	}
}

// pebbleLog passes what pebble says to slog.
type pebbleLog struct{ log *slog.Logger }

// Infof reports flushes and compactions, which interest nobody by day.
func (l pebbleLog) Infof(format string, args ...any) {
	l.log.Debug("pebble", "text", fmt.Sprintf(format, args...))
}

// Errorf reports what pebble survives.
func (l pebbleLog) Errorf(format string, args ...any) {
	l.log.Error("pebble", "text", fmt.Sprintf(format, args...))
}

// Fatalf must not return: pebble has found its disk or itself broken.
func (l pebbleLog) Fatalf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	l.log.Error("database cannot go on", "text", text)
	panic("pebble: " + text)
}

// Close ends both databases and gives the directory back. Batches that are
// not committed must be closed before.
func (s *Store) Close() error {
	var errs []error
	if s.blobs != nil {
		errs = append(errs, s.blobs.Close())
		s.blobs = nil
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
		s.db = nil
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
		s.lock = nil
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("close %s: %w", s.dir, err)
	}
	return nil
}

// Blobs is the datastore of content. Its writes are durable after its Sync.
func (s *Store) Blobs() ds.Batching { return s.blobs }

// Dir is the path of a name in the data directory, as in Dir("cache").
func (s *Store) Dir(name string) string { return filepath.Join(s.dir, name) }

// Get returns a copy of the value of a key, and whether there is one.
func (s *Store) Get(key []byte) ([]byte, bool, error) { return s.get(s.db, key) }

// get reads from the database, or from a batch over it.
func (s *Store) get(r pebble.Reader, key []byte) ([]byte, bool, error) {
	raw, closer, err := r.Get(key)
	if errors.Is(err, pebble.ErrNotFound) {
		return nil, false, nil
	}
	if err != nil {
		return nil, false, fmt.Errorf("read %s: %w", keyName(key), err)
	}
	val, err := s.open1(key, raw)
	if err == nil {
		val = bytes.Clone(val)
	}
	return val, err == nil, errors.Join(err, closer.Close())
}

// Scan calls each for every key with a prefix, in the order of the keys, until
// it returns an error. Key and value are valid during the call only.
func (s *Store) Scan(prefix []byte, each func(key, val []byte) error) error {
	bounds := &pebble.IterOptions{LowerBound: prefix, UpperBound: after(prefix)}
	if len(prefix) == 0 {
		bounds.LowerBound = nil // pebble wants no bound rather than an empty one
	}
	it, err := s.db.NewIter(bounds)
	if err != nil {
		return fmt.Errorf("scan %s: %w", keyName(prefix), err)
	}
	for it.First(); it.Valid() && err == nil; it.Next() {
		var val []byte
		if val, err = s.open1(it.Key(), it.Value()); err == nil {
			err = each(it.Key(), val)
		}
	}
	return errors.Join(err, it.Error(), it.Close())
}

// after is the first key behind all that have the prefix.
func after(prefix []byte) []byte {
	end := bytes.Clone(prefix)
	for i := len(end) - 1; i >= 0; i-- {
		if end[i]++; end[i] != 0 {
			return end[:i+1]
		}
	}
	return nil // no upper bound
}

// seal puts the checksum before a value.
func seal(key, val []byte) []byte {
	out := make([]byte, 4, 4+len(val))
	binary.LittleEndian.PutUint32(out, checksum(key, val))
	return append(out, val...)
}

func checksum(key, val []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli) // made once by the library
	return crc32.Update(crc32.Update(0, table, key), table, val)
}

// open1 checks a stored value and returns it without its checksum.
func (s *Store) open1(key, raw []byte) ([]byte, error) {
	if len(raw) < 4 || binary.LittleEndian.Uint32(raw) != checksum(key, raw[4:]) {
		return nil, s.damage(key, "its checksum does not match")
	}
	return raw[4:], nil
}

func (s *Store) damage(key []byte, why string) error {
	return &DamageError{Dir: s.dir, Key: keyName(key), Why: why}
}

// keyName is the readable form of a key.
func keyName(key []byte) string {
	if rest, ok := bytes.CutPrefix(key, []byte("r/")); ok && len(rest) >= 5 {
		shard, rest := binary.BigEndian.Uint32(rest), rest[5:]
		if index, ok := bytes.CutPrefix(rest, []byte("log/")); ok && len(index) == 8 {
			return fmt.Sprintf("r/%d/log/%d", shard, binary.BigEndian.Uint64(index))
		}
		return fmt.Sprintf("r/%d/%s", shard, rest)
	}
	return strings.Trim(strconv.Quote(string(key)), `"`)
}
