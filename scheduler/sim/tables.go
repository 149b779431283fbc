package sim

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteTables writes traffic and sizes for people.
func (r *Report) WriteTables(to io.Writer) {
	w := tabwriter.NewWriter(to, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprint(w, "per node and second\t")
	for _, t := range r.Traffic {
		fmt.Fprintf(w, "%d %ss: messages\tbytes\tbytes of the busiest\t", t.Nodes, t.Class)
	}
	fmt.Fprintln(w)
	for i := range kinds + 1 {
		name := "all"
		if i < kinds {
			name = i.String()
		}
		fmt.Fprintf(w, "%s\t", name)
		for _, t := range r.Traffic {
			k := t.Kinds[i]
			fmt.Fprintf(w, "%.1f\t%.0f\t%.0f\t", k.Messages, k.Bytes, k.MaxBytes)
		}
		fmt.Fprintln(w)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "per replica\tmean\tmax\t")
	for _, z := range []struct {
		name string
		of   Spread
	}{
		{"log entries", r.Sizes.LogEntries}, {"log bytes", r.Sizes.LogBytes}, {"snapshot bytes", r.Sizes.SnapshotBytes},
		{"jobs in the state", r.Sizes.Jobs}, {"state bytes", r.Sizes.StateBytes},
	} {
		fmt.Fprintf(w, "%s\t%.0f\t%d\t\n", z.name, z.of.Mean, z.of.Max)
	}
	if err := w.Flush(); err != nil {
		fmt.Fprintln(to, err) // a writer of memory or a terminal does not fail
	}
}
