package main

import (
	"fmt"
	"os"
	"strings"
	"unsafe"
)

// reach tries a path that leads out, from every folder, in every way.
func reach(path string) {
	for dir := fdIn; dir <= fdDev; dir++ {
		for dirFlags := range uint32(2) {
			for _, rights := range []uint64{0, readRights, allRights} {
				for _, flags := range []uint32{0, directory, truncate} {
					if fd := open(dir, path, dirFlags, flags, rights); fd >= 0 {
						escaped("open %q from %d with flags %d, %d: %q", path, dir, dirFlags, flags, read(fd))
						fdClose(fd)
					}
				}
			}
			var stat [64]byte
			p, n := text(path)
			if pathStat(dir, dirFlags, p, n, unsafe.Pointer(&stat)) == 0 {
				escaped("stat %q from %d", path, dir)
			}
		}
	}
}

// alter tries to make, change and remove something at a path that leads out.
func alter(path string) {
	p, n := text(path)
	inside, m := text("regular")
	for dir := fdIn; dir <= fdDev; dir++ {
		if fd := open(dir, path, follow, create|truncate, allRights); fd >= 0 {
			escaped("create %q from %d, written %v", path, dir, put(fd, "x"))
		}
		for what, errno := range map[string]uint32{
			"mkdir": pathMkdir(dir, p, n), "unlink": pathUnlink(dir, p, n), "rmdir": pathRmdir(dir, p, n),
			"rename to": pathRename(fdOut, inside, m, dir, p, n), "rename from": pathRename(dir, p, n, fdOut, p, n),
			"link to": pathLink(fdOut, 0, inside, m, dir, p, n), "link from": pathLink(dir, follow, p, n, fdOut, inside, m),
			"symlink": pathSymlink(p, n, dir, p, n), "times": pathTimes(dir, follow, p, n, 1, 1, 5),
		} {
			if errno == 0 {
				escaped("%s %q from %d", what, path, dir)
			}
		}
	}
}

func dotdot([]string) {
	for _, p := range []string{
		"..", "../", "../secret", "../../etc/passwd", "sub/../../secret", "./../secret", "..//secret", "sub/../../in/../secret", "../out/../secret",
		strings.Repeat("../", 40) + "etc/passwd", "sub/./.././../secret", "regular/../../secret", "dirlink/../secret", "nothing/../../secret", ".../../../secret",
	} {
		reach(p)
	}
	for _, p := range []string{"../secret", "../new", "sub/../../new", "../in/regular", "../../new"} {
		alter(p)
	}
	for _, p := range []string{"/in/../secret", "/out/../../etc/passwd", "../secret", "/../../etc/passwd"} {
		_, err := os.ReadFile(p)
		no(err, "read %q", p)
	}
}

func absolute([]string) {
	for _, p := range []string{
		"/etc/passwd", "//etc/passwd", "/proc/self/environ", "/proc/self/fd/0", "/proc/self/root/etc/passwd", "/proc/1/root", "/dev/mem",
		"/dev/null", "/dev/stdin", "/sys/kernel", "/tmp/../etc/passwd", "/root/.ssh", "proc/self/root", "dev/fd/0",
	} {
		reach(p)
		_, err := os.ReadFile(p)
		no(err, "read %q", p)
	}
	for _, p := range []string{"/etc/hostile", "/tmp/../../hostile", "//hostile/x"} {
		alter(p)
	}
	_, err := os.ReadDir("/proc")
	no(err, "list /proc")
}

func nul([]string) {
	for _, p := range []string{"../secret\x00", "\x00../secret", "regular\x00/../../secret", "..\x00/secret", "regular\x00", "\x00"} {
		reach(p)
		alter(p)
	}
}

func long([]string) {
	for _, p := range []string{
		strings.Repeat("a", 5000), strings.Repeat("a/", 100_000), strings.Repeat("./", 500_000) + "../secret",
		strings.Repeat("sub/../", 100_000) + "../secret", strings.Repeat("../", 300_000) + "etc/passwd", strings.Repeat("/", 1<<20) + "etc/passwd",
	} {
		for dir := fdIn; dir <= fdDev; dir++ {
			if fd := open(dir, p, follow, 0, readRights); fd >= 0 {
				escaped("open a path of %d bytes from %d: %q", len(p), dir, read(fd))
			}
		}
	}
}

// odd tries names that other systems or decoders take for something else.
func odd([]string) {
	for _, p := range []string{
		"..\\secret", "..\\..\\secret", "%2e%2e/secret", "..%2fsecret", "\xc0\xae\xc0\xae/secret", "．．/secret", "..\u2215secret", "\xff\xfe/../../secret",
		"C:\\secret", "file:///etc/passwd", "~/secret", "$HOME", "\n../secret", " ../secret",
	} {
		reach(p)
	}
}

