// Package wasm runs WebAssembly modules (WASI preview 1) on wazero, each
// attempt in a child process that is used once.
//
// # Why a process
//
// A guest is a stranger's machine code. Inside the daemon, a guest that loops
// without calling anything cannot be interrupted unless all guests run many
// times slower, holds up the next garbage collection and with it everything
// else; compiling a hostile module takes gigabytes and ignores its context. A
// process can be bounded and killed:
//
//   - address space: the guest's memory and a fixed headroom of 1 GiB for the
//     Go runtime and the compiler, on top of what is mapped at the start;
//   - processor time, open files, size of any file, no core dumps, niceness 10;
//   - no environment, no descriptors but three pipes, killed when its parent
//     dies (by the kernel, and it also watches its stdin), in a process group
//     of its own which the parent kills at the deadline.
//
// The guest itself has no system call: it reaches its four folders and nothing
// else ([executor] has the contract). Its memory is capped by an allocator
// that remembers a refusal, so that a guest which fails after memory.grow said
// no is reported as out of memory and not as having trapped. Its folders are
// os.Roots that refuse links and count bytes and files; a quota that is met
// ends the attempt at once, before the guest could swallow the error.
//
// # One attempt
//
//	Run ── takes a warm child, or starts one
//	    ── request ─────────────▶ child: tightens its limits, compiles or
//	                               takes from the cache, links, calls _start
//	    ◀── stdout, stderr, progress, …, result ──
//	    ── kills and reaps the child, removes /tmp
//
// Frames flow over a pipe, are at most 64 KiB and are passed on one at a time,
// so a guest that floods its stdout waits for its reader and the daemon's
// memory does not grow. The child sends at most executor.MaxStream bytes per
// stream, the parent believes nothing and counts again.
//
// Whatever the child does, Run ends: at the deadline, or when its context
// does, the child is killed, its pipe breaks and the reading ends. A child that
// dies by itself is asked for its last words, which name the limit it met.
//
// What is told about an attempt and may be the guest's own words (details,
// progress) has no characters that would move a reader's cursor. The hostile
// programs of the tests, by class: paths, links, read-only input, handles, disk,
// memory, malformed modules, mutants, imports, compiler, time, calls.
//
// # Warm children
//
// [Executor.Serve] keeps children that have started, prepared the runtime and
// loaded the module that ran last (tasks of a job come in a row). Each serves
// one attempt. Without Serve, or when none is ready, Run starts a cold one.
//
// The program that Config.Command names must call [Child] first thing in main.
// The smaller it is the better: of what a cold no-op attempt costs in processor
// time, 12 ms, the initialisation of the packages that the ciro program links is
// two thirds. make build embeds a program that links this package alone, with
// which it costs 3.5 ms (cmd/ciro-sandbox); without it ciro starts itself.
//
// # Compiled modules
//
// wazero writes compiled code into Config.CacheDir, keyed by the module's own
// hash, the engine's version and the processor's features, so that an entry
// cannot be taken for another's. It is executable: the folder is private
// (0700), bounded in size by least recent use, and nothing in it ever comes
// from a peer. A damaged entry is compiled around.
//
// # Determinism
//
// A deterministic task has a seeded ChaCha8 for randomness and a clock that
// starts at Task.Clock and moves by a microsecond whenever it is read and by
// the time slept; file times are Task.Clock, directory entries are sorted,
// inode numbers count up in order of first sight.
//
// # Limits of this package
//
// It needs Linux. Sub-clocks in absolute time, sockets and threads are not
// offered to guests. Guests cannot rename from /tmp to /out: copy.
package wasm
