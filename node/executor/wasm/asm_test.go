package wasm_test

import (
	"os"
	"path/filepath"
	"testing"
)

// The smallest assembler that makes the modules of these tests.

// Opcodes and types, by their names in the specification.
const (
	opUnreachable, opLoop, opBr, opEnd, opCall, opDrop    = 0x00, 0x03, 0x0c, 0x0b, 0x10, 0x1a
	opI32Const, opMemoryGrow, opI32Load, opBrIf, opI32Eqz = 0x41, 0x40, 0x28, 0x0d, 0x45
	opIf                                                  = 0x04
	blockEmpty, typeI32, typeI64                          = 0x40, 0x7f, 0x7e
)

// asm is a module of one function, exported as _start unless renamed.
type asm struct {
	imports   []hostFunc // functions 0…; the module's own comes after them
	min, max  int        // pages of memory; max 0: none given, min 0: no memory
	code      []byte     // without the final end
	data      []byte     // put at address 0
	export    string
	functions int // so many copies of the function; 0 means one
	table     int // elements of each of two tables; 0 means none
}

// hostFunc is an imported function of i32 parameters; result tells of an i32.
type hostFunc struct {
	module, name string
	params       int
	result       bool
}

const wasi = "wasi_snapshot_preview1"

func leb(n int) []byte {
	var b []byte
	for n >= 0x80 {
		b = append(b, byte(n)|0x80)
		n >>= 7
	}
	return append(b, byte(n))
}

// sleb is the signed form, for constants.
func sleb(n int) []byte {
	var b []byte
	for {
		c := byte(n & 0x7f)
		n >>= 7
		if n == 0 && c&0x40 == 0 || n == -1 && c&0x40 != 0 {
			return append(b, c)
		}
		b = append(b, c|0x80)
	}
}

func i32(n int) []byte { return append([]byte{opI32Const}, sleb(n)...) }

func ops(parts ...[]byte) []byte {
	var b []byte
	for _, p := range parts {
		b = append(b, p...)
	}
	return b
}

func section(id byte, body []byte) []byte { return ops([]byte{id}, leb(len(body)), body) }

func vec(items ...[]byte) []byte { return append(leb(len(items)), ops(items...)...) }

func name(s string) []byte { return append(leb(len(s)), s...) }

// bytes is the module.
func (a asm) bytes() []byte {
	types := [][]byte{{0x60, 0, 0}}
	var imports [][]byte
	for n, f := range a.imports {
		sig := ops([]byte{0x60}, leb(f.params))
		for range f.params {
			sig = append(sig, typeI32)
		}
		if f.result {
			sig = append(sig, 1, typeI32)
		} else {
			sig = append(sig, 0)
		}
		types = append(types, sig)
		imports = append(imports, ops(name(f.module), name(f.name), []byte{0}, leb(n+1)))
	}
	count := max(a.functions, 1)
	b := ops([]byte("\x00asm\x01\x00\x00\x00"), section(1, vec(types...)))
	if len(imports) > 0 {
		b = append(b, section(2, vec(imports...))...)
	}
	b = append(b, section(3, ops(leb(count), make([]byte, count)))...)
	exports := [][]byte{}
	if a.table > 0 {
		b = append(b, section(4, vec(ops([]byte{0x70, 0}, leb(a.table)), ops([]byte{0x70, 0}, leb(a.table))))...)
	}
	if a.min > 0 {
		limits := ops([]byte{0}, leb(a.min))
		if a.max > 0 {
			limits = ops([]byte{1}, leb(a.min), leb(a.max))
		}
		b = append(b, section(5, vec(limits))...)
		exports = append(exports, ops(name("memory"), []byte{2, 0}))
	}
	start := a.export
	if start == "" {
		start = "_start"
	}
	exports = append(exports, ops(name(start), []byte{0}, leb(len(a.imports))))
	b = append(b, section(7, vec(exports...))...)
	body := ops([]byte{0}, a.code, []byte{opEnd})
	function := ops(leb(len(body)), body)
	code := leb(count)
	for range count {
		code = append(code, function...)
	}
	b = append(b, section(10, code)...)
	if len(a.data) > 0 {
		b = append(b, section(11, vec(ops([]byte{0}, i32(0), []byte{opEnd}, leb(len(a.data)), a.data)))...)
	}
	return b
}

// file writes the module and returns its path.
func (a asm) file(t testing.TB) string { return moduleFile(t, a.bytes()) }

func moduleFile(t testing.TB, text []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "module.wasm")
	if err := os.WriteFile(path, text, 0o644); err != nil {
		t.Fatal(err)
	}
	return path
}
