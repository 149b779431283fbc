package wasm_test

import (
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/executor"
)

// soon is the time that endless programs get.
const soon = 700 * time.Millisecond

func causes(c ...executor.Cause) []executor.Cause { return c }

// hostilePrograms is the table: class, program, and the cause of its end.
func hostilePrograms() []hostile {
	var all []hostile
	for _, list := range [][]hostile{hostilePaths(), hostileSpace(), hostileMemoryPrograms(), hostileModules(), hostileTime(), hostileCalls()} {
		all = append(all, list...)
	}
	return all
}

// hostilePaths try to leave the folders or to change /in.
func hostilePaths() []hostile {
	var all []hostile
	for _, c := range []struct {
		class string
		deeds []string
	}{
		{"paths", []string{"dotdot", "absolute", "nul", "long", "odd", "held", "roots", "between", "special"}},
		{"links", []string{"readLink", "throughLink", "writeLink", "ownLink", "moveLink", "hardLink"}},
		{"readonly", []string{"intoIn", "rightsIn"}},
		{"handles", []string{"foreign", "renumber", "descriptors", "sockets"}},
	} {
		for _, deed := range c.deeds {
			all = append(all, hostile{class: c.class, name: deed, args: []string{deed}, causes: causes(executor.Done)})
		}
	}
	return append(all, hostile{class: "handles", name: "folder handles", args: []string{"folderHandles"}, timeout: 2 * time.Second,
		causes: causes(executor.Done, executor.Timeout, executor.Memory)})
}

// hostileSpace try to take more of the disk than they may.
func hostileSpace() []hostile {
	of := func(name string, cause executor.Cause, args ...string) hostile {
		return hostile{class: "disk", name: name, args: args, causes: causes(cause)}
	}
	return []hostile{
		of("fill /out", executor.OutBytes, "fill", "/out/f"), of("fill /tmp", executor.OutBytes, "fill", "/tmp/f"),
		of("sparse file", executor.OutBytes, "sparse"), of("allocate", executor.OutBytes, "allocate"), of("far write", executor.OutBytes, "far"),
		of("many files", executor.OutFiles, "files", "/out"), of("many files in /tmp", executor.OutFiles, "files", "/tmp"),
		of("many folders", executor.OutFiles, "folders"), of("folders in folders", executor.OutFiles, "deep"),
		of("long names", executor.OutFiles, "names"), of("files without names", executor.OutBytes, "nameless"),
		of("renamed over", executor.OutBytes, "replace"), of("many appenders", executor.OutBytes, "appenders"),
		of("shrunk and grown", executor.OutBytes, "shrink"), of("made and removed", executor.Done, "churn"), of("listing", executor.Done, "listing"),
	}
}

func hostileMemoryPrograms() []hostile {
	of := func(name string, module []byte, detail string, c ...executor.Cause) hostile {
		return hostile{class: "memory", name: name, module: module, causes: c, detail: detail}
	}
	return []hostile{
		of("grows until refused", bomb.bytes(), "wanted more than its", executor.Memory),
		of("starts too large", asm{min: 40_000}.bytes(), "starts with", executor.Memory),
		of("table too large", asm{table: 1 << 27}.bytes(), "", executor.Memory, executor.Module),
		of("table grows", tableGrow(), "", executor.Memory, executor.Trap),
		of("data beyond memory", beyond(), "", executor.Module, executor.Trap),
		of("90 MB of data", dataBomb(90_000_000), "", executor.Done, executor.Memory),
		of("reserves all", asm{min: 1, max: 65536}.bytes(), "", executor.Done),
		of("endless recursion", asm{code: []byte{opCall, 0}}.bytes(), "stack overflow", executor.Trap),
		of("mutual recursion", mutual(), "stack overflow", executor.Trap),
		of("recursion in huge frames", hugeFrame(), "", executor.Trap, executor.Module, executor.Memory),
	}
}

// hostileModules are no modules, or such as no compiler should have to see.
func hostileModules() []hostile {
	var all []hostile
	malformed := func(name string, module []byte) {
		all = append(all, hostile{class: "malformed", name: name, module: module, causes: causes(executor.Module)})
	}
	// What announces more than there is makes the decoder ask for memory that it
	// does not get, or is found out by it.
	announces := func(what string, module []byte) {
		all = append(all, hostile{class: "malformed", name: "2^32-1 " + what, module: module, causes: causes(executor.Module, executor.Memory)})
	}
	malformed("cut short", cut())
	malformed("section beyond the end", lying())
	malformed("count of eleven bytes", longNumber())
	malformed("section twice", twice())
	for id, what := range []string{secType: "types", secImport: "imports", secFunc: "functions", secTable: "tables", secMemory: "memories",
		secGlobal: "globals", secExport: "exports", secElement: "elements", secCode: "bodies", secData: "data segments"} {
		if what != "" {
			announces(what, announced(byte(id)))
		}
	}
	announces("locals", localsBomb())
	for _, kind := range []string{"two", "shared", "64 bits", "more than there is", "backwards"} {
		malformed("memory: "+kind, memories(kind))
	}
	for _, what := range []string{"a memory", "a global", "a function of two numbers", "a function with a result", "the host's function"} {
		malformed("_start is "+what, entryIs(what))
	}
	for i, m := range mutants(12) {
		all = append(all, hostile{class: "mutants", name: "mutant " + string(rune('a'+i)), module: m, timeout: soon,
			causes: causes(executor.Module, executor.Done, executor.Trap, executor.Memory, executor.Timeout)})
	}
	for _, m := range []struct {
		name   string
		module []byte
	}{
		{"unknown function", importing("env", "system", 0, 0)}, {"old WASI", importing("wasi_unstable", "fd_write", 0, 0)},
		{"sockets", importing(wasi, "sock_open", 0, 0)}, {"wrong signature", importing(wasi, "fd_write", 0, 0)},
		{"memory", importing("env", "memory", 2, 0, 1)}, {"table", importing("env", "table", 1, 0x70, 0, 1)}, {"global", importing("env", "g", 3, typeI32, 0)},
		{"loud name", loud()},
	} {
		all = append(all, hostile{class: "imports", name: m.name, module: m.module, causes: causes(executor.Module)})
	}
	return append(all, hostileCompiles()...)
}

