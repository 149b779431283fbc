package node

import (
	"context"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
)

// attemptLog is what an attempt on this node prints, on disk in the attempt's
// folder while the attempt runs and for a while after it.
type attemptLog struct {
	key            work.Key
	dir            string
	stdout, stderr *spool
}

func newAttemptLog(k work.Key, dir string) *attemptLog {
	return &attemptLog{key: k, dir: dir, stdout: newSpool(filepath.Join(dir, "stdout")), stderr: newSpool(filepath.Join(dir, "stderr"))}
}

func (l *attemptLog) end() {
	l.stdout.close()
	l.stderr.close()
}

func (l *attemptLog) remove(log *slog.Logger) {
	if err := os.RemoveAll(l.dir); err != nil {
		log.Warn("cannot remove an attempt's folder", "dir", l.dir, "error", err)
	}
}

// spool is one stream: a file that is written by the executor and read by any
// number of followers.
type spool struct {
	path string
	mu   sync.Mutex // guards what follows
	file *os.File   // nil before the first byte and after close
	size int64
	done bool
	more chan struct{} // closed and replaced when anything changes
}

func newSpool(path string) *spool { return &spool{path: path, more: make(chan struct{})} }

// Write implements io.Writer; one goroutine writes.
func (s *spool) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.file == nil {
		f, err := os.OpenFile(s.path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return 0, err
		}
		s.file = f
	}
	n, err := s.file.Write(b)
	s.size += int64(n)
	s.wake()
	return n, err
}

// wake tells followers. The lock is held.
func (s *spool) wake() {
	close(s.more)
	s.more = make(chan struct{})
}

func (s *spool) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.done {
		return
	}
	s.done = true
	if s.file != nil {
		_ = s.file.Close() // nothing is buffered
	}
	s.wake()
}

// look returns the stream's length, whether it has ended, and a channel that is
// closed at the next change.
func (s *spool) look() (int64, bool, <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.size, s.done, s.more
}

// read returns bytes from offset on, waiting for some if follow is set; end says
// that nothing follows them.
func (s *spool) read(ctx context.Context, buf []byte, offset int64, follow bool) (data []byte, end bool, err error) {
	for {
		size, done, more := s.look()
		if offset < size {
			f, err := os.Open(s.path)
			if err != nil {
				return nil, true, err // removed meanwhile
			}
			defer f.Close()
			n, err := f.ReadAt(buf[:min(int64(len(buf)), size-offset)], offset)
			return buf[:n], done && offset+int64(n) >= size, err
		}
		if done || !follow {
			return nil, done, nil
		}
		select {
		case <-more:
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

// inline returns the whole stream if it is short enough to travel in a result.
func (s *spool) inline() ([]byte, bool) {
	size, _, _ := s.look()
	if size == 0 {
		return nil, true
	}
	if size > job.MaxInline {
		return nil, false
	}
	b, err := os.ReadFile(s.path)
	return b, err == nil
}

// tail returns the end of the stream for an error's detail.
func (s *spool) tail(limit int64) string {
	size, _, _ := s.look()
	if size == 0 {
		return ""
	}
	f, err := os.Open(s.path)
	if err != nil {
		return ""
	}
	defer f.Close()
	b, err := io.ReadAll(io.NewSectionReader(f, max(0, size-limit), limit))
	if err != nil {
		return ""
	}
	return string(b)
}
