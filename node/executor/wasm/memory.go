package wasm

import (
	"github.com/tetratelabs/wazero/experimental"
	"golang.org/x/sys/unix"
)

// memoryCap hands out the guest's linear memory: address space is reserved
// once, up to the cap, and made accessible as the guest grows, so that growing
// copies nothing and the collector never sees the guest's memory. It remembers
// whether the guest ever wanted more than its cap.
type memoryCap struct {
	limit uint64 // bytes
	hit   bool
	// over is called when a module needs more than the cap to begin with; it
	// must not return.
	over func(wanted uint64)
}

var _ experimental.MemoryAllocator = (*memoryCap)(nil)

// Allocate reserves memory for a module that starts with first bytes and may
// grow to most.
func (c *memoryCap) Allocate(first, most uint64) experimental.LinearMemory {
	if first > c.limit {
		c.hit = true
		c.over(first)
	}
	size := int(max(min(most, c.limit), 1<<16))
	b, err := unix.Mmap(-1, 0, size, unix.PROT_NONE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS)
	if err != nil {
		c.hit = true
		c.over(first)
	}
	return &linearMemory{limit: c, reserved: b}
}

// linearMemory is one module's memory.
type linearMemory struct {
	limit    *memoryCap
	reserved []byte
	open     uint64 // bytes accessible so far
}

// Reallocate makes size bytes accessible, or returns nil beyond the cap.
func (m *linearMemory) Reallocate(size uint64) []byte {
	if size > uint64(len(m.reserved)) || size > m.limit.limit {
		m.limit.hit = true
		return nil
	}
	if size > m.open {
		if err := unix.Mprotect(m.reserved[m.open:size], unix.PROT_READ|unix.PROT_WRITE); err != nil {
			m.limit.hit = true
			return nil
		}
		m.open = size
	}
	return m.reserved[:size:size]
}

// Free returns the memory.
func (m *linearMemory) Free() {
	if m.reserved != nil {
		_ = unix.Munmap(m.reserved) // cannot fail for a mapping of our own
		m.reserved = nil
	}
}
