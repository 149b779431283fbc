package store

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/cockroachdb/pebble/v2"
	ds "github.com/ipfs/go-datastore"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/multiformats/go-multiaddr"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	writerFromEnvironment()
	goleak.VerifyTestMain(m)
}

func open(t testing.TB, dir string) *Store {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// reopen closes a store and opens its directory again.
func reopen(t testing.TB, s *Store) *Store {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return open(t, s.dir)
}

func commit(t testing.TB, s *Store, fill func(b *Batch)) {
	t.Helper()
	if err := try(s, fill); err != nil {
		t.Fatal(err)
	}
}

func try(s *Store, fill func(b *Batch)) error {
	b := s.NewBatch()
	fill(b)
	return b.Commit(true)
}

func TestBatch(t *testing.T) {
	s := open(t, t.TempDir())
	commit(t, s, func(b *Batch) {
		for _, k := range []string{"a/1", "a/2", "a/3", "b/1", "\xff\xff"} {
			b.Set([]byte(k), []byte("value of "+k))
		}
		b.Delete([]byte("a/2"))
		b.Delete([]byte("nothing"))
	})
	commit(t, s, func(b *Batch) { b.DeleteRange([]byte("a/3"), []byte("b/1")) })
	s = reopen(t, s)
	if v, ok, err := s.Get([]byte("a/1")); err != nil || !ok || string(v) != "value of a/1" {
		t.Errorf("a/1: %q, %v, %v", v, ok, err)
	}
	if _, ok, err := s.Get([]byte("a/3")); ok || err != nil {
		t.Errorf("a/3 is there: %v", err)
	}
	for prefix, want := range map[string]string{"a/": "a/1 ", "": "a/1 b/1 \xff\xff ", "\xff": "\xff\xff ", "c": ""} {
		var got string
		err := s.Scan([]byte(prefix), func(k, v []byte) error {
			if strings.HasPrefix(string(k), "g/") {
				return nil // the store's own
			}
			if string(v) != "value of "+string(k) {
				t.Errorf("%q has %q", k, v)
			}
			got += string(k) + " "
			return nil
		})
		if err != nil || got != want {
			t.Errorf("scan %q: %q, %v", prefix, got, err)
		}
	}
	stop := errors.New("enough")
	if err := s.Scan(nil, func(_, _ []byte) error { return stop }); !errors.Is(err, stop) {
		t.Errorf("scan: %v", err)
	}
}

func TestBatchEnds(t *testing.T) {
	s := open(t, t.TempDir())
	b := s.NewBatch()
	b.Set([]byte("k"), nil)
	b.Close()
	b.Close()
	if err := b.Commit(true); err == nil {
		t.Error("a closed batch commits")
	}
	if _, ok, _ := s.Get([]byte("k")); ok {
		t.Error("a closed batch wrote")
	}
	b = s.NewBatch()
	b.Set([]byte("k"), nil)
	b.PutEntries(1, 0, [][]byte{nil}) // wrong
	if err := b.Commit(true); err == nil {
		t.Error("a wrong batch commits")
	}
	if _, ok, _ := s.Get([]byte("k")); ok {
		t.Error("a wrong batch wrote")
	}
	if err := s.NewBatch().Commit(true); err != nil {
		t.Errorf("empty batch: %v", err)
	}
}

func TestSecondOpener(t *testing.T) {
	s := open(t, t.TempDir())
	_, err := Open(s.dir, Options{})
	if want := "another ciro uses the data directory " + s.dir + " (pid " + strconv.Itoa(os.Getpid()) + ")"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v", err)
	}
	reopen(t, s)
}

func TestVersions(t *testing.T) {
	for text, want := range map[string]string{
		"2\n": "has format 2, written by a newer ciro; this one knows format 1: update it", "x": "is no format version", "0": "is no format version", "": "is no format version",
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "VERSION"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", text, err)
		}
		if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
			t.Errorf("%q: state was made", text)
		}
	}
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.dir, "VERSION")); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(s.dir, Options{}); err == nil || !strings.Contains(err.Error(), "has state but no VERSION") {
		t.Errorf("no VERSION: %v", err)
	}
}