// hostileCompiles are well-formed, and hard to compile.
func hostileCompiles() []hostile {
	of := func(name string, module []byte, c ...executor.Cause) hostile {
		return hostile{class: "compiler", name: name, module: module, timeout: 1200 * time.Millisecond, causes: c}
	}
	var nest []byte
	for range 60_000 {
		nest = append(append(append(nest, opLoop, blockEmpty), i32(1)...), opIf, blockEmpty, opEnd, opEnd)
	}
	return []hostile{
		of("loops and branches", asm{code: nest, functions: 10}.bytes(), executor.Done, executor.Memory, executor.Timeout),
		of("blocks in blocks", tower(1_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("a jump of 2,000,000 targets", ladder(2_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("a sum of 1,000,000", sum(1_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("1,000,000 functions", crowd(1_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("1,000,000 globals", globals(1_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("100,000 exports", exports(100_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("1,000,000 imports", imports(1_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("1,000,000 segments", elements(1_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("1,000,000 parameters", parameters(1_000_000), executor.Done, executor.Memory, executor.Timeout, executor.Module),
		of("names that are none", custom("name", rep([]byte{1, 5, 0xff, 0xff, 0xff, 0xff, 0x0f}, 100_000)), executor.Done, executor.Module, executor.Memory),
		of("debugging that is none", custom(".debug_info", rep([]byte{0xff}, 1<<20)), executor.Done, executor.Module, executor.Memory),
	}
}

// hostileTime never end by themselves.
func hostileTime() []hostile {
	of := func(name string, module []byte, args ...string) hostile {
		return hostile{class: "time", name: name, module: module, args: args, timeout: soon, causes: causes(executor.Timeout)}
	}
	return []hostile{
		of("endless loop", endless.bytes()), of("endless loop before the start", beginning(opLoop, blockEmpty, opBr, 0, opEnd)),
		of("endless sleep", sleeper().bytes()), of("memory filled for ever", filler()), of("sleep for 292 years", nil, "pollFar", "0x7fffffffffffffff"), of("sleep for 584 years", nil, "pollFar", "0xffffffffffffffff"),
		of("sleep for less than nothing", nil, "pollFar", "0x8000000000000000"),
		of("poll of 200,000 clocks", nil, "pollMany"), of("clocks for ever", nil, "clocks"), of("yield for ever", nil, "yield"),
		of("randomness for ever", nil, "random"),
		{class: "time", name: "trap before the start", module: beginning(opUnreachable), causes: causes(executor.Trap)},
		{class: "time", name: "clocks that do not exist", args: []string{"pollOdd"}, causes: causes(executor.Done), says: "still here"},
	}
}

// hostileCalls misuse what the host offers.
func hostileCalls() []hostile {
	var large []string
	for range 100_000 {
		large = append(large, strings.Repeat("a", 60))
	}
	return []hostile{
		{class: "calls", name: "wild addresses", args: []string{"wild"}, causes: causes(executor.Done), says: "still here"},
		{class: "calls", name: "64 GiB in one call", args: []string{"vectors"}, causes: causes(executor.OutBytes)},
		{class: "calls", name: "no memory", module: noMemory(), causes: causes(executor.Trap, executor.Module, executor.Done)},
		{class: "calls", name: "flood of stdout", args: []string{"flood", "stdout"}, timeout: 2 * time.Second, causes: causes(executor.Timeout)},
		{class: "calls", name: "flood of stderr", args: []string{"flood", "stderr"}, timeout: time.Second, causes: causes(executor.Timeout)},
		{class: "calls", name: "flood of progress", args: []string{"progress"}, timeout: time.Second, causes: causes(executor.Timeout)},
		{class: "calls", name: "progress without an end", args: []string{"longLine"}, timeout: soon, causes: causes(executor.Timeout)},
		{class: "calls", name: "progress for the terminal", args: []string{"control"}, causes: causes(executor.Done)},
		{class: "calls", name: "exit code of 32 bits", args: []string{"exits", "4294967295"}, causes: causes(executor.Exit), detail: "4294967295"},
		{class: "calls", name: "arguments of 6 MB", args: append([]string{"args"}, large...), refused: true},
		{class: "calls", name: "environment of 6 MB", args: []string{"args"}, env: []string{"E=" + strings.Repeat("e", 6<<20)}, refused: true},
		{class: "calls", name: "50,000 empty arguments", args: append([]string{"args"}, make([]string, 50_000)...), causes: causes(executor.Done), says: "50000"},
	}
}