// held keeps a folder open, moves it, and climbs from there.
func held([]string) {
	must(os.MkdirAll("/out/a/b/c", 0o755))
	fd := open(fdOut, "a/b/c", 0, directory, allRights)
	if fd < 0 {
		fail(fmt.Errorf("a folder of its own cannot be opened"))
	}
	must(os.Rename("/out/a/b", "/out/b"))
	for _, p := range []string{"..", "../..", "../../..", "../../../secret", "../../../../secret"} {
		if f := open(fd, p, follow, 0, readRights); f >= 0 {
			escaped("open %q from a folder that was moved: %q", p, read(f))
		}
		if f := open(fd, p+"/new", follow, create, allRights); f >= 0 {
			escaped("create %q from a folder that was moved", p+"/new")
		}
	}
	must(os.RemoveAll("/out/a"))
	must(os.RemoveAll("/out/b"))
	if f := open(fd, "new", follow, create, allRights); f >= 0 {
		escaped("create in a folder that is gone")
	}
	buf, n := make([]byte, 4096), uint32(0)
	fdReaddir(fd, unsafe.Pointer(&buf[0]), uint32(len(buf)), 0, unsafe.Pointer(&n))
}

// roots tries to take its folders away.
func roots([]string) {
	for dir := fdIn; dir <= fdDev; dir++ {
		for _, p := range []string{".", "./", "sub/..", "/"} {
			s, n := text(p)
			to, m := text("moved")
			for what, errno := range map[string]uint32{
				"rmdir": pathRmdir(dir, s, n), "unlink": pathUnlink(dir, s, n), "rename": pathRename(dir, s, n, dir, to, m),
				"rename onto": pathRename(fdOut, to, m, dir, s, n),
			} {
				if errno == 0 {
					escaped("%s %q of %d", what, p, dir)
				}
			}
		}
	}
	no(os.Remove("/in"), "remove /in")
	no(os.Rename("/out", "/tmp/out"), "rename /out")
	no(os.Mkdir("/new", 0o755), "make a folder beside its own")
}

// special opens what is neither file nor folder; none of it may hold it up.
func special([]string) {
	for _, p := range []string{"fifo", "socket", "device"} {
		for _, rights := range []uint64{0, readRights, allRights} {
			for _, flags := range []uint32{0, create, truncate} {
				if fd := open(fdIn, p, follow, flags, rights); fd >= 0 {
					escaped("open %q: %q", p, read(fd))
				}
			}
		}
	}
}

func readLink([]string) {
	for _, p := range []string{"link", "dirlink", "inner", "chain", "procroot"} {
		buf, n := make([]byte, 256), uint32(0)
		s, m := text(p)
		if pathReadlink(fdIn, s, m, unsafe.Pointer(&buf[0]), uint32(len(buf)), unsafe.Pointer(&n)) == 0 {
			escaped("readlink %q: %q", p, buf[:n])
		}
	}
}

func throughLink([]string) {
	for _, p := range []string{
		"link", "inner", "chain", "dirlink/secret", "dirlink/in/regular", "procroot/etc/passwd", "dirlink/", "loop", "loop/x", "link/",
	} {
		for dirFlags := range uint32(2) {
			for dir := fdIn; dir <= fdOut; dir++ {
				for _, flags := range []uint32{0, directory, create, truncate} {
					if fd := open(dir, p, dirFlags, flags, allRights); fd >= 0 {
						escaped("open %q from %d: %q", p, dir, read(fd))
					}
				}
			}
		}
	}
	no(os.Chdir("/in/dirlink"), "chdir through a link")
	_, err := os.ReadDir("/in/dirlink")
	no(err, "list through a link")
}

func writeLink([]string) {
	no(os.WriteFile("/out/link", []byte("x"), 0o644), "write through a link")
	no(os.Truncate("/out/link", 0), "truncate through a link")
	no(os.WriteFile("/out/dirlink/new", []byte("x"), 0o644), "create through a link")
	no(os.Mkdir("/out/dirlink/new", 0o755), "make a folder through a link")
	no(os.Remove("/out/dirlink/secret"), "remove through a link")
	no(os.Rename("/out/regular", "/out/dirlink/gone"), "rename through a link")
	no(os.Rename("/out/dirlink/secret", "/out/mine"), "take through a link")
	f, err := os.OpenFile("/out/link", os.O_APPEND|os.O_WRONLY, 0)
	no(err, "append through a link")
	f.Close()
}

func ownLink([]string) {
	for i, to := range []string{"/etc/passwd", "../secret", "regular", ".", "..", "/proc/self/root"} {
		name := fmt.Sprint("own", i)
		no(os.Symlink(to, "/out/"+name), "symlink to %q", to)
		t, n := text(to)
		s, m := text(name)
		for dir := fdIn; dir <= fdDev; dir++ {
			if pathSymlink(t, n, dir, s, m) == 0 {
				escaped("raw symlink to %q in %d", to, dir)
			}
		}
		_, err := os.ReadFile("/out/" + name)
		no(err, "read its own link to %q", to)
	}
}

