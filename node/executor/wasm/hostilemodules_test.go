package wasm_test

import (
	"bytes"
	"math/rand/v2"
	"strconv"
	"strings"
)

// Modules that no compiler would make, put together from sections. Section
// numbers and opcodes are those of the specification.
const (
	secType, secImport, secFunc, secTable, secMemory, secGlobal, secExport = 1, 2, 3, 4, 5, 6, 7
	secStart, secElement, secCode, secData, secDataCount                   = 8, 9, 10, 11, 12
)

// magic begins each module.
var magic = []byte("\x00asm\x01\x00\x00\x00")

// many is the count 2^32-1, of which nothing follows.
var many = []byte{0xff, 0xff, 0xff, 0xff, 0x0f}

// module joins sections behind the magic.
func module(sections ...[]byte) []byte { return ops(magic, ops(sections...)) }

var (
	voidType   = section(secType, vec([]byte{0x60, 0, 0}))
	oneFunc    = section(secFunc, []byte{1, 0})
	startFirst = section(secExport, vec(ops(name("_start"), []byte{0, 0})))
	emptyBody  = []byte{2, 0, opEnd}
)

// body is a function of no locals.
func body(code ...byte) []byte { b := ops([]byte{0}, code, []byte{opEnd}); return ops(leb(len(b)), b) }

// program is a module of one function whose body is given, with sections put
// before its export, by number.
func program(body []byte, more ...[]byte) []byte {
	all := [][]byte{voidType, oneFunc, startFirst, section(secCode, vec(body))}
	all = append(all, more...)
	for i := range all { // by number, which the format asks for; there are few
		for j := i; j > 0 && order(all[j][0]) < order(all[j-1][0]); j-- {
			all[j], all[j-1] = all[j-1], all[j]
		}
	}
	return module(all...)
}

// order is a section's place; the count of data segments stands before the code.
func order(id byte) int {
	if id == secDataCount {
		return 2*secElement + 1
	}
	return 2 * int(id)
}

// rep repeats bytes.
func rep(b []byte, n int) []byte { return bytes.Repeat(b, n) }

// announced is a module whose section announces many entries and has none.
func announced(id byte) []byte {
	switch id {
	case secType:
		return module(section(id, many))
	case secImport, secFunc:
		return module(voidType, section(id, many))
	case secCode:
		return module(voidType, oneFunc, startFirst, section(id, many))
	}
	return program(emptyBody, section(id, many))
}

// cut is a good module cut short in its middle.
func cut() []byte {
	good := asm{min: 1, data: []byte("data"), imports: []hostFunc{{wasi, "proc_exit", 1, false}}}.bytes()
	return good[:len(good)/2]
}

// lying has a section whose length reaches beyond the file.
func lying() []byte { return module(voidType, ops([]byte{secFunc}, leb(1<<30), []byte{1, 0})) }

// longNumber has a count in more bytes than a number has.
func longNumber() []byte {
	return module(ops([]byte{secType}, leb(12), rep([]byte{0x80}, 11), []byte{1}))
}

// twice has a section twice, and out of order.
func twice() []byte {
	return module(voidType, oneFunc, voidType, startFirst, section(secCode, vec(emptyBody)))
}

// mutants are a good module with some bytes changed, by a fixed seed.
func mutants(n int) [][]byte {
	r := rand.New(rand.NewPCG(11, 12))
	good := asm{min: 1, max: 4, data: []byte("some data"), table: 3, code: ops(i32(7), []byte{opDrop, opLoop, blockEmpty, opEnd})}.bytes()
	var all [][]byte
	for range n {
		b := bytes.Clone(good)
		for range 1 + r.IntN(3) {
			b[8+r.IntN(len(b)-8)] = byte(r.Uint32())
		}
		all = append(all, b)
	}
	return all
}

// localsBomb declares 2^32-1 locals; hugeFrame as many as are allowed, and recurses.
func localsBomb() []byte {
	b := ops([]byte{1}, many, []byte{typeI64, opEnd})
	return program(ops(leb(len(b)), b))
}

func hugeFrame() []byte {
	b := ops([]byte{1}, leb(40_000), []byte{typeI64, opCall, 0, opEnd})
	return program(ops(leb(len(b)), b))
}

// parameters has a function type of very many parameters.
func parameters(n int) []byte {
	types := vec([]byte{0x60, 0, 0}, ops([]byte{0x60}, leb(n), rep([]byte{typeI64}, n), []byte{0}))
	return module(section(secType, types), oneFunc, startFirst, section(secCode, vec(emptyBody)))
}

// tower is a function of blocks within blocks.
func tower(n int) []byte {
	return program(body(ops(rep([]byte{0x02, blockEmpty}, n), rep([]byte{opEnd}, n))...))
}

// ladder is a function whose jump has very many targets.
func ladder(n int) []byte {
	return program(body(ops(rep([]byte{0x02, blockEmpty}, 200), i32(3), []byte{0x0e}, leb(n), rep([]byte{0x7f}, n), []byte{0}, rep([]byte{opEnd}, 200))...))
}

// sum is one function that adds n numbers on one stack.
func sum(n int) []byte {
	return program(body(ops(rep([]byte{opI32Const, 1}, n), rep([]byte{0x6a}, n-1), []byte{opDrop})...))
}

// crowd has n functions.
func crowd(n int) []byte {
	return module(voidType, section(secFunc, ops(leb(n), make([]byte, n))), startFirst, section(secCode, ops(leb(n), rep(emptyBody, n))))
}

// globals has n globals.
func globals(n int) []byte {
	return program(emptyBody, section(secGlobal, ops(leb(n), rep([]byte{typeI64, 1, 0x42, 0, opEnd}, n))))
}

