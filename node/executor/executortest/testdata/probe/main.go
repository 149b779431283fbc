// The probe is the guest of the conformance suite: its first argument selects
// what it does, the rest are that deed's arguments.
package main

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

func main() {
	if len(os.Args) < 2 {
		fail(errors.New("no deed named"))
	}
	deeds := map[string]func(args []string) error{
		"env": env, "exit": exit, "loop": loop, "sleep": sleep, "panic": blow, "flood": flood,
		"write": write, "many": many, "grow": grow, "cat": cat, "walk": walk, "escape": escape,
		"intoIn": intoIn, "progress": report, "senses": senses, "scratch": scratch, "swallow": swallow,
		"unlinked": unlinked, "stdin": stdin, "churn": churn, "spin": spin, "stuck": stuck, "size": size,
	}
	deed, ok := deeds[os.Args[1]]
	if !ok {
		fail(fmt.Errorf("no deed %q", os.Args[1]))
	}
	if err := deed(os.Args[2:]); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, "probe:", err)
	os.Exit(9)
}

func number(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		fail(err)
	}
	return n
}

// env prints the environment, then the arguments.
func env(args []string) error {
	for _, kv := range os.Environ() {
		fmt.Println(kv)
	}
	fmt.Printf("args %q\n", args)
	fmt.Fprint(os.Stderr, "to stderr")
	return nil
}

func exit(args []string) error {
	os.Exit(number(args[0]))
	return nil
}

func loop([]string) error {
	for n := 0; ; n++ {
		if n == -1 {
			return nil
		}
	}
}

func sleep([]string) error {
	for {
		time.Sleep(time.Hour)
	}
}

func blow([]string) error { panic("as asked") }

// flood writes so many KiB to stdout.
func flood(args []string) error {
	line := []byte(strings.Repeat("x", 1023) + "\n")
	for range number(args[0]) {
		if _, err := os.Stdout.Write(line); err != nil {
			return err
		}
	}
	return nil
}

// write makes a file of so many bytes.
func write(args []string) error {
	if err := os.MkdirAll(filepath.Dir(args[0]), 0o755); err != nil {
		return err
	}
	return os.WriteFile(args[0], []byte(strings.Repeat("y", number(args[1]))), 0o644)
}

