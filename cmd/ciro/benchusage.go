package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// benchUsage is what a process and its ended children have used.
type benchUsage struct {
	own, children time.Duration // processor time
	resident      uint64        // bytes
}

// clockTick is the unit of processor time in /proc: 100 a second on every Linux
// that Go runs on.
const clockTick = 10 * time.Millisecond

// usage looks at the processes that were started.
func (b *bench) usage() []benchUsage {
	var out []benchUsage
	for _, n := range b.nodes {
		out = append(out, processUsage(n.cmd.Process.Pid))
	}
	return out
}

// processUsage reads /proc; what cannot be read counts as nothing.
func processUsage(pid int) benchUsage {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return benchUsage{}
	}
	// The name in parentheses may contain anything; what follows are numbers.
	fields := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	number := func(i int) time.Duration {
		if i >= len(fields) {
			return 0
		}
		v, err := strconv.ParseInt(fields[i], 10, 64)
		if err != nil {
			return 0
		}
		return time.Duration(v)
	}
	return benchUsage{
		own: (number(11) + number(12)) * clockTick, children: (number(13) + number(14)) * clockTick,
		resident: uint64(number(21)) * uint64(os.Getpagesize()),
	}
}
