package wasm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cache is the folder in which wazero keeps compiled modules, each in a file
// named by the hash of the module, the engine's version and the processor's
// features. The children fill it, this bounds it.
type cache struct {
	dir   string
	limit int64 // bytes

	mu sync.Mutex // one prune at a time
}

// staleTemp is the age of a file half written by a child that was killed.
const staleTemp = 10 * time.Minute

// cacheEntry is a compiled module.
type cacheEntry struct {
	path string
	size int64
	used time.Time
}

// prune removes the entries used longest ago until the rest is within the
// limit. An entry was used when it was written or last read: file systems that
// keep access times only loosely update one that is not after the time of
// modification, so each use seen is made the time of modification.
func (c *cache) prune() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []cacheEntry
	var total int64
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return skipMissing(err)
		}
		fi, err := d.Info()
		if err != nil {
			return skipMissing(err)
		}
		if strings.HasSuffix(path, ".tmp") && time.Since(fi.ModTime()) > staleTemp {
			return skipMissing(os.Remove(path))
		}
		list = append(list, cacheEntry{path: path, size: fi.Size(), used: lastUse(path, fi)})
		total += fi.Size()
		return nil
	})
	if err != nil {
		return fmt.Errorf("read %s: %w", c.dir, err)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].used.Before(list[j].used) })
	for _, e := range list {
		if total <= c.limit {
			break
		}
		if err := os.Remove(e.path); skipMissing(err) != nil {
			return err
		}
		total -= e.size
	}
	return nil
}

// skipMissing forgives that a file went away while it was looked at.
func skipMissing(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// lastUse is the later of a file's times, and makes it the time of modification.
func lastUse(path string, fi fs.FileInfo) time.Time {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return fi.ModTime()
	}
	read := time.Unix(st.Atim.Unix())
	if !read.After(fi.ModTime()) {
		return fi.ModTime()
	}
	_ = os.Chtimes(path, read, read) // without it the order is a little less exact
	return read
}
