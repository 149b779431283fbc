package wasm

import (
	"io"
	"io/fs"
	"os"
	"sort"

	expsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
)

// offset is a place in a file, in bytes. It is an alias since expsys.File wants
// an int64, and it has a name of its own since vet knows another Seek(int64, int).
type offset = int64

// file is an open regular file of a mount.
type file struct {
	expsys.UnimplementedFile
	mount   *mount
	f       *os.File
	ino     uint64 // the host's
	node    *inode // what it is charged as; nil if read-only
	mode    int    // os.O_RDONLY, os.O_RDWR or os.O_WRONLY
	appends bool
	closed  bool
}

var _ expsys.File = (*file)(nil)

// Ino implements expsys.File.
func (f *file) Ino() (sys.Inode, expsys.Errno) { return f.mount.number(f.ino), 0 }

// IsAppend implements expsys.File.
func (f *file) IsAppend() bool { return f.appends }

// SetAppend implements expsys.File.
func (f *file) SetAppend(on bool) expsys.Errno {
	f.appends = on
	return 0
}

// Stat implements expsys.File.
func (f *file) Stat() (sys.Stat_t, expsys.Errno) {
	fi, err := f.f.Stat()
	if err != nil {
		return sys.Stat_t{}, errnoOf(err)
	}
	return f.mount.stat(fi), 0
}

// Read implements expsys.File.
func (f *file) Read(b []byte) (int, expsys.Errno) {
	n, err := f.f.Read(b)
	return n, errnoOf(ignoreEOF(err))
}

// Pread implements expsys.File.
func (f *file) Pread(b []byte, off int64) (int, expsys.Errno) {
	if off < 0 {
		return 0, expsys.EINVAL
	}
	n, err := f.f.ReadAt(b, off)
	return n, errnoOf(ignoreEOF(err))
}

func ignoreEOF(err error) error {
	if err == io.EOF {
		return nil
	}
	return err
}

// Seek implements expsys.File.
func (f *file) Seek(off offset, whence int) (offset, expsys.Errno) {
	if whence < io.SeekStart || whence > io.SeekEnd {
		return 0, expsys.EINVAL
	}
	n, err := f.f.Seek(off, whence)
	return n, errnoOf(err)
}

// Write implements expsys.File.
func (f *file) Write(b []byte) (int, expsys.Errno) {
	whence := io.SeekCurrent
	if f.appends {
		whence = io.SeekEnd
	}
	off, err := f.f.Seek(0, whence)
	if err != nil {
		return 0, errnoOf(err)
	}
	if errno := f.reserve(off, len(b)); errno != 0 {
		return 0, errno
	}
	n, err := f.f.Write(b)
	return n, f.mount.quota.written(err)
}

// Pwrite implements expsys.File.
func (f *file) Pwrite(b []byte, off int64) (int, expsys.Errno) {
	if errno := f.reserve(off, len(b)); errno != 0 {
		return 0, errno
	}
	n, err := f.f.WriteAt(b, off)
	return n, f.mount.quota.written(err)
}

// reserve charges for n bytes at off.
func (f *file) reserve(off int64, n int) expsys.Errno {
	if f.node == nil || f.mode == os.O_RDONLY {
		return expsys.EBADF
	}
	end := off + int64(n)
	if off < 0 || end < off {
		return expsys.EINVAL
	}
	if n > 0 && end > f.node.size {
		f.mount.quota.resize(f.node, end)
	}
	return 0
}

// Truncate implements expsys.File. It also makes files longer.
func (f *file) Truncate(size int64) expsys.Errno {
	if f.node == nil || f.mode == os.O_RDONLY {
		return expsys.EBADF
	}
	if size < 0 {
		return expsys.EINVAL
	}
	f.mount.quota.resize(f.node, size)
	return f.mount.quota.written(f.f.Truncate(size))
}

// Sync implements expsys.File. The attempt's result is made durable as a
// whole, after it, so that there is nothing to wait for here.
func (f *file) Sync() expsys.Errno { return 0 }

// Datasync implements expsys.File.
func (f *file) Datasync() expsys.Errno { return 0 }

// Utimens implements expsys.File: times are accepted and not kept.
func (f *file) Utimens(int64, int64) expsys.Errno { return 0 }

// Close implements expsys.File.
func (f *file) Close() expsys.Errno {
	if f.closed {
		return 0
	}
	f.closed = true
	if f.node != nil {
		f.mount.quota.closed(f.ino, f.node)
	}
	return errnoOf(f.f.Close())
}

// dir is an open folder of a mount. It holds no descriptor of the host; its
// entries come sorted by name, as they were when reading began.
type dir struct {
	expsys.DirFile
	mount *mount
	path  string
	list  []expsys.Dirent
	read  bool
}

var _ expsys.File = (*dir)(nil)

// Dev implements expsys.File.
func (d *dir) Dev() (uint64, expsys.Errno) { return 1, 0 }

// Ino implements expsys.File.
func (d *dir) Ino() (sys.Inode, expsys.Errno) {
	st, errno := d.Stat()
	return st.Ino, errno
}

// Stat implements expsys.File.
func (d *dir) Stat() (sys.Stat_t, expsys.Errno) { return d.mount.Lstat(d.path) }

// Seek implements expsys.File: only back to the start.
func (d *dir) Seek(off offset, whence int) (offset, expsys.Errno) {
	if off != 0 || whence != io.SeekStart {
		return 0, expsys.EINVAL
	}
	d.list, d.read = nil, false
	return 0, 0
}

// Readdir implements expsys.File.
func (d *dir) Readdir(n int) ([]expsys.Dirent, expsys.Errno) {
	if !d.read {
		if errno := d.load(); errno != 0 {
			return nil, errno
		}
	}
	if n <= 0 || n > len(d.list) {
		n = len(d.list)
	}
	out := d.list[:n]
	d.list = d.list[n:]
	return out, 0
}

func (d *dir) load() expsys.Errno {
	d.read = true
	if d.mount.root == nil {
		return 0
	}
	f, err := d.mount.root.Open(d.path)
	if err != nil {
		return errnoOf(err)
	}
	defer f.Close()
	infos, err := f.Readdir(-1)
	if err != nil {
		return errnoOf(err)
	}
	sort.Slice(infos, func(i, j int) bool { return infos[i].Name() < infos[j].Name() })
	for _, fi := range infos {
		d.list = append(d.list, expsys.Dirent{
			Name: fi.Name(), Type: fi.Mode() & fs.ModeType, Ino: d.mount.number(hostInode(fi)),
		})
	}
	return 0
}

// Sync implements expsys.File.
func (d *dir) Sync() expsys.Errno { return 0 }

// Datasync implements expsys.File.
func (d *dir) Datasync() expsys.Errno { return 0 }

// Utimens implements expsys.File.
func (d *dir) Utimens(int64, int64) expsys.Errno { return 0 }

// Close implements expsys.File.
func (d *dir) Close() expsys.Errno { return 0 }