// exports gives its one function n names.
func exports(n int) []byte {
	all := [][]byte{ops(name("_start"), []byte{0, 0})}
	for i := range n {
		all = append(all, ops(name(strings.Repeat("e", 200)+strconv.Itoa(i)), []byte{0, 0}))
	}
	return module(voidType, oneFunc, section(secExport, vec(all...)), section(secCode, vec(emptyBody)))
}

// elements fills a table from very many segments.
func elements(n int) []byte {
	return program(emptyBody, section(secTable, vec([]byte{0x70, 0, 10})),
		section(secElement, ops(leb(n), rep([]byte{0, opI32Const, 0, opEnd, 1, 0}, n))))
}

// tableGrow makes its table longer until that is refused, then traps.
func tableGrow() []byte {
	code := ops([]byte{opLoop, blockEmpty, 0xd0, 0x70}, i32(1<<20), []byte{0xfc, 15, 0}, i32(-1), []byte{0x47, opBrIf, 0, opEnd, opUnreachable})
	return program(body(code...), section(secTable, vec([]byte{0x70, 0, 1})))
}

// dataBomb carries much data, for a memory that is small.
func dataBomb(size int) []byte {
	return program(emptyBody, section(secMemory, vec([]byte{0, 1})), section(secData, vec(ops([]byte{1}, leb(size), make([]byte, size)))))
}

// beyond has data for an address that its memory does not have.
func beyond() []byte {
	return program(emptyBody, section(secMemory, vec([]byte{0, 1})), section(secData, vec(ops([]byte{0}, i32(1<<20), []byte{opEnd, 1, 'x'}))))
}

// memories are the kinds of memory that are not offered.
func memories(kind string) []byte {
	limits := map[string][]byte{
		"two": {2, 0, 1, 0, 1}, "shared": {1, 3, 1, 2}, "64 bits": {1, 4, 1}, "more than there is": ops([]byte{1, 0}, leb(65537)), "backwards": {1, 1, 2, 1},
	}[kind]
	return program(emptyBody, section(secMemory, limits))
}

// importing asks for one import of a kind.
func importing(from, what string, desc ...byte) []byte {
	return module(voidType, section(secImport, vec(ops(name(from), name(what), desc))), oneFunc,
		section(secExport, vec(ops(name("_start"), []byte{0, boolByte(desc[0] == 0)}))), section(secCode, vec(emptyBody)))
}

func boolByte(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// imports asks for very many imports.
func imports(n int) []byte {
	one := ops(name(wasi), name("sched_yield"), []byte{0, 1})
	return module(section(secType, vec([]byte{0x60, 0, 0}, []byte{0x60, 0, 1, typeI32})), section(secImport, ops(leb(n), rep(one, n))),
		oneFunc, section(secExport, vec(ops(name("_start"), []byte{0}, leb(n)))), section(secCode, vec(emptyBody)))
}

// entry exports as _start something that is not a function of nothing.
func entryIs(what string) []byte {
	memory, global := section(secMemory, vec([]byte{0, 1})), section(secGlobal, vec([]byte{typeI32, 0, opI32Const, 0, opEnd}))
	switch what {
	case "a memory":
		return module(voidType, oneFunc, memory, section(secExport, vec(ops(name("_start"), []byte{2, 0}))), section(secCode, vec(emptyBody)))
	case "a global":
		return module(voidType, oneFunc, global, section(secExport, vec(ops(name("_start"), []byte{3, 0}))), section(secCode, vec(emptyBody)))
	case "a function of two numbers":
		return module(section(secType, vec([]byte{0x60, 2, typeI32, typeI64, 0})), oneFunc, startFirst, section(secCode, vec(emptyBody)))
	case "a function with a result":
		return module(section(secType, vec([]byte{0x60, 0, 1, typeI32})), oneFunc, startFirst, section(secCode, vec(body(i32(3)...))))
	}
	// The host's own function.
	return module(section(secType, vec([]byte{0x60, 1, typeI32, 0})), section(secImport, vec(ops(name(wasi), name("proc_exit"), []byte{0, 0}))), startFirst)
}

// beginning has a start function, which runs before _start.
func beginning(code ...byte) []byte {
	return module(voidType, section(secFunc, []byte{2, 0, 0}), startFirst, section(secStart, []byte{1}), section(secCode, vec(emptyBody, body(code...))))
}

// mutual has two functions that call each other through a table.
func mutual() []byte {
	call := func(n byte) []byte { return body(opI32Const, n, 0x11, 0, 0) }
	return module(voidType, section(secFunc, []byte{2, 0, 0}), section(secTable, vec([]byte{0x70, 0, 2})), startFirst,
		section(secElement, vec([]byte{0, opI32Const, 0, opEnd, 2, 0, 1})), section(secCode, vec(call(1), call(0))))
}

// noMemory calls functions of the host that look into memory, and has none.
func noMemory() []byte {
	return asm{imports: []hostFunc{{wasi, "fd_write", 4, true}}, code: ops(i32(1), i32(0), i32(1), i32(8), []byte{opCall, 0, opDrop})}.bytes()
}

// filler overwrites all its memory again and again, in single instructions that
// last (memory.fill).
func filler() []byte {
	code := ops([]byte{opLoop, blockEmpty}, i32(0), i32(1), i32(1000<<16), []byte{0xfc, 11, 0, opBr, 0, opEnd})
	return asm{min: 1000, code: code}.bytes()
}

// custom has a section that only tools read: names that are no names.
func custom(name string, text []byte) []byte {
	return program(emptyBody, section(0, ops(leb(len(name)), []byte(name), text)))
}

// loud names an import that would write to a reader's terminal.
func loud() []byte {
	return importing("env", "\x1b[2J\x1b]0;owned\x07"+strings.Repeat("x", 1<<20), 0, 0)
}
