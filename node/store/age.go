package store

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// ageFile holds the number of the directory's last start, beside the same
// number in the state.
const ageFile = "STARTS"

var (
	ageKey       = []byte("g/starts")
	rootKey      = []byte("g/root")
	condemnedKey = []byte("g/condemned")
)

// OutdatedError says that a data directory is older than what this node has told
// others. Nothing in it may be used: the node would contradict itself.
type OutdatedError struct {
	Dir string
	Why string
}

// Error says what gave it away and the next step.
func (e *OutdatedError) Error() string {
	return fmt.Sprintf("the data directory %s is older than what this node has promised: %s; was it restored from a copy, or a file of it deleted? "+
		"Do not start this node on it again: move the directory away, and join with a fresh one, the mesh replaces the replicas", e.Dir, e.Why)
}

// grow counts a start, in the state and then in the file. The count is the first
// write after the old write-ahead log was read and given up, so a state that
// lost its newest files, or was restored alone, is behind the file. The root is
// written at the first start only, so a state that has the newest writes, but
// lost what they rest upon, has none.
func (s *Store) grow() error {
	if why, ok, err := s.Get(condemnedKey); err != nil || ok {
		return errors.Join(err, &OutdatedError{Dir: s.dir, Why: string(why)})
	}
	in, err := s.number(s.db, ageKey, 1)
	if err != nil {
		return err
	}
	name := s.Dir(ageFile)
	text, err := os.ReadFile(name)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("read the number of starts: %w", err)
	}
	if err == nil {
		beside, err := strconv.ParseUint(strings.TrimSpace(string(text)), 10, 64)
		if err != nil {
			return &DamageError{Dir: s.dir, Key: ageFile, Why: fmt.Sprintf("it is no number: %.20q", text)}
		}
		if in[0] < beside {
			return &OutdatedError{Dir: s.dir, Why: fmt.Sprintf("its state is that of start %d, the directory has seen start %d", in[0], beside)}
		}
	}
	root, err := s.number(s.db, rootKey, 1)
	if err != nil {
		return err
	}
	if in[0] > 0 && root[0] == 0 {
		return &DamageError{Dir: s.dir, Key: keyName(rootKey), Why: "it is missing, and with it what was written before the last start; files of the database were deleted"}
	}
	s.age = Age{Root: root[0], Starts: in[0] + 1}
	b := s.NewBatch()
	if s.age.Run, err = draw(); err == nil && root[0] == 0 {
		if s.age.Root, err = draw(); err == nil {
			b.Set(rootKey, be64(s.age.Root))
		}
	}
	if err != nil {
		b.Close()
		return err
	}
	b.Set(ageKey, be64(s.age.Starts))
	if err := b.Commit(true); err != nil {
		return fmt.Errorf("count the start: %w", err)
	}
	return writeFile(name, strconv.FormatUint(s.age.Starts, 10)+"\n")
}

// draw returns a random number that is not 0.
func draw() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("read randomness: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]) | 1, nil
}

// Age tells a data directory from an older copy of itself. Of one root, starts
// only grow, and one start has one run; whoever has heard of a later start, or
// of another run of this one, knows that an older copy was restored.
type Age struct {
	Root   uint64 // drawn when the directory was made
	Starts uint64 // how often it was opened, this time included
	Run    uint64 // drawn at this opening
}

// Outdates says whether a directory of age a, once seen, shows that one of age b
// seen now is an older copy.
func (a Age) Outdates(b Age) bool {
	return a.Root == b.Root && (b.Starts < a.Starts || b.Starts == a.Starts && b.Run != a.Run)
}

// Age returns the age of this directory.
func (s *Store) Age() Age { return s.age }

// maxAges bounds the nodes whose ages are kept.
const maxAges = 20_000

// PeerAges returns the ages of other nodes' directories, by peer id.
func (s *Store) PeerAges() (map[string]Age, error) {
	out := map[string]Age{}
	err := s.Scan([]byte("s/"), func(key, val []byte) error {
		if len(val) != 24 {
			return s.damage(key, "it is no age")
		}
		at := func(i int) uint64 { return binary.BigEndian.Uint64(val[8*i:]) }
		out[string(key[2:])] = Age{Root: at(0), Starts: at(1), Run: at(2)}
		return nil
	})
	return out, err
}

// KeepPeerAge keeps the age of another node's directory, durably. More than
// maxAges nodes are not remembered beyond this start.
func (s *Store) KeepPeerAge(peer string, a Age, kept int) error {
	if kept > maxAges {
		return nil
	}
	b := s.NewBatch()
	b.Set([]byte("s/"+peer), be64(a.Root, a.Starts, a.Run))
	if err := b.Commit(true); err != nil {
		return fmt.Errorf("keep the age of %s: %w", peer, err)
	}
	return nil
}

// Condemn marks the directory as outdated, durably: every later Open fails with
// an *OutdatedError. It returns that error.
func (s *Store) Condemn(why string) error {
	b := s.NewBatch()
	b.Set(condemnedKey, []byte(why))
	return errors.Join(b.Commit(true), &OutdatedError{Dir: s.dir, Why: why})
}
