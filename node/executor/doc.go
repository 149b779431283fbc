// Package executor says what it means to run one attempt of one task, apart
// from how: a [Task] goes in, an [Outcome] comes out, and an [Executor] is
// whatever turns the one into the other. The package executor/wasm runs WASI
// modules in a sandboxed child process; executortest holds the conformance
// suite that every implementation has to pass.
//
// # The guest contract, version 1
//
// A guest is a program. It is started once per attempt and sees
//
//   - its arguments, [Task.Args], after a program name of the executor's choice;
//
//   - its environment: [Task.Env] and these variables, which a user cannot
//     override ([Task.Environ]):
//
//     CIRO_CONTRACT    the version of this contract, "1"
//     CIRO_JOB_ID      the job's id
//     CIRO_JOB_TYPE    the job's type, a label such as render3d
//     CIRO_TASK_INDEX  0 … CIRO_TASK_COUNT-1; equal to the count in a gather task
//     CIRO_TASK_COUNT  how many array tasks the job has
//     CIRO_ATTEMPT     1 for the first attempt of this task
//     CIRO_GATHER      1 in the gather task, otherwise not set
//
//   - /in, read-only: the inputs as /in/<name>; in a gather task also
//     /in/tasks/<index>/…, the outputs of the array tasks;
//
//   - /out: what it leaves here is the result. Symbolic and hard links cannot
//     be made; bytes and files have a quota which /tmp shares;
//
//   - /tmp: scratch space, gone after the attempt;
//
//   - /dev/progress: each line written to it, "0.42 message", is reported as
//     progress. The fraction is between 0 and 1, the message may be empty;
//
//   - stdin, which is empty, and stdout and stderr, which are collected up to
//     [MaxStream] bytes each.
//
// It ends with exit code 0 when it is done, with [ExitRetry] when another
// attempt is worth making, and with any other code when it failed.
//
// A deterministic task (the default of a job) sees the same bytes of
// randomness, the same clock and the same order of directory entries in every
// attempt on every machine, so that the outputs of replicas can be compared.
//
// # Who decides
//
// An executor never decides whether an attempt is repeated. It names the
// [Cause] and the scheduler draws the conclusion. An error from Run means that
// no attempt was made at all: the task was refused or no sandbox could be had.
package executor
