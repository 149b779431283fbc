package wasm_test

import (
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/executor/executortest"
	"github.com/ciro-network/ciro/node/executor/wasm"
)

// entries are the compiled modules in a cache folder.
func entries(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			list = append(list, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestDamagedCacheEntry(t *testing.T) {
	cfg := wasm.Config{Command: command(t), CacheDir: t.TempDir(), Log: slog.New(slog.DiscardHandler)}
	e := serve(t, cfg)
	run := func() {
		t.Helper()
		if o, out := executortest.Do(t, e, executortest.Task(t, probe(t), "exit", "0")); !o.OK() {
			t.Fatalf("%s %s", o, out)
		}
	}
	run()
	damaged := 0
	for _, p := range entries(t, filepath.Join(cfg.CacheDir, "compiled")) {
		fi, err := os.Stat(p)
		if err != nil {
			t.Fatal(err)
		}
		if fi.Size() < 1<<20 {
			continue // the warm-up's
		}
		damaged++
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		b[len(b)/2] ^= 0xff
		if err := os.WriteFile(p, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if damaged != 1 {
		t.Fatalf("%d compiled modules", damaged)
	}
	run()
}

func TestCacheIsBounded(t *testing.T) {
	cfg := wasm.Config{
		Command: command(t), CacheDir: t.TempDir(), CacheBytes: 1 << 20, Log: slog.New(slog.DiscardHandler),
	}
	dir := filepath.Join(cfg.CacheDir, "compiled")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	for n, name := range []string{"oldest", "read", "newest"} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, make([]byte, 400<<10), 0o600); err != nil {
			t.Fatal(err)
		}
		written := now.Add(time.Duration(n-10) * time.Hour)
		if err := os.Chtimes(p, written, written); err != nil {
			t.Fatal(err)
		}
	}
	// Written before the newest, and read after it.
	read := now.Add(-time.Minute)
	if err := os.Chtimes(filepath.Join(dir, "read"), read, now.Add(-20*time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "half.tmp"), make([]byte, 100), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(filepath.Join(dir, "half.tmp"), now, now.Add(-time.Hour)); err != nil {
		t.Fatal(err)
	}
	serve(t, cfg) // prunes at its start
	eventually(t, "the oldest entry is pruned", func() bool {
		_, err := os.Stat(filepath.Join(dir, "oldest"))
		return os.IsNotExist(err)
	})
	for name, want := range map[string]bool{"read": true, "newest": true, "half.tmp": false} { // any order: independent
		if _, err := os.Stat(filepath.Join(dir, name)); (err == nil) != want {
			t.Errorf("%s: %v", name, err)
		}
	}
}
