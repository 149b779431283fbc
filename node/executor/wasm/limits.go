package wasm

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// What a child may use beyond the guest's own memory.
const (
	// headroom is the address space, in bytes, for the Go runtime to grow in,
	// for the module's text and for compiling it.
	headroom = 1 << 30
	// compileHeap is the size of the child's own heap, in bytes, from which on
	// its collector works as hard as it can.
	compileHeap = 768 << 20
	// guestHeap is the same while the guest runs; there is little to do then.
	guestHeap = 192 << 20
	// maxOpenFiles bounds the descriptors of a child.
	maxOpenFiles = 512
	// maxCacheFile is the largest compiled module that can be cached, in bytes.
	maxCacheFile = 1 << 30
	// niceness of every thread of a child.
	niceness = 10
)

// settle makes the process a good neighbour before it has read anything:
// lowest in line for the processor, no core files, no strangers' descriptors,
// no environment.
func settle() error {
	os.Clearenv()
	if err := unix.Setpriority(unix.PRIO_PGRP, 0, niceness); err != nil {
		return fmt.Errorf("lower the sandbox's priority: %w", err)
	}
	if err := capped(unix.RLIMIT_CORE, 0); err != nil {
		return err
	}
	if err := capped(unix.RLIMIT_NOFILE, maxOpenFiles); err != nil {
		return err
	}
	return closeInherited()
}

// closeInherited closes what the parent's parent may have left open. The Go
// runtime's own poller and whatever it watches in /sys stay.
func closeInherited() error {
	const dir = "/proc/self/fd"
	list, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("list open descriptors: %w", err)
	}
	for _, e := range list {
		fd, err := strconv.Atoi(e.Name())
		if err != nil || fd <= 2 {
			continue
		}
		to, err := os.Readlink(dir + "/" + e.Name())
		if err != nil || strings.HasPrefix(to, "anon_inode:[event") || strings.HasPrefix(to, "/sys/") {
			continue // gone already (the listing itself), or the runtime's
		}
		if err := unix.Close(fd); err != nil {
			return fmt.Errorf("close inherited descriptor %d: %w", fd, err)
		}
	}
	return nil
}

// capAddressSpace lets the process map guest bytes and the headroom on top of
// what it has mapped already. A later call may only tighten.
func capAddressSpace(base, guest uint64) error {
	return capped(unix.RLIMIT_AS, base+guest+headroom)
}

// capTime bounds the processor time: twice the timeout, since the collector
// and the compiler use a second core, and two seconds. The parent kills at
// the deadline by the clock; this one holds if there is no parent. The Go
// runtime takes no notice of the soft limit, so the hard one is the same.
func capTime(timeout time.Duration) error {
	return capped(unix.RLIMIT_CPU, maxCPU(timeout))
}

// maxCPU is the processor time, in seconds, for an attempt of that duration.
func maxCPU(timeout time.Duration) uint64 {
	return 2*uint64((timeout+time.Second-1)/time.Second) + 2
}

// capFile bounds the size of any one file that the process writes, in bytes.
func capFile(size uint64) error { return capped(unix.RLIMIT_FSIZE, size) }

// capped lowers a limit; it never raises one.
func capped(resource int, to uint64) error {
	var lim unix.Rlimit
	if err := unix.Getrlimit(resource, &lim); err != nil {
		return fmt.Errorf("read limit %d: %w", resource, err)
	}
	lim.Cur, lim.Max = min(to, lim.Max), min(to, lim.Max)
	if err := unix.Setrlimit(resource, &lim); err != nil {
		return fmt.Errorf("set limit %d to %d: %w", resource, to, err)
	}
	return nil
}

// addressSpace is what this process has mapped, in bytes.
func addressSpace() (uint64, error) {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		return 0, fmt.Errorf("read own size: %w", err)
	}
	first, _, _ := strings.Cut(string(b), " ")
	pages, err := strconv.ParseUint(first, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read own size: %w", err)
	}
	return pages * uint64(os.Getpagesize()), nil
}

// peakResident is the most memory that a process held at once, in bytes, or 0.
// The resource usage that wait returns is no use here: after a fork it starts
// from the parent's peak.
func peakResident(pid string) uint64 {
	b, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		return 0
	}
	_, rest, ok := strings.Cut(string(b), "VmHWM:")
	if !ok {
		return 0
	}
	f := strings.Fields(rest)
	if len(f) == 0 {
		return 0
	}
	kib, err := strconv.ParseUint(f[0], 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}

// cpuTime is the processor time of this process so far.
func cpuTime() time.Duration {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
