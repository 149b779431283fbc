package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"unsafe"
)

// foreign uses descriptors that it was not given.
func foreign([]string) {
	for fd := int32(-5); fd < 2000; fd++ {
		if fd >= 0 && fd <= fdDev {
			continue
		}
		if s := read(fd); s != "" {
			escaped("read descriptor %d: %q", fd, s)
		}
		if put(fd, "x") {
			escaped("write descriptor %d", fd)
		}
		if f := open(fd, "regular", follow, 0, readRights); f >= 0 {
			escaped("open from descriptor %d", fd)
		}
		fdSetSize(fd, 0)
		fdClose(fd)
	}
	for _, fd := range []int32{0, 1, 2} {
		if f := open(fd, "regular", follow, 0, readRights); f >= 0 {
			escaped("open from descriptor %d", fd)
		}
	}
	for _, fd := range []int32{1 << 30, 1<<31 - 1, -1 << 31} {
		fdClose(fd)
		put(fd, "x")
	}
}

// renumber puts descriptors in each other's place, also far away.
func renumber([]string) {
	for _, c := range [][2]int32{{fdOut, fdIn}, {fdIn, 1 << 30}, {1, fdTmp}, {fdOut, 1<<31 - 1}, {-1, 5}, {fdTmp, -1}, {4, 4}, {fdDev, 100_000_000}} {
		fdRenumber(c[0], c[1])
	}
	for dir := range int32(12) {
		if f := open(dir, "../secret", follow, 0, readRights); f >= 0 {
			escaped("open from %d: %q", dir, read(f))
		}
	}
	if f := open(fdIn, "new", 0, create, allRights); f >= 0 && put(f, "x") {
		// Its own /out may be under the number of /in; the file must be in /out then.
		fmt.Println("written")
	}
	for fd := range int32(2000) {
		if fd != 1 {
			fdClose(fd)
		}
	}
}

// wild hands over addresses beyond its memory, to everything.
func wild([]string) {
	for _, at := range []uintptr{0xffffffff, 0xfffffff0, 0x80000000, 0x7fffffff} {
		p := wildly(at)
		for _, n := range []uint32{1, 1 << 16, 1 << 31, 1<<32 - 1} {
			pathOpen(fdOut, 1, p, n, 1, allRights, allRights, 0, p)
			pathStat(fdIn, 1, p, n, p)
			pathLink(fdIn, 1, p, n, fdOut, p, n)
			pathSymlink(p, n, fdOut, p, n)
			pathReadlink(fdIn, p, n, p, n, p)
			pathRename(fdOut, p, n, fdOut, p, n)
			pathRmdir(fdOut, p, n)
			pathUnlink(fdOut, p, n)
			pathMkdir(fdOut, p, n)
			fdRead(0, p, n, p)
			fdWrite(1, p, n, p)
			fdPwrite(1, p, n, 0, p)
			fdReaddir(fdOut, p, n, 0, p)
			fdPrestatName(fdIn, p, n)
			pollOneoff(p, p, n, p)
			randomGet(p, n)
		}
		fdSeek(1, 0, 0, p)
		clockTime(0, 0, p)
		argsGet(p, p)
		environGet(p, p)
		sockAccept(fdIn, 0, p)
	}
	fmt.Println("still here")
}

// vectors writes the same megabyte by very many vectors, and by too long ones.
func vectors([]string) {
	b := make([]byte, 1<<20)
	at := uint32(uintptr(unsafe.Pointer(&b[0])))
	n := uint32(0)
	fd := open(fdOut, "vectors", 0, create, allRights)
	for _, length := range []uint32{1<<32 - 1, 1 << 31} {
		all := []vector{{at, length}, {at, length}}
		if fdWrite(fd, unsafe.Pointer(&all[0]), 2, unsafe.Pointer(&n)) == 0 {
			escaped("write %d bytes twice", length)
		}
		fdRead(fd, unsafe.Pointer(&all[0]), 2, unsafe.Pointer(&n))
	}
	all := make([]vector, 1<<16) // 64 GiB in one call
	for i := range all {
		all[i] = vector{at, 1 << 20}
	}
	fdWrite(1, unsafe.Pointer(&all[0]), uint32(len(all)), unsafe.Pointer(&n))
	fdWrite(fd, unsafe.Pointer(&all[0]), uint32(len(all)), unsafe.Pointer(&n))
	escaped("go on after 64 GiB")
}

