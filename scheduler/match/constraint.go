package match

import (
	"errors"

	"github.com/ciro-network/ciro/scheduler/work"
)

// Constraint is a spec's compiled constraint expression: up to 31 clauses that a
// worker must all meet.
type Constraint interface {
	// Clauses returns the clauses as text.
	Clauses() []string
	// Fails returns those that a worker does not meet: bit i is clause i.
	Fails(peer string, c *work.Capability) (clauses uint32)
}

// unreadable is the verdict of a constraint that does not compile here.
const unreadable = 1 << 31

// maxVerdicts bounds the verdicts that are remembered per worker, maxConstraints
// the compiled constraints of a leader.
const (
	maxVerdicts    = 64
	maxConstraints = 1024
)

var errNoCompiler = errors.New("this node reads no constraints")

// Constraints compiles the expressions of one leader's jobs, each once. The zero
// value compiles none: then every expression is unreadable.
type Constraints struct {
	Compile func(source string) (Constraint, error)
	known   map[string]compiled
}

type compiled struct {
	Constraint
	err error
}

// of returns the compiled form of an expression. The table is emptied when it is
// full; what is still needed is compiled anew.
func (t *Constraints) of(source string) compiled {
	c, ok := t.known[source]
	if ok {
		return c
	}
	if t.known == nil || len(t.known) >= maxConstraints {
		t.known = map[string]compiled{}
	}
	if c.err = errNoCompiler; t.Compile != nil {
		c.Constraint, c.err = t.Compile(source)
	}
	t.known[source] = c
	return c
}

// Offer notes what a worker offers from now on and who reads constraints on it;
// verdicts on its former offer are forgotten.
func (w *Worker) Offer(c work.Capability, t *Constraints) {
	w.Cap, w.constraints = c, t
	clear(w.verdicts)
	w.last, w.verdict = "", 0
}

// fails returns the clauses of an expression that the worker does not meet. The
// verdict is remembered until the worker offers something else.
func (w *Worker) fails(source string) uint32 {
	if source == w.last {
		return w.verdict
	}
	v, ok := w.verdicts[source]
	if !ok {
		v = w.judge(source)
	}
	w.last, w.verdict = source, v
	return v
}

func (w *Worker) judge(source string) uint32 {
	v := uint32(unreadable)
	if w.constraints != nil {
		if c := w.constraints.of(source); c.err == nil {
			v = c.Fails(w.ID, &w.Cap)
		}
	}
	if w.verdicts == nil || len(w.verdicts) >= maxVerdicts {
		w.verdicts = map[string]uint32{}
	}
	w.verdicts[source] = v
	return v
}
