package store

import (
	"errors"
	"io/fs"
	"os"

	"github.com/cockroachdb/pebble/v2/vfs"
)

// failStop is a file system that tells the store of the first change that fails,
// before the database knows. Pebble would go on after some failures, stall after
// others, and after most end the process with a panic that names no cause; a write
// that has failed once tells nothing certain of what is on the disk, so there is no going on.
type failStop struct {
	vfs.FS
	s *Store
}

// judge passes an error on that is not the disk's.
func (f failStop) judge(err error) error {
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) && !errors.Is(err, fs.ErrPermission) {
		err = &DiskError{Path: f.s.dir, Err: err}
		f.s.log.Error("the disk fails", "error", err)
		f.s.fail(err)
	}
	return err
}

// file watches over a file that was opened, if it was.
func (f failStop) file(to vfs.File, err error) (vfs.File, error) {
	if err != nil {
		return to, f.judge(err)
	}
	return failStopFile{to, f}, nil
}

func (f failStop) Create(name string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(f.FS.Create(name, c))
}

func (f failStop) OpenReadWrite(name string, c vfs.DiskWriteCategory, opts ...vfs.OpenOption) (vfs.File, error) {
	return f.file(f.FS.OpenReadWrite(name, c, opts...))
}

func (f failStop) ReuseForWrite(oldname, newname string, c vfs.DiskWriteCategory) (vfs.File, error) {
	return f.file(f.FS.ReuseForWrite(oldname, newname, c))
}

// OpenDir gives folders, which are synced.
func (f failStop) OpenDir(name string) (vfs.File, error) { return f.file(f.FS.OpenDir(name)) }

func (f failStop) Link(from, to string) error { return f.judge(f.FS.Link(from, to)) }

func (f failStop) Remove(name string) error { return f.judge(f.FS.Remove(name)) }

func (f failStop) RemoveAll(name string) error { return f.judge(f.FS.RemoveAll(name)) }

func (f failStop) Rename(from, to string) error { return f.judge(f.FS.Rename(from, to)) }

func (f failStop) MkdirAll(name string, perm os.FileMode) error {
	return f.judge(f.FS.MkdirAll(name, perm))
}

// Unwrap gives the file system below to pebble, which looks for its own kinds.
func (f failStop) Unwrap() vfs.FS { return f.FS }

// failStopFile is a file of failStop.
type failStopFile struct {
	vfs.File
	fs failStop
}

func (f failStopFile) Write(b []byte) (int, error) {
	n, err := f.File.Write(b)
	return n, f.fs.judge(err)
}

func (f failStopFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	return n, f.fs.judge(err)
}

func (f failStopFile) Sync() error { return f.fs.judge(f.File.Sync()) }

func (f failStopFile) SyncData() error { return f.fs.judge(f.File.SyncData()) }

func (f failStopFile) SyncTo(length int64) (bool, error) {
	whole, err := f.File.SyncTo(length)
	return whole, f.fs.judge(err)
}
