package match

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/ciro-network/ciro/scheduler/job"
)

// Exclusion is one condition of a task with what it costs.
type Exclusion struct {
	Why     Why
	What    string // the label, clause or resource; "" where Why says it all
	Workers int    // that it excludes
	Alone   int    // of those, the ones that nothing else excludes
	Best    uint64 // the most that any of them has of a resource; the least that any costs
}

// Explanation says where a task could run and what keeps it from the others.
type Explanation struct {
	Workers  int
	Fit      int // could take it now
	Full     int // could take it, but have no room now
	Kept     int // could take it, but keep their room for tasks that have waited longer
	Excluded []Exclusion
}

// reason is one condition that a worker does not meet.
type reason struct {
	why  Why
	what string
}

// Explain judges every worker by every condition of a task. The exclusions that
// keep most workers away come first; those of one worker may be several.
func Explain(s *job.Spec, need job.Resources, workers []*Worker) Explanation {
	e := Explanation{Workers: len(workers)}
	at := map[reason]int{}
	for _, w := range workers {
		n, last := 0, 0
		each(s, need, w, func(r reason, has uint64) {
			i, known := at[r]
			if !known {
				i = len(e.Excluded)
				at[r] = i
				e.Excluded = append(e.Excluded, Exclusion{Why: r.why, What: r.what, Best: has})
			}
			x := &e.Excluded[i]
			x.Workers++
			if r.why == WhyPrice {
				x.Best = min(x.Best, has)
			} else {
				x.Best = max(x.Best, has)
			}
			n, last = n+1, i
		})
		switch {
		case n == 1:
			e.Excluded[last].Alone++
		case n == 0 && hasRoom(need, w) && w.Hold != nil && (w.Hold.SpareSlots == 0 || !w.Hold.Spare.Fits(need)):
			e.Kept++
		case n == 0 && hasRoom(need, w):
			e.Fit++
		case n == 0:
			e.Full++
		}
	}
	slices.SortStableFunc(e.Excluded, func(a, b Exclusion) int {
		return cmp.Or(cmp.Compare(b.Alone, a.Alone), cmp.Compare(b.Workers, a.Workers), cmp.Compare(a.Why, b.Why), cmp.Compare(a.What, b.What))
	})
	return e
}

// each yields every lasting condition that a worker does not meet, with what it
// has where that is a number.
func each(s *job.Spec, need job.Resources, w *Worker, yield func(reason, uint64)) {
	if w.Draining {
		yield(reason{WhyDraining, ""}, 0)
	}
	if !slices.Contains(w.Cap.Executors, s.Executor) {
		yield(reason{WhyExecutor, s.Executor}, 0)
	}
	if len(w.Cap.Types) > 0 && !slices.Contains(w.Cap.Types, s.Type) {
		yield(reason{WhyType, s.Type}, 0)
	}
	if !w.Cap.Serves(s.Owner) {
		yield(reason{WhyClient, ""}, 0)
	}
	for i := range s.Labels {
		if !carries(w.Cap.Labels, s.Labels[i:i+1]) {
			yield(reason{WhyLabels, s.Labels[i].Key + "=" + s.Labels[i].Value}, 0)
		}
	}
	if s.Constraints != "" {
		w.eachClause(s.Constraints, yield)
	}
	if s.PriceMax > 0 && w.Cap.Price > s.PriceMax {
		yield(reason{WhyPrice, "price"}, w.Cap.Price)
	}
	t := &w.Cap.Total
	for _, r := range []struct {
		name       string
		have, need uint64
	}{
		{"cpu", uint64(t.CPU), uint64(need.CPU)}, {"memory", t.Memory, need.Memory}, {"disk", t.Disk, need.Disk},
		{"gpu.count", uint64(t.GPUs), uint64(need.GPUs)}, {"gpu.memory", t.GPUMem, need.GPUMem},
	} {
		if r.have < r.need && (r.name != "gpu.memory" || need.GPUs > 0) {
			yield(reason{WhyTooBig, r.name}, r.have)
		}
	}
}

func (w *Worker) eachClause(source string, yield func(reason, uint64)) {
	fails := w.fails(source)
	if fails == 0 {
		return
	}
	if fails == unreadable {
		why := errNoCompiler
		if w.constraints != nil {
			why = w.constraints.of(source).err
		}
		yield(reason{WhyUnreadable, why.Error()}, 0)
		return
	}
	for i, text := range w.constraints.of(source).Clauses() {
		if fails&(1<<i) != 0 {
			yield(reason{WhyConstraint, text}, 0)
		}
	}
}

