package node

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// fallbackBytes is offered when the machine does not say what it has.
const fallbackBytes = 1 << 30

// machineMemory is the machine's memory in bytes.
func machineMemory() uint64 {
	var si unix.Sysinfo_t
	if err := unix.Sysinfo(&si); err != nil {
		return fallbackBytes
	}
	return si.Totalram * uint64(si.Unit)
}

// freeDisk is the free space of a folder's file system in bytes.
func freeDisk(dir string) (uint64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("free space of %s: %w", dir, err)
	}
	return st.Bavail * uint64(st.Bsize), nil
}
