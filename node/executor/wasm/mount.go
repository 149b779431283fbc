package wasm

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
	"time"

	expsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
)

// mount is a folder of the host as the guest sees it. All access goes through
// an os.Root, so that no path leads out of the folder; symbolic links are
// refused on the way to a file as well as at its end, whoever made them; what
// is neither file nor folder cannot be opened. The host's inode numbers, times
// and permission bits stay hidden.
//
// wazero's own directory mount is not used: a link inside it leads out.
type mount struct {
	root *os.Root // nil: an empty folder
	// quota is charged for what the guest writes; nil: read-only.
	quota *quota
	// frozen is the time that every file shows, or zero to show the host's.
	frozen time.Time
	inodes map[uint64]uint64 // of the host → in order of first sight
}

var _ expsys.FS = (*mount)(nil)

// newMount opens a folder of the host; "" gives an empty one.
func newMount(dir string, q *quota, frozen time.Time) (*mount, error) {
	m := &mount{quota: q, frozen: frozen, inodes: map[uint64]uint64{}}
	if dir == "" {
		m.quota = nil
		return m, nil
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	m.root = root
	return m, nil
}

// clean turns the guest's path into one for os.Root; wazero has removed "..".
func clean(p string) string {
	p = path.Clean(strings.TrimLeft(p, "/"))
	if p == "" {
		return "."
	}
	return p
}

// lookup is Lstat that refuses links and files of other kinds anywhere on the way.
func (m *mount) lookup(p string) (fs.FileInfo, expsys.Errno) {
	if m.root == nil {
		return nil, expsys.ENOENT
	}
	for i := 0; i < len(p); i++ {
		if p[i] != '/' {
			continue
		}
		fi, err := m.root.Lstat(p[:i])
		if err != nil {
			return nil, errnoOf(err)
		}
		if fi.Mode()&fs.ModeSymlink != 0 {
			return nil, expsys.ELOOP
		}
	}
	fi, err := m.root.Lstat(p)
	if err != nil {
		return nil, errnoOf(err)
	}
	return fi, 0
}

// errnoOf maps an error of package os for the guest.
func errnoOf(err error) expsys.Errno {
	if err == nil {
		return 0
	}
	if strings.Contains(err.Error(), "path escapes from parent") {
		return expsys.EPERM // os.Root's error has no errno in it
	}
	return expsys.UnwrapOSError(err)
}

// stat is what the guest may know about a file.
func (m *mount) stat(fi fs.FileInfo) sys.Stat_t {
	st := sys.Stat_t{Dev: 1, Ino: m.number(hostInode(fi)), Nlink: 1, Mode: fi.Mode().Type() | 0o644}
	if fi.IsDir() {
		st.Mode = fs.ModeDir | 0o755
	} else {
		st.Size = fi.Size()
	}
	if m.quota == nil {
		st.Mode &^= 0o222
	}
	t := m.frozen
	if t.IsZero() {
		t = fi.ModTime()
	}
	st.Atim, st.Mtim, st.Ctim = t.UnixNano(), t.UnixNano(), t.UnixNano()
	return st
}

// number gives inodes numbers that do not depend on the host.
func (m *mount) number(host uint64) uint64 {
	n, ok := m.inodes[host]
	if !ok {
		n = uint64(len(m.inodes)) + 1
		m.inodes[host] = n
	}
	return n
}

func hostInode(fi fs.FileInfo) uint64 {
	if st, ok := fi.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// Lstat implements expsys.FS.
func (m *mount) Lstat(p string) (sys.Stat_t, expsys.Errno) {
	p = clean(p)
	if m.root == nil && p == "." {
		return m.emptyStat(), 0
	}
	fi, errno := m.lookup(p)
	if errno != 0 {
		return sys.Stat_t{}, errno
	}
	return m.stat(fi), 0
}

// Stat implements expsys.FS; a link is an error, not what it points to.
func (m *mount) Stat(p string) (sys.Stat_t, expsys.Errno) {
	st, errno := m.Lstat(p)
	if errno == 0 && st.Mode&fs.ModeSymlink != 0 {
		return sys.Stat_t{}, expsys.ELOOP
	}
	return st, errno
}

func (m *mount) emptyStat() sys.Stat_t {
	return sys.Stat_t{Dev: 1, Ino: 1, Nlink: 1, Mode: fs.ModeDir | 0o555}
}

// OpenFile implements expsys.FS. Whether the file may be made or changed is
// decided before the host is asked to.
func (m *mount) OpenFile(p string, flag expsys.Oflag, _ fs.FileMode) (expsys.File, expsys.Errno) {
	p = clean(p)
	if m.root == nil && p == "." {
		return &dir{mount: m, path: p}, 0
	}
	writes := flag&(expsys.O_RDWR|expsys.O_WRONLY|expsys.O_CREAT|expsys.O_TRUNC|expsys.O_APPEND) != 0
	fi, errno := m.lookup(p)
	switch {
	case errno == expsys.ENOENT && flag&expsys.O_CREAT != 0:
		return m.create(p, flag)
	case errno != 0:
		return nil, errno
	case flag&expsys.O_CREAT != 0 && flag&expsys.O_EXCL != 0:
		return nil, expsys.EEXIST
	case fi.Mode()&fs.ModeSymlink != 0:
		return nil, expsys.ELOOP
	case fi.IsDir():
		return m.openDir(p, flag)
	case !fi.Mode().IsRegular():
		return nil, expsys.EPERM
	case flag&expsys.O_DIRECTORY != 0:
		return nil, expsys.ENOTDIR
	case writes && m.quota == nil:
		return nil, expsys.EROFS
	}
	return m.open(p, flag, 0)
}

func (m *mount) openDir(p string, flag expsys.Oflag) (expsys.File, expsys.Errno) {
	if flag&(expsys.O_WRONLY|expsys.O_CREAT|expsys.O_TRUNC) != 0 {
		return nil, expsys.EISDIR
	}
	return &dir{mount: m, path: p}, 0
}

func (m *mount) create(p string, flag expsys.Oflag) (expsys.File, expsys.Errno) {
	if m.quota == nil {
		return nil, expsys.EROFS
	}
	if m.quota.files >= m.quota.maxFiles {
		m.quota.addFile() // names the limit and ends the attempt
	}
	return m.open(p, flag, os.O_CREATE|os.O_EXCL)
}

// open opens a regular file. Truncation is left to the file, which charges it.
func (m *mount) open(p string, flag expsys.Oflag, extra int) (expsys.File, expsys.Errno) {
	mode := os.O_RDONLY
	switch {
	case m.quota != nil && flag&expsys.O_RDWR != 0:
		mode = os.O_RDWR
	case m.quota != nil && flag&expsys.O_WRONLY != 0:
		mode = os.O_WRONLY
	}
	f, err := m.root.OpenFile(p, mode|extra|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o644)
	switch {
	case err != nil && m.quota != nil:
		return nil, m.quota.written(err)
	case err != nil:
		return nil, errnoOf(err)
	}
	fi, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, errnoOf(err)
	}
	file := &file{mount: m, f: f, ino: hostInode(fi), appends: flag&expsys.O_APPEND != 0, mode: mode}
	if m.quota != nil {
		file.node = m.quota.opened(file.ino, fi.Size())
	}
	if flag&expsys.O_TRUNC != 0 && mode != os.O_RDONLY {
		if errno := file.Truncate(0); errno != 0 {
			file.Close()
			return nil, errno
		}
	}
	return file, 0
}

// Mkdir implements expsys.FS.
func (m *mount) Mkdir(p string, _ fs.FileMode) expsys.Errno {
	p = clean(p)
	if m.quota == nil {
		return expsys.EROFS
	}
	switch _, errno := m.lookup(p); errno {
	case 0:
		return expsys.EEXIST
	case expsys.ENOENT:
	default:
		return errno
	}
	m.quota.makeDir() // before there is one more: a limit that is met ends the attempt
	if err := m.root.Mkdir(p, 0o755); err != nil {
		m.quota.removeDir()
		return m.quota.written(err)
	}
	return 0
}

// Chmod implements expsys.FS: permissions are not the guest's.
func (m *mount) Chmod(string, fs.FileMode) expsys.Errno { return expsys.EPERM }

// Link implements expsys.FS: a file has one name, or it could be counted twice.
func (m *mount) Link(string, string) expsys.Errno { return expsys.EPERM }

// Symlink implements expsys.FS: links are refused everywhere.
func (m *mount) Symlink(string, string) expsys.Errno { return expsys.EPERM }

// Readlink implements expsys.FS: where a link leads is the host's business.
func (m *mount) Readlink(string) (string, expsys.Errno) { return "", expsys.EINVAL }

// Utimens implements expsys.FS: times are accepted and not kept.
func (m *mount) Utimens(p string, _, _ int64) expsys.Errno {
	_, errno := m.lookup(clean(p))
	return errno
}

// Rename implements expsys.FS.
func (m *mount) Rename(from, to string) expsys.Errno {
	from, to = clean(from), clean(to)
	if m.quota == nil {
		return expsys.EROFS
	}
	src, errno := m.lookup(from)
	if errno != 0 {
		return errno
	}
	old, errno := m.lookup(to)
	if errno != 0 && errno != expsys.ENOENT {
		return errno
	}
	if err := m.root.Rename(from, to); err != nil {
		return errnoOf(err)
	}
	if errno == 0 && hostInode(old) != hostInode(src) {
		m.forget(old)
	}
	return 0
}

// forget gives back what lost its last name.
func (m *mount) forget(fi fs.FileInfo) {
	ino := hostInode(fi)
	delete(m.inodes, ino) // the host may use the number again
	if fi.IsDir() {
		m.quota.removeDir()
		return
	}
	m.quota.unlinked(ino)
}

// Rmdir implements expsys.FS.
func (m *mount) Rmdir(p string) expsys.Errno { return m.remove(clean(p), true) }

// Unlink implements expsys.FS.
func (m *mount) Unlink(p string) expsys.Errno { return m.remove(clean(p), false) }

func (m *mount) remove(p string, wantDir bool) expsys.Errno {
	if m.quota == nil {
		return expsys.EROFS
	}
	fi, errno := m.lookup(p)
	switch {
	case errno != 0:
		return errno
	case p == ".":
		return expsys.EPERM
	case wantDir && !fi.IsDir():
		return expsys.ENOTDIR
	case !wantDir && fi.IsDir():
		return expsys.EISDIR
	}
	if err := m.root.Remove(p); err != nil {
		return errnoOf(err)
	}
	m.forget(fi)
	return 0
}