func TestBlobs(t *testing.T) {
	s, key := open(t, t.TempDir()), ds.NewKey("/x/y")
	if err := s.Blobs().Put(t.Context(), key, []byte("z")); err != nil {
		t.Fatal(err)
	}
	if err := s.Blobs().Sync(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if v, err := s.Blobs().Get(t.Context(), key); err != nil || string(v) != "z" {
		t.Errorf("%q, %v", v, err)
	}
	if _, ok, _ := s.Get([]byte("/x/y")); ok {
		t.Error("content is in the state")
	}
}

func TestDamage(t *testing.T) {
	for name, hurt := range map[string]func(raw []byte) []byte{
		"flipped": func(raw []byte) []byte { raw[len(raw)-1] ^= 1; return raw },
		"cut":     func(raw []byte) []byte { return raw[:len(raw)-1] },
		"short":   func([]byte) []byte { return []byte{1} },
		"moved":   func([]byte) []byte { return seal(logKey(3, 2), entry(1, 1)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, t.TempDir())
			commit(t, s, func(b *Batch) {
				b.PutReplica(3, 1, 9)
				b.PutEntries(3, 1, entries(1, 1, 1))
			})
			raw, closer, err := s.db.Get(logKey(3, 1))
			if err != nil {
				t.Fatal(err)
			}
			raw = hurt(bytes.Clone(raw))
			if err := errors.Join(closer.Close(), s.db.Set(logKey(3, 1), raw, pebble.Sync)); err != nil {
				t.Fatal(err)
			}
			_, err = s.LoadReplicas()
			var damage *DamageError
			if !errors.As(err, &damage) || damage.Key != "r/3/log/1" || !strings.Contains(err.Error(), "join with a fresh one") {
				t.Errorf("LoadReplicas: %v", err)
			}
			if _, ok, err := s.Get(logKey(3, 1)); ok || !errors.As(err, &damage) {
				t.Errorf("Get: %v, %v", ok, err)
			}
		})
	}
}

// copyDir copies a store's files as a crash would leave them.
func copyDir(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	return to
}

// wal returns the newest write-ahead log of a state directory.
func wal(t *testing.T, dir string) string {
	t.Helper()
	var newest string
	err := filepath.WalkDir(filepath.Join(dir, "state"), func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".log") {
			newest = p
		}
		return err
	})
	if err != nil || newest == "" {
		t.Fatalf("no write-ahead log: %v", err)
	}
	return newest
}

// TestTornLog cuts and overwrites the end of the write-ahead log in many
// places: the store opens with whole batches from the beginning on, or says
// what is wrong; it never shows half a batch.
func TestTornLog(t *testing.T) {
	s := open(t, t.TempDir())
	const batches, each = 20, 3
	commit(t, s, func(b *Batch) { b.PutReplica(1, 1, 1) })
	for i := range batches {
		commit(t, s, func(b *Batch) {
			b.PutEntries(1, uint64(1+i*each), entries(uint64(1+i*each), 1, each))
			b.PutHardState(1, []byte{byte(i)})
		})
	}
	info, err := os.Stat(wal(t, s.dir))
	if err != nil {
		t.Fatal(err)
	}
	opened := 0
	for cut := int64(0); cut < min(info.Size(), 1000); cut += 37 {
		for _, zero := range []bool{false, true} {
			dir := copyDir(t, s.dir)
			name := wal(t, dir)
			if err := os.Truncate(name, info.Size()-cut); err != nil {
				t.Fatal(err)
			}
			if zero { // lost sectors instead of a shorter file
				if err := os.Truncate(name, info.Size()); err != nil {
					t.Fatal(err)
				}
			}
			if checkTorn(t, dir, each) {
				opened++
			}
		}
	}
	if opened == 0 {
		t.Error("no torn log could be opened at all")
	}
}

// checkTorn opens a torn directory and says whether that was possible.
func checkTorn(t *testing.T, dir string, each int) bool {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		if !strings.Contains(err.Error(), dir) {
			t.Errorf("the error does not name the directory: %v", err)
		}
		return false
	}
	replicas, err := s.LoadReplicas()
	if err != nil || len(replicas) > 1 {
		t.Errorf("%d replicas, %v", len(replicas), err)
	}
	for _, d := range replicas {
		n := len(d.Entries)
		if n%each != 0 || (n > 0 && int(d.HardState[0]) != n/each-1) {
			t.Errorf("half a batch: %d entries, hard state %v", n, d.HardState)
		}
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	return true
}

