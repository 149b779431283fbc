package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"
	"github.com/cockroachdb/pebble/v2/vfs/errorfs"
	ds "github.com/ipfs/go-datastore"
)

// aged is a directory that was opened three times and has tables and logs in
// both databases; shard 1 has as many entries as are returned.
func aged(t *testing.T) (dir string, entries int) {
	t.Helper()
	dir = t.TempDir()
	for range 3 {
		s := open(t, dir)
		commit(t, s, func(b *Batch) {
			if entries == 0 {
				b.PutReplica(1, 1, 1)
			}
			b.PutEntries(1, uint64(entries+1), [][]byte{entry(uint64(entries+1), 1), entry(uint64(entries+2), 1)})
		})
		entries += 2
		key := ds.NewKey(strconv.Itoa(entries))
		if err := errors.Join(s.Blobs().Put(t.Context(), key, bytes.Repeat([]byte("b"), 1<<10)), s.Blobs().Sync(t.Context(), key)); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(s.db.Flush(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	return dir, entries
}

// files are the paths below a directory.
func files(t *testing.T, dir string) (out []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			path, err = filepath.Rel(dir, path)
			out = append(out, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// look opens a directory and says what is in it: the number of entries of shard
// 1 and of blobs, or the error.
func look(t *testing.T, dir string, most int) (entries, blobs int, err error) {
	t.Helper()
	s, err := Open(dir, Options{})
	if err != nil {
		return 0, 0, err
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	replicas, err := s.LoadReplicas()
	if err != nil {
		return 0, 0, err
	}
	for _, r := range replicas {
		entries += len(r.Entries)
	}
	for i := 1; i <= most; i++ {
		if _, err := s.Blobs().Get(t.Context(), ds.NewKey(strconv.Itoa(i))); err == nil {
			blobs++
		} else if !errors.Is(err, ds.ErrNotFound) {
			return entries, blobs, err
		}
	}
	return entries, blobs, nil
}

// TestDeletedFile deletes one file after another: the state is whole, or the
// directory is refused by name. Content may be gone, since it is fetched again,
// but the state never is in silence.
func TestDeletedFile(t *testing.T) {
	dir, want := aged(t)
	refused, whole := 0, 0
	for _, name := range files(t, dir) {
		hurt := copyDir(t, dir)
		if err := os.Remove(filepath.Join(hurt, name)); err != nil {
			t.Fatal(err)
		}
		entries, blobs, err := look(t, hurt, want)
		switch {
		case err != nil:
			refused++
			if !strings.Contains(err.Error(), hurt) {
				t.Errorf("%s is gone, and the error does not name the directory: %v", name, err)
			}
			t.Logf("%-22s refused: %.150v", name, strings.ReplaceAll(err.Error(), hurt, "DIR"))
		case entries != want:
			t.Errorf("%s is gone, and in silence so are %d of %d entries", name, want-entries, want)
		default:
			whole++
			t.Logf("%-22s not missed: %d entries, %d blobs", name, entries, blobs)
		}
	}
	if refused < 4 || whole < 4 {
		t.Errorf("%d files were missed and %d were not: is this all?", refused, whole)
	}
}

// TestOlderState puts an older state back beside the other files, and takes the
// whole state away.
func TestOlderState(t *testing.T) {
	dir, _ := aged(t)
	old := copyDir(t, dir)
	s := open(t, dir)
	if s.Age().Starts != 4 || s.Age().Root == 0 || s.Age().Run == 0 {
		t.Errorf("the fourth start has %+v", s.Age())
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	state := filepath.Join(dir, "state")
	var outdated *OutdatedError
	for what, restore := range map[string]func() error{
		"older": func() error { return os.CopyFS(state, os.DirFS(filepath.Join(old, "state"))) },
		"none":  func() error { return nil },
	} {
		if err := errors.Join(os.RemoveAll(state), restore()); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, Options{}); !errors.As(err, &outdated) || !strings.Contains(err.Error(), "has seen start 4") {
			t.Errorf("%s state: %v", what, err)
		}
	}
	// A crash between the two writes leaves the file one behind: no damage.
	if err := os.WriteFile(filepath.Join(old, ageFile), []byte("2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	open(t, old)
}

func TestCondemned(t *testing.T) {
	s := open(t, t.TempDir())
	var outdated *OutdatedError
	if err := s.Condemn("a peer remembers more"); !errors.As(err, &outdated) {
		t.Errorf("Condemn: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if _, err := Open(s.dir, Options{}); !errors.As(err, &outdated) || !strings.Contains(err.Error(), "a peer remembers more") {
			t.Errorf("Open: %v", err)
		}
	}
}

// asWriter makes this test binary a process that writes on a failing disk.
const asWriter = "TEST_WRITES_ON_A_FAILING_DISK"

// payload is what entry i carries.
func payload(i int) []byte { return bytes.Repeat([]byte{byte(i)}, 4<<10) }

// writer writes entries and blobs until the disk fails, and says which were
// acknowledged. Its disk does `good` operations that change something; the next
// one fails, or all that follow.
func writer(dir string, good int64, forGood bool, fault error) {
	var done atomic.Int64
	disk := errorfs.Wrap(vfs.Default, errorfs.InjectorFunc(func(op errorfs.Op) error {
		if op.Kind.ReadOrWrite() != errorfs.OpIsWrite {
			return nil
		}
		if n := done.Add(1); n == good || n > good && forGood {
			return fault
		}
		return nil
	}))
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(3)
	}
	s, err := Open(dir, Options{FS: disk, Fail: fail})
	if err != nil {
		fail(err)
	}
	for i := 1; i <= 1500; i++ {
		b := s.NewBatch()
		if i == 1 {
			b.PutReplica(1, 1, 1)
		}
		b.PutEntries(1, uint64(i), [][]byte{payload(i)})
		if err := b.Commit(true); err != nil {
			fail(err)
		}
		fmt.Println("entry", i)
		if i%10 == 0 {
			key := ds.NewKey(strconv.Itoa(i / 10))
			if err := errors.Join(s.Blobs().Put(context.Background(), key, payload(i)), s.Blobs().Sync(context.Background(), key)); err != nil {
				fail(err)
			}
			fmt.Println("blob", i/10)
		}
	}
	if err := s.Close(); err != nil {
		fail(err)
	}
}

// TestDiskFailsAtALogsEnd has the disk fail once at each operation around the
// first change of pebble's log, where pebble would panic with a lock given away
// and the runtime would name no cause.
func TestDiskFailsAtALogsEnd(t *testing.T) {
	for good := 236; good < 252; good++ {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,false,EIO", asWriter, t.TempDir(), good))
		said, failed := cmd.CombinedOutput()
		if failed == nil {
			continue // pebble does without
		}
		if text := string(said); !strings.Contains(text, "injected EIO") || strings.Contains(text, "goroutine ") {
			t.Errorf("operation %d: the cause is not named, or it is a panic: %s", good, text[max(0, len(text)-900):])
		}
	}
}

// TestDiskFails runs processes whose disk fails at some operation, with pebble
// in the middle of anything. The process ends and names the cause, and whatever
// it had acknowledged is there on the next start.
func TestDiskFails(t *testing.T) {
	runs := 16
	if testing.Short() {
		runs = 4
	}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	hit := 0
	for i := range runs {
		dir, forGood, fault := t.TempDir(), i%2 == 0, []string{"EIO", "ENOSPC"}[i/2%2]
		good := 1 + rng.IntN([]int{60, 600, 4500}[i%3])
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%s,%d,%t,%s", asWriter, dir, good, forGood, fault))
		var said, cause bytes.Buffer
		cmd.Stdout, cmd.Stderr = &said, &cause
		failed := cmd.Run()
		acked := map[string]int{}
		for line := range strings.Lines(said.String()) {
			if what, n, ok := strings.Cut(strings.TrimSpace(line), " "); ok && (what == "entry" || what == "blob") {
				number, err := strconv.Atoi(n)
				if err != nil {
					t.Fatal(err)
				}
				acked[what] = number
			}
		}
		how := fmt.Sprintf("%s at operation %d, for good %t: %d entries and %d blobs acknowledged, %v", fault, good, forGood, acked["entry"], acked["blob"], failed)
		t.Log(how)
		if failed != nil {
			hit++
			if text := said.String() + cause.String(); !strings.Contains(text, "injected "+fault) {
				t.Errorf("%s: the cause is not named: %s", how, text[max(0, len(text)-600):])
			}
			if strings.Contains(cause.String(), "goroutine ") {
				t.Errorf("%s: it ended with a panic: %.600s", how, cause.String())
			}
		} else if acked["entry"] != 1500 || acked["blob"] != 150 {
			t.Errorf("%s: it ended well too early", how)
		}
		entries, blobs, err := look(t, dir, 150)
		if err != nil || entries < acked["entry"] || blobs < acked["blob"] {
			t.Errorf("%s: then there are %d entries and %d blobs, %v", how, entries, blobs, err)
		}
	}
	if hit < runs/2 {
		t.Errorf("only %d of %d disks failed in time", hit, runs)
	}
}

// writerFromEnvironment runs writer if this process is one.
func writerFromEnvironment() {
	args := strings.Split(os.Getenv(asWriter), ",")
	if len(args) != 4 {
		return
	}
	good, err := strconv.ParseInt(args[1], 10, 64)
	if err != nil {
		panic(err)
	}
	var number error = syscall.EIO
	if args[3] == "ENOSPC" {
		number = syscall.ENOSPC
	}
	writer(args[0], good, args[2] == "true", fmt.Errorf("injected %s: %w", args[3], number))
	os.Exit(0)
}
