package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"unsafe"
)

// fill writes to a file without end and takes no notice of errors.
func fill(args []string) {
	f, err := os.Create(args[0])
	must(err)
	chunk := make([]byte, 64<<10)
	for {
		_, _ = f.Write(chunk)
	}
}

func sparse([]string) {
	f, err := os.Create("/out/sparse")
	must(err)
	_ = f.Truncate(1 << 40)
	escaped("a file of a terabyte")
}

func allocate([]string) {
	fd := open(fdOut, "allocated", 0, create, allRights)
	for _, size := range []uint64{1 << 63, 1<<64 - 1, 1<<63 - 1, 1 << 40} {
		fdAllocate(fd, 1<<63, size) // their sum may begin again at 0
		fdAllocate(fd, 0, size)
		if info, err := os.Stat("/out/allocated"); err != nil || info.Size() > 0 {
			escaped("allocate %d bytes: %v", size, err)
		}
	}
}

// far writes a byte where no file reaches.
func far([]string) {
	fd := open(fdOut, "far", 0, create, allRights)
	b, n := []byte("x"), uint32(0)
	v := vector{uint32(uintptr(unsafe.Pointer(&b[0]))), 1}
	for _, at := range []uint64{1<<64 - 1, 1 << 63, 1<<63 - 1} {
		if fdPwrite(fd, unsafe.Pointer(&v), 1, at, unsafe.Pointer(&n)) == 0 {
			escaped("write at %d", at)
		}
	}
	to := uint64(0)
	for _, off := range []int64{-1, -1 << 63, 1<<63 - 1} {
		for whence := range uint32(5) {
			if fdSeek(fd, off, whence, unsafe.Pointer(&to)) == 0 && int64(to) > 0 {
				put(fd, "x")
			}
		}
	}
	fdPwrite(fd, unsafe.Pointer(&v), 1, 1<<50, unsafe.Pointer(&n))
	escaped("go on after a byte at 2^50")
}

// files makes empty files without end.
func files(args []string) {
	for n := 0; ; n++ {
		f, err := os.Create(fmt.Sprintf("%s/%d", args[0], n))
		if err == nil {
			f.Close()
		}
	}
}

func folders([]string) {
	for n := 0; ; n++ {
		_ = os.Mkdir(fmt.Sprintf("/out/%d", n), 0o755)
	}
}

// deep makes folders in folders without end.
func deep([]string) {
	for p := "/out/d"; ; p += "/d" {
		if err := os.Mkdir(p, 0o755); err != nil {
			return // a path has an end
		}
	}
}

// names makes files with the longest names there are.
func names([]string) {
	for n := 0; ; n++ {
		f, err := os.Create("/out/" + fmt.Sprintf("%06d", n) + strings.Repeat("n", 249))
		if err != nil {
			return
		}
		f.Close()
	}
}

// nameless keeps files open that have lost their names.
func nameless([]string) {
	var kept []*os.File
	for n := 0; ; n++ {
		name := fmt.Sprintf("/tmp/%d", n)
		f, err := os.Create(name)
		if err != nil {
			return
		}
		_, _ = f.Write(make([]byte, 100<<10))
		_ = os.Remove(name)
		kept = append(kept, f)
	}
}

// replace renames full files over each other: what is replaced is given back,
// once.
func replace([]string) {
	for n := range 200 {
		must(os.WriteFile("/out/new", make([]byte, 300<<10), 0o644))
		must(os.Rename("/out/new", "/out/old"))
		if n%2 == 0 {
			must(os.Rename("/out/old", "/out/old")) // onto itself
		}
	}
	fill([]string{"/out/more"})
}

// appenders writes to one file by many descriptors, at its end.
func appenders([]string) {
	var all []*os.File
	for range 20 {
		f, err := os.OpenFile("/out/shared", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
		must(err)
		all = append(all, f)
	}
	for {
		for _, f := range all {
			_, _ = f.Write(make([]byte, 4096))
		}
	}
}

// shrink makes files shorter and longer to confuse who counts.
func shrink([]string) {
	f, err := os.Create("/out/f")
	must(err)
	for range 1000 {
		must(f.Truncate(1 << 20))
		must(f.Truncate(0))
		g, err := os.OpenFile("/out/f", os.O_TRUNC|os.O_RDWR, 0)
		must(err)
		must(g.Close())
	}
	_ = f.Truncate(1<<20 + 1)
	escaped("a byte more than allowed")
}

// churn makes and removes folders and files many times, within its quota.
func churn([]string) {
	for range 150 {
		must(os.MkdirAll("/out/a/b", 0o755))
		must(os.WriteFile("/out/a/b/f", make([]byte, 1000), 0o644))
		must(os.Rename("/out/a", "/out/c"))
		must(os.RemoveAll("/out/c"))
	}
}

// listing reads a folder again and again, from odd places.
func listing([]string) {
	for n := range 15 {
		must(os.WriteFile(filepath.Join("/out", fmt.Sprint(n)), nil, 0o644))
	}
	buf, used := make([]byte, 64<<10), uint32(0)
	fd := open(fdOut, ".", 0, directory, allRights)
	for i := range uint64(3000) {
		for _, cookie := range []uint64{0, i, 1<<64 - 1, 1 << 63, ^i} {
			fdReaddir(fd, unsafe.Pointer(&buf[0]), uint32(len(buf))>>(i%17), cookie, unsafe.Pointer(&used))
		}
	}
}

// descriptors opens a file until that fails, and goes on.
func descriptors([]string) {
	for range 20_000 {
		open(fdIn, "regular", 0, 0, readRights)
	}
	if fd := open(fdIn, "regular", 0, 0, readRights); fd > 4096 {
		escaped("descriptor %d", fd)
	}
	fmt.Println("still here")
}

// folderHandles opens a folder until that fails.
func folderHandles([]string) {
	for range 3_000_000 {
		if open(fdOut, ".", 0, directory, allRights) < 0 {
			return
		}
	}
	escaped("3,000,000 open folders")
}
