// Package guest is what the example programs share inside the sandbox: which
// part of a job they are, and a place to report progress to. It follows the
// guest contract, which package node/executor documents, and imports nothing of
// the mesh: a program of your own needs no more than this.
//
//	me, err := guest.Self()
//	if me.Gather {
//		… read /in/tasks/<index>/…, write the job's result to /out …
//	}
//	… read /in/<name>, do part me.Index of me.Count, write to /out …
package guest

import (
	"fmt"
	"os"
	"strconv"
)

// Place is a program's place in its job.
type Place struct {
	Index, Count int  // 0 ≤ Index < Count; for the gather, Index is Count
	Gather       bool // the last task, which sees what the others left
}

// Self reads the place from the environment. Outside of the mesh, where nothing
// is set, a program is the one task of one.
func Self() (Place, error) {
	p := Place{Gather: os.Getenv("CIRO_GATHER") == "1"}
	var err error
	if p.Count, err = number("CIRO_TASK_COUNT", 1); err != nil {
		return p, err
	}
	missing := 0
	if p.Gather {
		missing = p.Count
	}
	if p.Index, err = number("CIRO_TASK_INDEX", missing); err != nil {
		return p, err
	}
	if p.Count < 1 || p.Index < 0 || p.Index > p.Count || (p.Index == p.Count) != p.Gather {
		return p, fmt.Errorf("task %d of %d, gather %v, makes no sense", p.Index, p.Count, p.Gather)
	}
	return p, nil
}

// number returns the environment's integer of that name, or the default.
func number(name string, missing int) (int, error) {
	v := os.Getenv(name)
	if v == "" {
		return missing, nil
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		return 0, fmt.Errorf("%s is %q: want a number", name, v)
	}
	return n, nil
}

// Progress writes progress lines. Outside of the mesh there is nobody to read
// them, which is no error, and neither is a reader that goes away.
type Progress struct {
	file *os.File
	last float64
}

// NewProgress opens /dev/progress.
func NewProgress() *Progress {
	p := &Progress{last: -1}
	if f, err := os.OpenFile("/dev/progress", os.O_WRONLY, 0); err == nil {
		p.file = f
	}
	return p
}

// Report says that this part, 0 to 1, is done; between the first and the last
// word only steps of two per cent are passed on.
func (p *Progress) Report(done float64, message string) {
	if p.file == nil || done < p.last+0.02 && done < 1 {
		return
	}
	p.last = done
	fmt.Fprintf(p.file, "%.2f %s\n", done, message)
}

// Close ends the reporting.
func (p *Progress) Close() {
	if p.file != nil {
		p.file.Close()
	}
}

// Fail writes the cause to standard error and ends the program with exit code 1,
// which says that another attempt would fail too.
func Fail(program string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", program, err)
	os.Exit(1)
}