func TestGenesis(t *testing.T) {
	s := open(t, t.TempDir())
	if _, _, ok, err := s.Genesis(); ok || err != nil {
		t.Fatalf("a fresh directory has a genesis: %v", err)
	}
	wrong := errors.New("wrong")
	if err := s.PutGenesis([]byte("g"), "s", func(b *Batch) error { b.PutReplica(1, 1, 2); return wrong }); !errors.Is(err, wrong) {
		t.Errorf("fill's error is lost: %v", err)
	}
	if err := s.PutGenesis([]byte("g"), "s", func(b *Batch) error { b.PutReplica(1, 1, 2); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := s.PutGenesis([]byte("h"), "", nil); err == nil || !strings.Contains(err.Error(), "belongs to a network already") {
		t.Errorf("a second genesis: %v", err)
	}
	s = reopen(t, s)
	raw, secret, ok, err := s.Genesis()
	if err != nil || !ok || string(raw) != "g" || secret != "s" {
		t.Errorf("%q, %q, %v, %v", raw, secret, ok, err)
	}
	if r, err := s.LoadReplicas(); err != nil || len(r) != 1 {
		t.Errorf("replicas of the same write: %v, %v", r, err)
	}
}

func TestReports(t *testing.T) {
	s := open(t, t.TempDir())
	key := func(task int32, fence uint64) work.Key {
		return work.Key{Job: job.ID{1}, Task: task, Attempt: 2, Fence: fence}
	}
	a := work.Report{Key: key(1, 10), Cause: job.CauseRefused, Detail: "first"}
	b := work.Report{Key: key(job.GatherIndex, 11), Cause: job.CauseRefused, Detail: "second"}
	commit(t, s, func(w *Batch) { w.PutReport(7, a); w.PutReport(8, b) })
	s = reopen(t, s)
	got, err := s.Reports()
	if want := []KeptReport{{7, a}, {8, b}}; err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v, %v", got, want, err)
	}
	commit(t, s, func(w *Batch) { w.DropReport(a.Key); w.DropReport(key(5, 5)) })
	if got, err := s.Reports(); err != nil || len(got) != 1 || got[0].Shard != 8 {
		t.Errorf("%+v, %v", got, err)
	}
	commit(t, s, func(w *Batch) { w.Set(reportKey(a.Key), []byte("nonsense")) })
	if _, err := s.Reports(); !errors.As(err, new(*DamageError)) {
		t.Errorf("nonsense: %v", err)
	}
}

func TestOffers(t *testing.T) {
	now := time.UnixMilli(1_000_000)
	dir := t.TempDir()
	s, err := Open(dir, Options{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	keep := func(key, raw string) string {
		t.Helper()
		got, err := s.KeepOffer(key, []byte(raw), now.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	if got := keep("a", "one"); got != "one" {
		t.Errorf("got %q", got)
	}
	if got := keep("a", "two"); got != "one" {
		t.Errorf("the second of two won: %q", got)
	}
	if raw, ok := s.Offer("a"); !ok || string(raw) != "one" {
		t.Errorf("%q, %v", raw, ok)
	}
	now = now.Add(time.Minute)
	if _, ok := s.Offer("a"); ok {
		t.Error("an expired offer")
	}
	if got := keep("a", "three"); got != "three" || s.offers != 1 {
		t.Errorf("%q, %d kept", got, s.offers)
	}
	s.offers = maxOffers
	if got := keep("b", "four"); got != "four" || s.offers != 2 {
		t.Errorf("a sweep did not count again: %q, %d", got, s.offers)
	}
}

func TestOffersAreBounded(t *testing.T) {
	s := open(t, t.TempDir())
	until := time.Now().Add(time.Hour)
	b := s.db.NewBatch()
	for i := range maxOffers {
		k := offerKey(fmt.Sprint(i))
		if err := b.Set(k, seal(k, be64(uint64(until.UnixMilli()))), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Commit(pebble.NoSync); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if _, err := s.KeepOffer("one more", nil, until); !errors.Is(err, ErrFull) {
		t.Errorf("got %v", err)
	}
	if _, err := s.KeepOffer("7", nil, until); err != nil {
		t.Errorf("a known key: %v", err)
	}
}

func TestPeers(t *testing.T) {
	s := open(t, t.TempDir())
	if got := s.Peers(); got != nil {
		t.Errorf("got %v", got)
	}
	id, err := peer.Decode("12D3KooWBBKxWNRQLSJsTLtNrzErBPLCGSMcDsRnL6MUhQApXKBd")
	if err != nil {
		t.Fatal(err)
	}
	want := []peer.AddrInfo{{ID: id, Addrs: []multiaddr.Multiaddr{multiaddr.StringCast("/ip4/1.2.3.4/tcp/4001")}}}
	if err := s.PutPeers(want); err != nil {
		t.Fatal(err)
	}
	s = reopen(t, s)
	if got := s.Peers(); len(got) != 1 || got[0].String() != want[0].String() {
		t.Errorf("got %v", got)
	}
	commit(t, s, func(b *Batch) { b.Set([]byte("p/list"), []byte("nonsense")) })
	if got := s.Peers(); got != nil {
		t.Errorf("nonsense is %v", got)
	}
}
