package store

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// takeLock locks the data directory for this process. The lock ends when the
// file is closed or the process ends.
func takeLock(dir string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock the data directory: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		if errors.Is(err, unix.EWOULDBLOCK) {
			err = fmt.Errorf("another ciro uses the data directory %s (pid %s); stop it, or choose another with --data-dir", dir, ownerOf(f))
		} else {
			err = fmt.Errorf("lock the data directory %s: %w", dir, err)
		}
		return nil, errors.Join(err, f.Close())
	}
	pid := []byte(strconv.Itoa(os.Getpid()) + "\n")
	if err := f.Truncate(0); err != nil {
		return nil, errors.Join(fmt.Errorf("write the lock of %s: %w", dir, err), f.Close())
	}
	if _, err := f.WriteAt(pid, 0); err != nil {
		return nil, errors.Join(fmt.Errorf("write the lock of %s: %w", dir, err), f.Close())
	}
	return f, nil
}

// ownerOf reads the pid of the holder, for people.
func ownerOf(f *os.File) string {
	b, err := io.ReadAll(io.LimitReader(f, 32))
	pid := strings.TrimSpace(string(b))
	if _, bad := strconv.Atoi(pid); err != nil || bad != nil {
		return "unknown"
	}
	return pid
}

// checkVersion refuses a directory of another format and marks a new one,
// durably and before anything else is in it.
func checkVersion(dir string) error {
	name := filepath.Join(dir, "VERSION")
	b, err := os.ReadFile(name)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(filepath.Join(dir, "state")); err == nil {
			return fmt.Errorf("%s has state but no VERSION file, so its format is unknown; restore the file, or move the directory away", dir)
		}
		return writeFile(name, strconv.Itoa(Format)+"\n")
	}
	if err != nil {
		return fmt.Errorf("read the format of the data directory: %w", err)
	}
	version, err := strconv.Atoi(strings.TrimSpace(string(b)))
	switch {
	case err != nil || version < 1:
		return fmt.Errorf("%s is no format version: %.20q; restore the file, or move the directory away", name, b)
	case version > Format:
		return fmt.Errorf("the data directory %s has format %d, written by a newer ciro; this one knows format %d: update it", dir, version, Format)
	}
	return nil
}

// writeFile replaces a small file so that a crash leaves the old or the new.
func writeFile(name, text string) error {
	next := name + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(next, name)
	}
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	dir, err := os.Open(filepath.Dir(name))
	if err != nil {
		return fmt.Errorf("sync the folder of %s: %w", name, err)
	}
	if err := errors.Join(dir.Sync(), dir.Close()); err != nil {
		return fmt.Errorf("sync the folder of %s: %w", name, err)
	}
	return nil
}