// Condition says of how many workers the condition is not met, as in
// "2 lack label zone=eu".
func (x *Exclusion) Condition(s *job.Spec, need job.Resources) string {
	n := x.Workers
	switch x.Why {
	case WhyDraining:
		return count(n, "is", "are") + " draining"
	case WhyExecutor:
		return count(n, "does", "do") + " not run executor " + x.What
	case WhyType:
		return count(n, "takes", "take") + " no jobs of type " + x.What
	case WhyClient:
		return count(n, "takes", "take") + " no jobs of this client"
	case WhyLabels:
		return count(n, "lacks", "lack") + " label " + x.What
	case WhyConstraint:
		return count(n, "does", "do") + " not meet " + x.What
	case WhyUnreadable:
		return "its coordinator cannot read the constraints (" + x.What + ")"
	case WhyPrice:
		return fmt.Sprintf("%s %s or more, the job pays at most %s", count(n, "costs", "cost"), price(x.Best), price(s.PriceMax))
	}
	if x.Best == 0 {
		return fmt.Sprintf("%s no %s, the task needs %s", count(n, "has", "have"), x.name(), x.amount(x.wants(need)))
	}
	most := " "
	if n > 1 {
		most = " at most "
	}
	return fmt.Sprintf("%s%s%s %s, the task needs %s", count(n, "has", "have"), most, x.amount(x.Best), x.name(), x.amount(x.wants(need)))
}

// name is the exclusion's resource for people.
func (x *Exclusion) name() string {
	switch x.What {
	case "gpu.count":
		return "GPUs"
	case "gpu.memory":
		return "memory per GPU"
	}
	return x.What
}

// Change says what would lift the condition.
func (x *Exclusion) Change() string {
	switch x.Why {
	case WhyDraining:
		return "resume one with ciro worker resume, or start another worker"
	case WhyExecutor:
		return "start a worker that runs " + x.What
	case WhyType:
		return "let a worker take the type, or change type"
	case WhyClient:
		return "ask its owner to allow the client's key, or start another worker"
	case WhyLabels:
		return "start a worker with label " + x.What + ", or take it out of labels"
	case WhyConstraint:
		return "start a worker that meets " + x.What + ", or take that out of constraints"
	case WhyUnreadable:
		return "correct constraints, or update the coordinators"
	case WhyPrice:
		return "raise price.max to " + price(x.Best)
	}
	return fmt.Sprintf("start a worker with more %s, or lower resources.%s", x.name(), x.What)
}

// wants is the need of the exclusion's resource.
func (x *Exclusion) wants(need job.Resources) uint64 {
	switch x.What {
	case "cpu":
		return uint64(need.CPU)
	case "memory":
		return need.Memory
	case "disk":
		return need.Disk
	case "gpu.count":
		return uint64(need.GPUs)
	}
	return need.GPUMem
}

// amount writes a number of the exclusion's resource.
func (x *Exclusion) amount(v uint64) string {
	switch x.What {
	case "cpu":
		return strconv.FormatFloat(float64(v)/1000, 'f', -1, 64)
	case "gpu.count":
		return strconv.FormatUint(v, 10)
	}
	const units = "KMGT"
	if v < 1<<10 {
		return strconv.FormatUint(v, 10) + " B"
	}
	f, unit := float64(v)/(1<<10), 0
	for f >= 1<<10 && unit < len(units)-1 {
		f, unit = f/(1<<10), unit+1
	}
	return strings.TrimSuffix(strconv.FormatFloat(f, 'f', 1, 64), ".0") + " " + units[unit:unit+1] + "iB"
}

func price(micro uint64) string {
	return strconv.FormatFloat(float64(micro)/1e6, 'f', -1, 64)
}

func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return strconv.Itoa(n) + " " + many
}

// maxTold bounds how many exclusions and changes a sentence names.
const maxTold = 4

// Sentence says for people which conditions exclude how many workers and what
// would change that.
func (e *Explanation) Sentence(s *job.Spec, need job.Resources) string {
	out := "1 worker"
	if e.Workers != 1 {
		out = strconv.Itoa(e.Workers) + " workers"
	}
	var parts, changes []string
	if e.Fit > 0 {
		parts = append(parts, count(e.Fit, "has", "have")+" room for it")
	}
	if e.Full > 0 {
		parts = append(parts, count(e.Full, "has", "have")+" no room for it now")
	}
	if e.Kept > 0 {
		parts = append(parts, count(e.Kept, "keeps its", "keep their")+" room for tasks that have waited longer")
	}
	for i := range e.Excluded {
		x := &e.Excluded[i]
		if i < maxTold {
			parts = append(parts, x.Condition(s, need))
		}
		if x.Alone > 0 && len(changes) < maxTold/2 {
			changes = append(changes, x.Change())
		}
	}
	if more := len(e.Excluded) - maxTold; more > 0 {
		parts = append(parts, fmt.Sprintf("%d more conditions exclude others", more))
	}
	if len(changes) == 0 && len(e.Excluded) > 0 && e.Fit+e.Full+e.Kept == 0 {
		return out + ": " + strings.Join(parts, ", ") + "; each lacks several, so no single change is enough: " + e.Excluded[0].Change()
	}
	if len(changes) == 0 || e.Fit > 0 {
		return out + ": " + strings.Join(parts, ", ")
	}
	if e.Full+e.Kept > 0 {
		changes = append([]string{"wait"}, changes...)
	}
	return out + ": " + strings.Join(parts, ", ") + ": " + strings.Join(changes, "; or ")
}
