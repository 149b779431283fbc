package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"
)

// injury is what was really done of one kind.
type injury struct {
	times int
	units int64
}

// units says what is counted of each kind, as proof that it happened.
var units = map[Kind]string{
	KillCoordinator: "shards and tasks hit", KillWorker: "shards and tasks hit", Pause: "ms stopped by the kernel",
	Halves: "directions cut", LinkDown: "links seen down", OneWay: "packets dropped", Loss: "packets lost",
	Delay: "packets delayed", LostDisk: "bytes removed",
}

// injuries counts the faults of a run.
type injuries struct {
	mu   sync.Mutex
	done map[Kind]injury
}

// note counts one fault; without any units it did not happen.
func (i *injuries) note(k Kind, units int64) {
	if units <= 0 {
		return
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	was := i.done[k]
	i.done[k] = injury{was.times + 1, was.units + units}
}

// table prints what was injected and what the machine does not allow, and
// returns the kinds that it allows and that did not happen.
func (i *injuries) table(out io.Writer, allowed []Kind, refused map[Kind]string) (unused []Kind) {
	i.mu.Lock()
	defer i.mu.Unlock()
	fmt.Fprintf(out, "\n%-18s %5s  %s\n", "fault", "times", "proof")
	for _, k := range allKinds {
		did := i.done[k]
		switch why, no := refused[k]; {
		case no:
			fmt.Fprintf(out, "%-18s     -  not allowed by this machine: %s\n", k, why)
		case did.times == 0 && slices.Contains(allowed, k):
			unused = append(unused, k)
			fmt.Fprintf(out, "%-18s     0  NOT USED although this machine allows it\n", k)
		case did.times == 0:
			fmt.Fprintf(out, "%-18s     -  not asked for\n", k)
		default:
			fmt.Fprintf(out, "%-18s %5d  %d %s\n", k, did.times, did.units, units[k])
		}
	}
	return unused
}

// spread prints how some times are spread.
func spread(out io.Writer, what string, d []time.Duration) {
	if len(d) == 0 {
		fmt.Fprintf(out, "%-44s no sample\n", what)
		return
	}
	d = slices.Sorted(slices.Values(d))
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1)+0.5)].Round(10 * time.Millisecond) }
	fmt.Fprintf(out, "%-44s %4d samples  p50 %-7v p99 %-7v max %v\n", what, len(d), at(0.5), at(0.99), at(1))
}

// caps are the most that a time may be on a shared machine before the run fails.
var caps = struct{ failover, move, minority, catchUp time.Duration }{20 * time.Second, 20 * time.Second, 6 * time.Second, 30 * time.Second}

// report prints all times and returns those beyond every measure.
func (n *nemesis) report(out io.Writer) (over []string) {
	over1 := func(what string, d []time.Duration, most time.Duration) {
		if len(d) > 0 && slices.Max(d) > most {
			over = append(over, fmt.Sprintf("%s took %v, which is more than %v", what, slices.Max(d), most))
		}
	}
	fmt.Fprintln(out)
	clean, other, open := times(n.watch, &n.watch.failover)
	spread(out, "failover, nothing else wrong", clean)
	spread(out, "failover, other faults too", other)
	if open > 0 {
		fmt.Fprintf(out, "%-44s %4d\n", "shards not seen to work before the next fault", open)
	}
	over1("a failover", clean, caps.failover)
	clean, other, _ = times(n.watch, &n.watch.moves)
	spread(out, "reassignment, coordinator alive", clean)
	spread(out, "reassignment, coordinator dead or other faults", other)
	over1("a reassignment", clean, caps.move)
	spread(out, "answers on a minority's side", n.load.answers.small)
	over1("an answer on a minority's side", n.load.answers.small, caps.minority)
	spread(out, "catching up after a partition", n.catchUp)
	over1("catching up", n.catchUp, caps.catchUp)
	fmt.Fprint(out, "\nanswers to submissions")
	for _, code := range slices.Sorted(maps.Keys(n.load.answers.byCode)) {
		fmt.Fprintf(out, "  %s %d", code, n.load.answers.byCode[code])
	}
	fmt.Fprintf(out, "; given up %d\n", n.load.given.Load())
	return over
}
