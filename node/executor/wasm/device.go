package wasm

import (
	"bytes"
	"io"
	"io/fs"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	expsys "github.com/tetratelabs/wazero/experimental/sys"
	"github.com/tetratelabs/wazero/sys"
)

const (
	// progressEvery is how often progress is passed on at most; the last line
	// always is.
	progressEvery = 50 * time.Millisecond
	// maxProgressLine bounds one line, in bytes; a longer one is cut.
	maxProgressLine = 512
)

// devices is the folder /dev with its one file, progress.
type devices struct {
	expsys.UnimplementedFS
	progress *progressFile
}

const progressName = "progress"

// OpenFile implements expsys.FS.
func (d *devices) OpenFile(p string, flag expsys.Oflag, _ fs.FileMode) (expsys.File, expsys.Errno) {
	switch p = clean(p); {
	case p == ".":
		return &deviceDir{}, 0
	case p != progressName:
		return nil, expsys.ENOENT
	case flag&expsys.O_DIRECTORY != 0:
		return nil, expsys.ENOTDIR
	}
	return d.progress, 0
}

// Lstat implements expsys.FS.
func (d *devices) Lstat(p string) (sys.Stat_t, expsys.Errno) { return d.Stat(p) }

// Stat implements expsys.FS.
func (d *devices) Stat(p string) (sys.Stat_t, expsys.Errno) {
	switch clean(p) {
	case ".":
		return (&deviceDir{}).Stat()
	case progressName:
		return d.progress.Stat()
	}
	return sys.Stat_t{}, expsys.ENOENT
}

// deviceDir is /dev opened.
type deviceDir struct {
	expsys.DirFile
	read bool
}

// Dev implements expsys.File.
func (d *deviceDir) Dev() (uint64, expsys.Errno) { return 2, 0 }

// Ino implements expsys.File.
func (d *deviceDir) Ino() (sys.Inode, expsys.Errno) { return 1, 0 }

// Stat implements expsys.File.
func (d *deviceDir) Stat() (sys.Stat_t, expsys.Errno) {
	return sys.Stat_t{Dev: 2, Ino: 1, Nlink: 1, Mode: fs.ModeDir | 0o555}, 0
}

// Seek implements expsys.File: only back to the start.
func (d *deviceDir) Seek(off offset, whence int) (offset, expsys.Errno) {
	if off != 0 || whence != io.SeekStart {
		return 0, expsys.EINVAL
	}
	d.read = false
	return 0, 0
}

// Readdir implements expsys.File.
func (d *deviceDir) Readdir(int) ([]expsys.Dirent, expsys.Errno) {
	if d.read {
		return nil, 0
	}
	d.read = true
	return []expsys.Dirent{{Name: progressName, Ino: 2, Type: fs.ModeDevice}}, 0
}

// Sync implements expsys.File.
func (d *deviceDir) Sync() expsys.Errno { return 0 }

// Datasync implements expsys.File.
func (d *deviceDir) Datasync() expsys.Errno { return 0 }

// Utimens implements expsys.File.
func (d *deviceDir) Utimens(int64, int64) expsys.Errno { return expsys.EPERM }

// Close implements expsys.File.
func (d *deviceDir) Close() expsys.Errno { return 0 }

// progressFile is /dev/progress: lines in, progress out. All openings share it.
type progressFile struct {
	expsys.UnimplementedFile
	send    func(progress)
	line    []byte
	pending *progress
	last    time.Time
}

// Stat implements expsys.File.
func (f *progressFile) Stat() (sys.Stat_t, expsys.Errno) {
	return sys.Stat_t{Dev: 2, Ino: 2, Nlink: 1, Mode: fs.ModeDevice | fs.ModeCharDevice | 0o222}, 0
}

// SetAppend implements expsys.File.
func (f *progressFile) SetAppend(bool) expsys.Errno { return 0 }

// Truncate implements expsys.File, for those who open it as a file to replace.
func (f *progressFile) Truncate(int64) expsys.Errno { return 0 }

// Close implements expsys.File; the next opening begins a new line.
func (f *progressFile) Close() expsys.Errno {
	f.endLine()
	return 0
}

// Pwrite implements expsys.File.
func (f *progressFile) Pwrite(b []byte, _ int64) (int, expsys.Errno) { return f.Write(b) }

// Write implements expsys.File.
func (f *progressFile) Write(b []byte) (int, expsys.Errno) {
	n := len(b)
	for {
		head, rest, found := bytes.Cut(b, []byte{'\n'})
		f.line = append(f.line, head[:min(len(head), maxProgressLine-len(f.line))]...)
		if !found {
			return n, 0
		}
		f.endLine()
		b = rest
	}
}

// endLine takes the line; what is not progress is dropped without a word.
func (f *progressFile) endLine() {
	p, ok := parseProgress(string(f.line))
	f.line = f.line[:0]
	if !ok {
		return
	}
	f.pending = &p
	if now := time.Now(); f.last.IsZero() || now.Sub(f.last) >= progressEvery {
		f.last = now
		f.flush()
	}
}

// flush passes on what was held back.
func (f *progressFile) flush() {
	if f.pending != nil {
		f.send(*f.pending)
		f.pending = nil
	}
}

// parseProgress reads "0.42 message".
func parseProgress(line string) (progress, bool) {
	number, message, _ := strings.Cut(strings.TrimSpace(line), " ")
	v, err := strconv.ParseFloat(number, 64)
	if err != nil || math.IsNaN(v) || v < 0 || v > 1 {
		return progress{}, false
	}
	if !utf8.ValidString(message) {
		message = strings.ToValidUTF8(message, "�")
	}
	return progress{Fraction: v, Message: strings.TrimSpace(message)}, true
}
