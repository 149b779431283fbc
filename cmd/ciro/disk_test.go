package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ciro-network/ciro/node/api"
)

// smallDisk is a file system of its own under a node's data directory.
type smallDisk struct {
	t      *testing.T
	dir    string
	filler string
}

// mountSmall makes one of that many bytes. Only root may, where it may at all.
func mountSmall(t *testing.T, dir string, bytes int) *smallDisk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("ciro-test", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		t.Skipf("SKIPPED, NOT PASSED: this test makes a small disk, and may not mount one here: %v", err)
	} else if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // nodes may still use it: they end in an earlier cleanup's turn
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return &smallDisk{t: t, dir: dir, filler: filepath.Join(dir, "somebody-elses-file")}
}

// leave fills the disk until that many bytes are free.
func (d *smallDisk) leave(bytes uint64) {
	d.t.Helper()
	f, err := os.OpenFile(d.filler, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer f.Close()
	chunk := make([]byte, 16<<10)
	for {
		var st unix.Statfs_t
		if err := unix.Statfs(d.dir, &st); err != nil {
			d.t.Fatal(err)
		}
		if free := st.Bavail * uint64(st.Bsize); free <= bytes {
			return
		}
		if _, err := f.Write(chunk); err != nil && !errors.Is(err, unix.ENOSPC) {
			d.t.Fatal(err)
		}
	}
}

// clear gives everything back.
func (d *smallDisk) clear() {
	d.t.Helper()
	if err := os.Remove(d.filler); err != nil {
		d.t.Fatal(err)
	}
}

// endsByItself waits for the end of a node's process, which must fail, without a
// panic, and say why in its last line.
func (m *mesh) endsByItself(i int, why ...string) {
	m.t.Helper()
	n := m.nodes[i]
	select {
	case <-n.ended:
	case <-time.After(40 * time.Second):
		m.t.Fatalf("it runs on as if nothing had happened; its log: %s", m.text(i))
	}
	text, last := m.text(i), lastLine(m.text(i))
	if code := n.cmd.ProcessState.ExitCode(); code != exitFailed || strings.Contains(text, "goroutine ") {
		m.t.Errorf("it ended with %v; its log: %s", n.cmd.ProcessState, text)
	}
	for _, w := range why {
		if !strings.Contains(last, w) {
			m.t.Errorf("its last words lack %q: %s", w, last)
		}
	}
	m.t.Log(strings.ReplaceAll(last, m.dir, "DIR"))
}

// TestProcessFullDisk fills the disk of one of three nodes, with the watch over
// its room and without. Told in time it takes no work, then hands over and stops; a database
// that meets the end of the disk ends the process. Either way it says so, does not start until
// there is room, comes back as it was, and no accepted job is lost.
func TestProcessFullDisk(t *testing.T) {
	if testing.Short() {
		t.Skip("starts processes, and one of them waits for its lost tasks")
	}
	const mib = 1 << 20
	m := startMesh(t, 2)
	disk := mountSmall(t, filepath.Join(m.dir, "n2"), 192*mib)
	t.Setenv("CIRO_STORAGE_DISK_RESERVE", "32MiB")
	m.nodes = append(m.nodes, nil)
	m.start(2, "worker,coordinator")
	m.whole()
	door := m.nodes[0].client
	var accepted []string
	submit := func(tasks int) {
		t.Helper()
		accepted = append(accepted, m.submit(door, moduleOf(t, ""), map[string]any{"tasks": tasks}).Job)
	}
	padding := strings.Repeat("x", 4000)
	large := map[string]any{"env": map[string]any{"A": padding, "B": padding, "C": padding}} // for the log
	allEnded := func() {
		t.Helper()
		for _, id := range accepted {
			if j := m.ended(door, id); j.State != api.JobCompleted {
				t.Errorf("job %s is %s: %+v", id, j.State, j.Reason)
			}
		}
	}

	submit(40)
	disk.leave(16 * mib)
	m.until("the node is low on disk", func() bool {
		h, err := m.nodes[2].client.Health(t.Context())
		for _, c := range h.Checks {
			if err == nil && c.Name == "disk" && !c.OK && strings.Contains(c.Detail, "LOW ON DISK") {
				return true
			}
		}
		return false
	})
	m.until("the node leads nothing", func() bool {
		s, err := m.nodes[2].client.Status(t.Context())
		return err == nil && len(s.Leads) == 0
	})
	if _, err := m.nodes[2].client.Upload(t.Context(), strings.NewReader("new content"), 11); err == nil || !strings.Contains(err.Error(), "storage.disk_reserve") {
		t.Errorf("new content on a disk that is low: %v", err)
	}
	submit(40)
	allEnded()
	submit(40)
	disk.leave(1 * mib)
	m.endsByItself(2, "the disk of", "is full", "free some space and start it again")
	submit(10)
	allEnded()
	m.refuses(2, "is full", "free some space and start it again")
	disk.clear()
	m.start(2, "worker,coordinator")
	m.whole()

	if err := m.nodes[2].kill(); err != nil {
		t.Fatal(err)
	}
	t.Setenv("CIRO_STORAGE_DISK_RESERVE", "0")
	m.start(2, "worker,coordinator")
	m.whole()
	disk.leave(0)
	for ended, n := false, 0; !ended; n++ {
		accepted = append(accepted, m.submit(door, moduleOf(t, ""), large).Job)
		select {
		case <-m.nodes[2].ended:
			ended = true
		default:
		}
		if n == 3000 {
			t.Fatalf("it runs on without any room; its log: %s", m.text(2))
		}
	}
	m.endsByItself(2, "failed:", "no space left on device", "free some space, then start it again")
	allEnded()
	disk.clear()
	m.start(2, "worker,coordinator")
	m.whole()
	submit(20)
	allEnded()
}