// many makes so many empty files.
func many(args []string) error {
	for n := range number(args[1]) {
		if err := os.WriteFile(filepath.Join(args[0], strconv.Itoa(n)), nil, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// churn makes and removes a file of a KiB so many times.
func churn(args []string) error {
	for range number(args[0]) {
		if err := os.WriteFile("/out/one", make([]byte, 1024), 0o644); err != nil {
			return err
		}
		if err := os.Rename("/out/one", "/out/two"); err != nil {
			return err
		}
		if err := os.Remove("/out/two"); err != nil {
			return err
		}
	}
	return nil
}

// swallow writes without end and ignores every error.
func swallow([]string) error {
	f, err := os.Create("/out/endless")
	if err != nil {
		return err
	}
	chunk := make([]byte, 64<<10)
	for range 1 << 14 {
		_, _ = f.Write(chunk)
	}
	return nil
}

// unlinked fills a file that has no name any more.
func unlinked([]string) error {
	f, err := os.Create("/tmp/nameless")
	if err != nil {
		return err
	}
	if err := os.Remove("/tmp/nameless"); err != nil {
		return err
	}
	return f.Truncate(1 << 30)
}

var kept [][]byte

func grow([]string) error {
	for {
		b := make([]byte, 1<<20)
		for i := range b {
			b[i] = byte(i)
		}
		kept = append(kept, b)
	}
}

func cat(args []string) error {
	for _, name := range args {
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		os.Stdout.Write(b)
	}
	return nil
}

// walk prints every path below a folder.
func walk(args []string) error {
	return filepath.WalkDir(args[0], func(p string, d os.DirEntry, err error) error {
		if err == nil {
			fmt.Println(p, d.Type())
		}
		return err
	})
}

// escape tries every way out and prints those that worked.
func escape([]string) error {
	try := func(what string, err error) {
		if err == nil {
			fmt.Println("worked:", what)
		}
	}
	for _, p := range []string{
		"/etc/passwd", "/in/../../../../etc/passwd", "/out/../../../etc/passwd", "../../etc/passwd", "/in/../secret",
		"/in/link", "/in/dirlink/secret", "/in/inner", "/out/planted", "/out/planteddir/secret", "/proc/self/environ", "/in/fifo",
	} {
		_, err := os.ReadFile(p)
		try("read "+p, err)
		_, err = os.Stat(p)
		try("stat "+p, err)
	}
	_, err := os.ReadDir("/in/dirlink")
	try("list through a link", err)
	_, err = os.Readlink("/in/link")
	try("read a link", err)
	try("symlink", os.Symlink("/etc", "/out/own"))
	try("relative symlink", os.Symlink("../../../secret", "/out/own"))
	try("write through a link", os.WriteFile("/out/planted", []byte("x"), 0o644))
	try("make a folder through a link", os.Mkdir("/out/planteddir/new", 0o755))
	try("remove through a link", os.Remove("/out/planteddir/secret"))
	try("rename out", os.Rename("/out/regular", "/out/../../gone"))
	try("hard link", os.Link("/out/regular", "/out/second"))
	return nil
}

// intoIn tries to change /in and prints what worked.
func intoIn([]string) error {
	try := func(what string, err error) {
		if err == nil {
			fmt.Println("worked:", what)
		}
	}
	try("create", os.WriteFile("/in/new", []byte("x"), 0o644))
	try("overwrite", os.WriteFile("/in/a.txt", []byte("x"), 0o644))
	f, err := os.OpenFile("/in/a.txt", os.O_RDWR, 0)
	try("open for writing", err)
	if err == nil {
		_, err = f.Write([]byte("x"))
		try("write", err)
	}
	try("remove", os.Remove("/in/a.txt"))
	try("rename", os.Rename("/in/a.txt", "/in/b.txt"))
	try("mkdir", os.Mkdir("/in/dir", 0o755))
	try("truncate", os.Truncate("/in/a.txt", 0))
	try("rmdir", os.Remove("/in/sub"))
	return nil
}

func report([]string) error {
	f, err := os.OpenFile("/dev/progress", os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	for _, line := range []string{"0 begun", "nonsense", "2 too much", "0.5 half", "1 all of it"} {
		if _, err := fmt.Fprintln(f, line); err != nil {
			return err
		}
	}
	return f.Close()
}

// stuck reports progress and then loops.
func stuck([]string) error {
	if err := os.WriteFile("/dev/progress", []byte("0 stuck\n"), 0o644); err != nil {
		return err
	}
	return loop(nil)
}

// senses prints what differs between two runs if anything does.
func senses([]string) error {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return err
	}
	start := time.Now()
	m := map[int]bool{1: true, 2: true, 3: true, 4: true, 5: true, 6: true}
	for k := range m { // the order is random
		fmt.Print(k, " ")
	}
	time.Sleep(time.Millisecond)
	if err := os.WriteFile("/out/f", []byte("x"), 0o644); err != nil {
		return err
	}
	fi, err := os.Stat("/out/f")
	if err != nil {
		return err
	}
	fmt.Printf("%x %s %v %v\n", b, start.UTC().Format(time.RFC3339Nano), time.Since(start), fi.ModTime().UnixNano())
	return nil
}

func scratch([]string) error {
	f, err := os.CreateTemp("/tmp", "x")
	if err != nil {
		return err
	}
	if _, err := f.WriteString("hello"); err != nil {
		return err
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	b, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	if _, err := f.WriteAt([]byte("J"), 0); err != nil {
		return err
	}
	fi, err := f.Stat()
	if err != nil {
		return err
	}
	list, err := os.ReadDir("/tmp")
	if err != nil {
		return err
	}
	fmt.Println(string(b), fi.Size(), len(list))
	return os.RemoveAll("/tmp/gone")
}

// size prints how large files are.
func size(args []string) error {
	for _, name := range args {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		fmt.Println(info.Size())
	}
	return nil
}

func stdin([]string) error {
	b, err := io.ReadAll(os.Stdin)
	fmt.Println(len(b), err)
	return nil
}

// spin works for a while without a call.
func spin(args []string) error {
	x := uint64(1)
	for range number(args[0]) * 1_000_000 {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
	}
	fmt.Println(x)
	return nil
}
