package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/jobspec"
)

// The output formats.
const (
	formatTable = "table"
	formatJSON  = "json"
	formatYAML  = "yaml"
)

// formatOf reads and checks --output.
func formatOf(ctx *cli.Context) (string, error) {
	switch format := strings.ToLower(ctx.String("output")); format {
	case "", formatTable:
		return formatTable, nil
	case formatJSON, formatYAML:
		return format, nil
	default:
		return "", usage("there is no output format %q; choose table, json or yaml", format)
	}
}

// show writes v in the format wanted; forPeople writes the table.
func (c *console) show(ctx *cli.Context, v any, forPeople func(io.Writer)) error {
	format, err := formatOf(ctx)
	if err != nil {
		return err
	}
	if format == formatTable {
		table := tabwriter.NewWriter(c.out, 0, 8, 2, ' ', 0)
		forPeople(table)
		return table.Flush()
	}
	data, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return fmt.Errorf("output: %w", err)
	}
	if format == formatYAML {
		if data, err = yaml.JSONToYAML(data); err != nil {
			return fmt.Errorf("output: %w", err)
		}
	}
	_, err = fmt.Fprintln(c.out, strings.TrimRight(string(data), "\n"))
	return err
}

// row writes one line of a table. A cell never breaks the table, whoever wrote
// what is in it.
func row(w io.Writer, cells ...any) {
	for i, cell := range cells {
		if i > 0 {
			fmt.Fprint(w, "\t")
		}
		text := fmt.Sprint(cell)
		if text == "" {
			text = "-"
		}
		fmt.Fprint(w, clean(text))
	}
	fmt.Fprintln(w)
}

// clean replaces what would move the cursor, start an escape sequence, or reorder
// what people read.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) {
			return ' '
		}
		return r
	}, s)
}

// short is the form of an id that people use: enough characters to be unique in
// practice. Peer ids differ at their end, job ids everywhere.
func short(id string) string {
	if strings.HasPrefix(id, "12D3KooW") && len(id) > 16 {
		return "…" + id[len(id)-8:]
	}
	if len(id) > 12 {
		return id[:12]
	}
	return id
}

// moment is a time for people, in UTC.
func moment(t api.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// span is a duration given in seconds, for people.
func span(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second))
	if d >= time.Second {
		d = d.Round(time.Second)
	} else {
		d = d.Round(10 * time.Microsecond)
	}
	return d.String()
}

// numbers writes 1,2,3.
func numbers(list []int) string {
	texts := make([]string, len(list))
	for i, n := range list {
		texts[i] = strconv.Itoa(n)
	}
	return strings.Join(texts, ",")
}

// resources writes cores and memory.
func resources(r api.Resources) string {
	text := strconv.FormatFloat(r.CPU, 'g', 4, 64) + " cpu, " + jobspec.ShowSize(r.Memory)
	if r.GPUs > 0 {
		text += ", " + strconv.Itoa(r.GPUs) + " gpu"
	}
	return text
}
