// Package constraint reads the constraint expressions of job specs: conditions on
// a worker's labels and hardware, in the language of github.com/expr-lang/expr
// with everything taken out that could take long.
//
//	cpu >= 8 and memory >= 16 * GiB
//	labels["zone"] in ["eu-1", "eu-2"] and not (os == "windows")
//	gpu.count >= 1 and gpu.model contains "A100" and price <= 0.05
//
// # Fields
//
//	cpu                  cores that the worker offers, 0.5 for half a core
//	memory, disk         bytes that it offers; KiB MiB GiB TiB and kB MB GB TB are numbers of bytes
//	gpu.count            devices
//	gpu.memory           bytes of each device
//	gpu.model            its label gpu.model
//	labels["name"]       a label's text, "" when it has none; "name" in labels asks whether it has one
//	os, arch             of its machine, in Go's names: linux, amd64
//	region, country      its labels of these names, "" when its owner gave none
//	name                 what its owner called it: its label name, "" without one
//	peer                 its peer id
//	version              of its software
//	price                units per core-hour
//	slots                attempts at the same time; 0: only its resources bound them
//	executors, types     lists of texts; types is empty when it takes all
//
// All are what the worker offers in all, not what is free: a constraint that
// excludes a worker does so until the worker changes.
//
// # Operators
//
// and or not (&& || !), == != < <= > >=, in, not in, contains, startsWith,
// endsWith, matches with a literal pattern (RE2, linear in the text), + - * / %,
// a ? b : c, lists [a, b], and the functions lower, upper, trim, len, int, float.
// There are no variables, closures, ranges or loops, so an expression of at most
// [MaxNodes] parts ends after as many steps. The value must be true or false; an
// expression that fails on a worker (int of a label that is no number) is false
// there.
//
// # Clauses
//
// An expression that is a chain of ands at its top is evaluated clause by clause,
// so that whoever waits can be told which clause excludes how many workers.
package constraint