// moveLink renames links that others have left, so that they point elsewhere.
func moveLink([]string) {
	must(os.MkdirAll("/out/x/y", 0o755))
	for _, to := range []string{"/out/x/link", "/out/x/y/link", "/out/link2"} {
		if os.Rename("/out/link", to) == nil {
			_, err := os.ReadFile(to)
			no(err, "read a link moved to %q", to)
			no(os.WriteFile(to, []byte("x"), 0o644), "write a link moved to %q", to)
			must(os.Rename(to, "/out/link"))
		}
	}
	if os.Rename("/out/dirlink", "/out/x/y/dirlink") == nil {
		_, err := os.ReadDir("/out/x/y/dirlink")
		no(err, "list a link moved")
		must(os.Rename("/out/x/y/dirlink", "/out/dirlink"))
	}
	// A folder made in a link's place, and a link in a folder's place.
	if os.Rename("/out/dirlink", "/out/aside") == nil {
		must(os.Mkdir("/out/dirlink", 0o755))
		fd := open(fdOut, "dirlink", 0, directory, allRights)
		must(os.Remove("/out/dirlink"))
		must(os.Rename("/out/aside", "/out/dirlink"))
		if f := open(fd, "secret", follow, 0, readRights); f >= 0 {
			escaped("read through a folder that became a link: %q", read(f))
		}
		if f := open(fd, "new", follow, create, allRights); f >= 0 {
			escaped("create through a folder that became a link")
		}
	}
}

func hardLink([]string) {
	no(os.Link("/out/regular", "/out/second"), "hard link")
	for dir := fdIn; dir <= fdTmp; dir++ {
		for to := fdIn; to <= fdTmp; to++ {
			s, n := text("regular")
			d, m := text("second")
			for flags := range uint32(2) {
				if pathLink(dir, flags, s, n, to, d, m) == 0 {
					escaped("link from %d to %d", dir, to)
				}
			}
		}
	}
}

func intoIn([]string) {
	no(os.WriteFile("/in/new", []byte("x"), 0o644), "create in /in")
	no(os.WriteFile("/in/regular", []byte("x"), 0o644), "overwrite in /in")
	no(os.Remove("/in/regular"), "remove in /in")
	no(os.Remove("/in/link"), "remove a link in /in")
	no(os.Mkdir("/in/dir", 0o755), "mkdir in /in")
	no(os.Rename("/in/regular", "/in/other"), "rename in /in")
	no(os.Truncate("/in/regular", 0), "truncate in /in")
	for _, flags := range []int{os.O_RDWR, os.O_WRONLY, os.O_APPEND | os.O_WRONLY, os.O_TRUNC | os.O_WRONLY, os.O_CREATE | os.O_EXCL | os.O_RDWR} {
		f, err := os.OpenFile("/in/regular", flags, 0)
		no(err, "open in /in with %x", flags)
		f.Close()
	}
}

// rightsIn opens an input for reading and goes on as if it were for writing.
func rightsIn([]string) {
	fd := open(fdIn, "regular", 0, 0, allRights&^(1<<6)) // all but the right to write
	if fd < 0 {
		fd = open(fdIn, "regular", 0, 0, readRights)
	}
	if fd < 0 {
		fail(fmt.Errorf("an input cannot be read"))
	}
	fdSetRights(fd, allRights, allRights)
	fdSetFlags(fd, 1) // append
	if put(fd, "x") {
		escaped("write to an input")
	}
	b, n := []byte("x"), uint32(0)
	v := vector{uint32(uintptr(unsafe.Pointer(&b[0]))), 1}
	for what, errno := range map[string]uint32{
		"pwrite": fdPwrite(fd, unsafe.Pointer(&v), 1, 0, unsafe.Pointer(&n)), "allocate": fdAllocate(fd, 0, 1000), "set size": fdSetSize(fd, 0),
	} {
		if errno == 0 {
			escaped("%s of an input", what)
		}
	}
	fdTimes(fd, 1, 1, 5)
	p, m := text("regular")
	pathTimes(fdIn, 0, p, m, 1, 1, 5)
}

// between moves and links files from one folder to another.
func between([]string) {
	must(os.WriteFile("/tmp/mine", []byte("x"), 0o644))
	for from := fdIn; from <= fdDev; from++ {
		for to := fdIn; to <= fdDev; to++ {
			if from == to {
				continue
			}
			for _, p := range []string{"regular", "mine", "sub", "progress"} {
				s, n := text(p)
				d, m := text("regular")
				if pathRename(from, s, n, to, d, m) == 0 {
					escaped("rename %q from %d to %d", p, from, to)
				}
			}
		}
	}
	must(os.MkdirAll("/out/p/q", 0o755))
	no(os.Rename("/out/p", "/out/p/q/p"), "move a folder into itself")
	must(os.RemoveAll("/out/p"))
}