// subscription is one thing to wait for: a clock.
type subscription struct {
	user      uint64
	tag       uint8
	_         [7]byte
	clock     uint32
	timeout   uint64
	precision uint64
	flags     uint16
}

func pollMany([]string) {
	const count = 200_000
	in, out, n := make([]subscription, count), make([][32]byte, count), uint32(0)
	for i := range in {
		in[i].timeout = uint64(i % 7)
	}
	for {
		pollOneoff(unsafe.Pointer(&in[0]), unsafe.Pointer(&out[0]), count, unsafe.Pointer(&n))
	}
}

// pollFar waits for a time that is as far as a number says.
func pollFar(args []string) {
	timeout, err := strconv.ParseUint(args[0], 0, 64)
	must(err)
	for {
		in, out, n := subscription{timeout: timeout}, [32]byte{}, uint32(0)
		pollOneoff(unsafe.Pointer(&in), unsafe.Pointer(&out), 1, unsafe.Pointer(&n))
	}
}

// pollOdd waits for what there is not: it must come back each time.
func pollOdd([]string) {
	out, n := [4][32]byte{}, uint32(0)
	for _, s := range []subscription{
		{timeout: 0, flags: 1}, {clock: 77, timeout: 1}, {tag: 9},
		{tag: 1, clock: 1 << 31}, {tag: 2, clock: 1}, {tag: 1, clock: 0}, {tag: 1, clock: 5}, {flags: 0xffff},
	} {
		in := [1]subscription{s}
		pollOneoff(unsafe.Pointer(&in[0]), unsafe.Pointer(&out[0]), 1, unsafe.Pointer(&n))
		pollOneoff(unsafe.Pointer(&in[0]), unsafe.Pointer(&out[0]), 0, unsafe.Pointer(&n))
	}
	fmt.Println("still here")
}

func random([]string) {
	b := make([]byte, 64<<20)
	for {
		randomGet(unsafe.Pointer(&b[0]), uint32(len(b)))
	}
}

// clocks looks at clocks without end; those that do not exist, too.
func clocks([]string) {
	t := uint64(0)
	for i := uint32(0); ; i++ {
		clockTime(i%9, uint64(i), unsafe.Pointer(&t))
	}
}

func yield([]string) {
	for {
		schedYield()
	}
}

// flood writes to stdout or stderr without end.
func flood(args []string) {
	line := []byte(strings.Repeat("flood ", 10_000) + "\n")
	f := os.Stdout
	if args[0] == "stderr" {
		f = os.Stderr
	}
	for {
		_, _ = f.Write(line)
	}
}

func progress([]string) {
	f, err := os.OpenFile("/dev/progress", os.O_WRONLY, 0)
	must(err)
	for i := 0; ; i++ {
		_, _ = fmt.Fprintf(f, "0.%d %s\n", i%10, strings.Repeat("p", 400))
	}
}

// longLine reports progress in one line that never ends.
func longLine([]string) {
	f, err := os.OpenFile("/dev/progress", os.O_WRONLY, 0)
	must(err)
	part := []byte("0.5 " + strings.Repeat("l", 1<<20))
	for {
		_, _ = f.Write(part)
	}
}

// control reports progress that would move a reader's cursor.
func control([]string) {
	must(os.WriteFile("/dev/progress", []byte("0.5 \x1b[2J\x1b]0;owned\x07\rhello\x00\u009b31m\u202egnp.exe\n"), 0o644))
}

func sockets([]string) {
	for fd := range int32(10) {
		to := int32(-1)
		if sockAccept(fd, 0, unsafe.Pointer(&to)) == 0 {
			escaped("accept on %d", fd)
		}
		sockShutdown(fd, 3)
	}
}

// exits leaves with a code that no process has.
func exits(args []string) { procExit(uint32(number(args[0]))) }

// args says how many arguments and how large an environment it got.
func args(args []string) { fmt.Println(len(args), len(os.Environ())) }
