package sim

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is one line of a fault script: something that goes wrong at a virtual
// time, for a while. What Nodes, By and Rate mean depends on Kind; see Help.
type Fault struct {
	At    time.Duration
	Kind  string
	Nodes []int
	For   time.Duration
	By    time.Duration
	Rate  float64
	Wipe  bool
}

// String returns the line of a script that ParseScript reads.
func (f Fault) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v %s", f.At, f.Kind)
	for _, n := range f.Nodes {
		fmt.Fprintf(&b, " n%d", n)
	}
	if f.For != 0 {
		fmt.Fprintf(&b, " for=%v", f.For)
	}
	if f.By != 0 {
		fmt.Fprintf(&b, " by=%v", f.By)
	}
	if f.Rate != 0 {
		fmt.Fprintf(&b, " rate=%s", strconv.FormatFloat(f.Rate, 'g', -1, 64))
	}
	if f.Wipe {
		b.WriteString(" wipe")
	}
	return b.String()
}

func (f Fault) validate(nodes int) error {
	k := nemeses()[f.Kind]
	switch {
	case k == nil:
		return fmt.Errorf("fault %q is not known; there are %s", f.Kind, strings.Join(Kinds(), ", "))
	case f.At < 0 || f.For < 0 || f.For > 48*time.Hour:
		return fmt.Errorf("the time %v or duration %v is outside its range", f.At, f.For)
	case len(f.Nodes) < k.least:
		return fmt.Errorf("%s concerns at least %d nodes", f.Kind, k.least)
	case f.Rate < 0 || f.Rate > 10_000 || f.By < -24*time.Hour || f.By > 24*time.Hour:
		return fmt.Errorf("rate %v or by %v is outside its range", f.Rate, f.By)
	}
	if f.Kind == "hostile" && slices.Contains(f.Nodes, 0) {
		return errors.New("n0 founds the network and cannot be hostile")
	}
	for _, n := range f.Nodes {
		if n < 0 || n >= nodes {
			return fmt.Errorf("there is no node n%d among %d", n, nodes)
		}
	}
	return nil
}

// Expectation is what a replay file says about the run that made it.
type Expectation struct {
	Rule string // that was broken; "" if none
	Hash uint64 // of the trace; 0 if unknown
}

// settings are the lines of a script beside faults: what Config holds.
var settings = []struct {
	name string
	get  func(c *Config) string
	set  func(c *Config, v string) error
}{
	{"seed", func(c *Config) string { return strconv.FormatUint(c.Seed, 10) }, func(c *Config, v string) (err error) {
		c.Seed, err = strconv.ParseUint(v, 10, 64)
		return err
	}},
	whole("nodes", func(c *Config) *int { return &c.Nodes }),
	whole("shards", func(c *Config) *int { return &c.Shards }),
	share("rate", func(c *Config) *float64 { return &c.Rate }),
	whole("bystanders", func(c *Config) *int { return &c.Bystanders }),
	whole("jobs", func(c *Config) *int { return &c.Jobs }),
	{"only", func(c *Config) string { return numbers(c.Only) }, func(c *Config, v string) error {
		c.Only = []int{}
		if v == "-" {
			return nil
		}
		for _, f := range strings.FieldsFunc(v, func(r rune) bool { return r == ',' }) {
			n, err := strconv.Atoi(f)
			if err != nil {
				return err
			}
			c.Only = append(c.Only, n)
		}
		return nil
	}},
	span("duration", func(c *Config) *time.Duration { return &c.Duration }),
	span("minDelay", func(c *Config) *time.Duration { return &c.Faults.MinDelay }),
	span("maxDelay", func(c *Config) *time.Duration { return &c.Faults.MaxDelay }),
	share("loss", func(c *Config) *float64 { return &c.Faults.Loss }),
	share("duplicate", func(c *Config) *float64 { return &c.Faults.Duplicate }),
	{"mutation", func(c *Config) string { return c.Mutation }, func(c *Config, v string) error { c.Mutation = v; return nil }},
}

type setting = struct {
	name string
	get  func(c *Config) string
	set  func(c *Config, v string) error
}

func whole(name string, of func(*Config) *int) setting {
	return setting{name, func(c *Config) string { return strconv.Itoa(*of(c)) }, func(c *Config, v string) (err error) {
		*of(c), err = strconv.Atoi(v)
		return err
	}}
}

