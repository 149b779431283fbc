package store

import (
	"strings"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// watched is the file system under a database. Where pebble moves on to another
// write-ahead log it panics on any failure while it has given its own lock away,
// and what the runtime then prints is that the lock is not locked. So whatever
// fails for good at a log or its folder ends the process here, with its cause.
type watched struct {
	vfs.FS
	s *Store
}

// Unwrap returns the file system behind; vfs.Root asks for it.
func (w watched) Unwrap() vfs.FS { return w.FS }

// check passes an error on, unless it is of a log of an open database.
func (w watched) check(name string, err error) error {
	if err != nil && w.s.opened.Load() {
		w.s.fail(&DiskError{Path: name, Err: err})
	}
	return err
}

func isLog(name string) bool { return strings.HasSuffix(name, ".log") }

// made wraps a log that was opened for writing.
func (w watched) made(name string, f vfs.File, err error) (vfs.File, error) {
	if !isLog(name) {
		return f, err
	}
	if w.check(name, err) != nil {
		return nil, err
	}
	return watchedFile{f, w, name}, nil
}

// Create implements vfs.FS.
func (w watched) Create(name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.Create(name, k)
	return w.made(name, f, err)
}

// ReuseForWrite implements vfs.FS.
func (w watched) ReuseForWrite(old, name string, k vfs.DiskWriteCategory) (vfs.File, error) {
	f, err := w.FS.ReuseForWrite(old, name, k)
	return w.made(name, f, err)
}

// OpenDir implements vfs.FS: a folder is opened to be synced.
func (w watched) OpenDir(name string) (vfs.File, error) {
	f, err := w.FS.OpenDir(name)
	if err != nil {
		return nil, err
	}
	return watchedFile{f, w, name}, nil
}

// watchedFile is a log or a folder.
type watchedFile struct {
	vfs.File
	w    watched
	name string
}

// Write implements vfs.File.
func (f watchedFile) Write(p []byte) (int, error) {
	n, err := f.File.Write(p)
	return n, f.w.check(f.name, err)
}

// Sync implements vfs.File.
func (f watchedFile) Sync() error { return f.w.check(f.name, f.File.Sync()) }

// SyncData implements vfs.File.
func (f watchedFile) SyncData() error { return f.w.check(f.name, f.File.SyncData()) }

// SyncTo implements vfs.File.
func (f watchedFile) SyncTo(n int64) (bool, error) {
	full, err := f.File.SyncTo(n)
	return full, f.w.check(f.name, err)
}

// Close implements vfs.File.
func (f watchedFile) Close() error { return f.w.check(f.name, f.File.Close()) }
