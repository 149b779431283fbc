package main

import "unsafe"

// WASI as it is: the standard library cleans paths and keeps to the rules.

//go:wasmimport wasi_snapshot_preview1 path_open
//go:noescape
func pathOpen(dir int32, dirFlags uint32, path unsafe.Pointer, length, flags uint32, rights, inheriting uint64, fdFlags uint32, fd unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 path_filestat_get
//go:noescape
func pathStat(dir int32, flags uint32, path unsafe.Pointer, length uint32, stat unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 path_link
//go:noescape
func pathLink(dir int32, flags uint32, path unsafe.Pointer, length uint32, toDir int32, to unsafe.Pointer, toLength uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_symlink
//go:noescape
func pathSymlink(text unsafe.Pointer, textLength uint32, dir int32, path unsafe.Pointer, length uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_readlink
//go:noescape
func pathReadlink(dir int32, path unsafe.Pointer, length uint32, buf unsafe.Pointer, bufLength uint32, used unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 path_rename
//go:noescape
func pathRename(dir int32, path unsafe.Pointer, length uint32, toDir int32, to unsafe.Pointer, toLength uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_remove_directory
//go:noescape
func pathRmdir(dir int32, path unsafe.Pointer, length uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_unlink_file
//go:noescape
func pathUnlink(dir int32, path unsafe.Pointer, length uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_create_directory
//go:noescape
func pathMkdir(dir int32, path unsafe.Pointer, length uint32) uint32

//go:wasmimport wasi_snapshot_preview1 path_filestat_set_times
//go:noescape
func pathTimes(dir int32, flags uint32, path unsafe.Pointer, length uint32, atime, mtime uint64, which uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_read
//go:noescape
func fdRead(fd int32, vectors unsafe.Pointer, count uint32, n unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_write
//go:noescape
func fdWrite(fd int32, vectors unsafe.Pointer, count uint32, n unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_pwrite
//go:noescape
func fdPwrite(fd int32, vectors unsafe.Pointer, count uint32, at uint64, n unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_allocate
//go:noescape
func fdAllocate(fd int32, at, length uint64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_size
//go:noescape
func fdSetSize(fd int32, size uint64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_filestat_set_times
//go:noescape
func fdTimes(fd int32, atime, mtime uint64, which uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_flags
//go:noescape
func fdSetFlags(fd int32, flags uint32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_fdstat_set_rights
//go:noescape
func fdSetRights(fd int32, rights, inheriting uint64) uint32

//go:wasmimport wasi_snapshot_preview1 fd_renumber
//go:noescape
func fdRenumber(from, to int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_close
//go:noescape
func fdClose(fd int32) uint32

//go:wasmimport wasi_snapshot_preview1 fd_readdir
//go:noescape
func fdReaddir(fd int32, buf unsafe.Pointer, length uint32, cookie uint64, n unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_seek
//go:noescape
func fdSeek(fd int32, offset int64, whence uint32, at unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 fd_prestat_dir_name
//go:noescape
func fdPrestatName(fd int32, path unsafe.Pointer, length uint32) uint32

//go:wasmimport wasi_snapshot_preview1 poll_oneoff
//go:noescape
func pollOneoff(in, out unsafe.Pointer, count uint32, n unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 random_get
//go:noescape
func randomGet(buf unsafe.Pointer, length uint32) uint32

//go:wasmimport wasi_snapshot_preview1 clock_time_get
//go:noescape
func clockTime(clock uint32, precision uint64, t unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 args_get
//go:noescape
func argsGet(argv, buf unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 environ_get
//go:noescape
func environGet(env, buf unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sched_yield
//go:noescape
func schedYield() uint32

//go:wasmimport wasi_snapshot_preview1 sock_accept
//go:noescape
func sockAccept(fd int32, flags uint32, to unsafe.Pointer) uint32

//go:wasmimport wasi_snapshot_preview1 sock_shutdown
//go:noescape
func sockShutdown(fd int32, how uint32) uint32

//go:wasmimport wasi_snapshot_preview1 proc_exit
//go:noescape
func procExit(code uint32)

// text is a string's place in memory; the string must not be empty.
func text(s string) (unsafe.Pointer, uint32) {
	return unsafe.Pointer(unsafe.StringData(s)), uint32(len(s))
}

// wildly is an address.
func wildly(at uintptr) unsafe.Pointer { return *(*unsafe.Pointer)(unsafe.Pointer(&at)) }

// vector is one of the buffers of a read or write.
type vector struct {
	buf    uint32
	length uint32
}

// Rights and flags; all of them and those that matter.
const (
	allRights  = 1<<30 - 1
	readRights = 1<<1 | 1<<2 | 1<<5 | 1<<14 | 1<<21 // read, seek, tell, readdir, stat

	create, directory, exclusive, truncate = 1, 2, 4, 8

	follow = 1
)

// The folders as the sandbox hands them over.
const (
	fdIn int32 = iota + 3
	fdOut
	fdTmp
	fdDev
)

// open opens a path as given and returns the descriptor, or -1.
func open(dir int32, path string, dirFlags, flags uint32, rights uint64) int32 {
	p, n := text(path)
	fd := int32(-1)
	if pathOpen(dir, dirFlags, p, n, flags, rights, rights, 0, unsafe.Pointer(&fd)) != 0 {
		return -1
	}
	return fd
}

// read reads a little.
func read(fd int32) string {
	b := make([]byte, 64)
	v := vector{uint32(uintptr(unsafe.Pointer(&b[0]))), uint32(len(b))}
	n := uint32(0)
	if fdRead(fd, unsafe.Pointer(&v), 1, unsafe.Pointer(&n)) != 0 {
		return ""
	}
	return string(b[:n])
}

// put writes a little and reports whether that worked.
func put(fd int32, s string) bool {
	b := []byte(s)
	v := vector{uint32(uintptr(unsafe.Pointer(&b[0]))), uint32(len(b))}
	n := uint32(0)
	return fdWrite(fd, unsafe.Pointer(&v), 1, unsafe.Pointer(&n)) == 0 && n > 0
}