func span(name string, of func(*Config) *time.Duration) setting {
	return setting{name, func(c *Config) string { return of(c).String() }, func(c *Config, v string) (err error) {
		*of(c), err = time.ParseDuration(v)
		return err
	}}
}

func share(name string, of func(*Config) *float64) setting {
	return setting{name, func(c *Config) string { return strconv.FormatFloat(*of(c), 'g', -1, 64) }, func(c *Config, v string) (err error) {
		*of(c), err = strconv.ParseFloat(v, 64)
		return err
	}}
}

// numbers writes 1,2,3; "-" for a list that is there and empty, "" for none.
func numbers(list []int) string {
	if list != nil && len(list) == 0 {
		return "-"
	}
	var out []string
	for _, n := range list {
		out = append(out, strconv.Itoa(n))
	}
	return strings.Join(out, ",")
}

// WriteReplay writes a configuration with its script as a replay file.
func WriteReplay(out io.Writer, c Config, v *Violation, hash uint64) error {
	c = c.withDefaults()
	var b strings.Builder
	if v != nil {
		fmt.Fprintf(&b, "# %s\n", strings.ReplaceAll(v.Error(), "\n", " "))
	}
	for _, s := range settings {
		if text := s.get(&c); text != "" {
			fmt.Fprintf(&b, "%s %s\n", s.name, text)
		}
	}
	if v != nil {
		fmt.Fprintf(&b, "expect %s %016x\n", v.Rule, hash)
	}
	for _, f := range c.Script {
		fmt.Fprintln(&b, f)
	}
	if _, err := io.WriteString(out, b.String()); err != nil {
		return fmt.Errorf("replay file: %w", err)
	}
	return nil
}

// maxScript bounds a script that is read, in lines.
const maxScript = 100_000

// ParseScript reads a fault script or replay file over a configuration. Empty
// lines and those that begin with # say nothing. A script is complete: beside
// its faults none happen.
func ParseScript(in io.Reader, c Config) (Config, Expectation, error) {
	var want Expectation
	c.Script = []Fault{}
	lines := bufio.NewScanner(in)
	for n := 1; lines.Scan(); n++ {
		f := strings.Fields(lines.Text())
		if len(f) == 0 || strings.HasPrefix(f[0], "#") {
			continue
		}
		if n > maxScript {
			return c, want, fmt.Errorf("script: more than %d lines", maxScript)
		}
		if err := readLine(f, &c, &want); err != nil {
			return c, want, fmt.Errorf("script, line %d: %w", n, err)
		}
	}
	if err := lines.Err(); err != nil {
		return c, want, fmt.Errorf("script: %w", err)
	}
	slices.SortStableFunc(c.Script, func(a, b Fault) int { return int(a.At - b.At) })
	return c, want, c.Validate()
}

func readLine(f []string, c *Config, want *Expectation) error {
	if at, err := time.ParseDuration(f[0]); err == nil {
		fault, err := readFault(at, f[1:])
		c.Script = append(c.Script, fault)
		return err
	}
	if f[0] == "expect" && len(f) == 3 {
		hash, err := strconv.ParseUint(f[2], 16, 64)
		want.Rule, want.Hash = f[1], hash
		return err
	}
	for _, s := range settings {
		if s.name == f[0] {
			if len(f) != 2 {
				return fmt.Errorf("%s needs one value", s.name)
			}
			return s.set(c, f[1])
		}
	}
	return fmt.Errorf("%q is neither a time, as 1.5s, nor a setting", f[0])
}

func readFault(at time.Duration, words []string) (f Fault, err error) {
	if len(words) == 0 {
		return f, fmt.Errorf("the kind of fault is missing; there are %s", strings.Join(Kinds(), ", "))
	}
	f = Fault{At: at, Kind: words[0]}
	for _, word := range words[1:] {
		name, value, _ := strings.Cut(word, "=")
		switch {
		case word == "wipe":
			f.Wipe = true
		case name == "for":
			f.For, err = time.ParseDuration(value)
		case name == "by":
			f.By, err = time.ParseDuration(value)
		case name == "rate":
			f.Rate, err = strconv.ParseFloat(value, 64)
		case strings.HasPrefix(word, "n"):
			var n int
			n, err = strconv.Atoi(word[1:])
			f.Nodes = append(f.Nodes, n)
		default:
			err = fmt.Errorf("%q is neither a node, as n3, nor for=, by=, rate= or wipe", word)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}
