package jobspec

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/ciro-network/ciro/node/constraint"
	"github.com/ciro-network/ciro/scheduler/job"
)

// entry is one known key of a mapping and what to do with its value. Entries
// are applied in the schema's order, not the document's.
type entry struct {
	key string
	set func(*node) error
}

// refused are keys that belong to the mesh's vocabulary but not to this
// release; they deserve a better answer than "unknown".
var refused = map[string]string{
	"verification": "verification is not built yet; remove it",
	"image":        "container images are not available; use executor wasm with a module",
	"outputs":      "outputs are whatever a task writes to /out; remove it",
}

// decoder applies a tree to a document.
type decoder struct {
	doc   *Document
	path  string         // of the mapping at hand, "" at the top
	lines map[string]int // of the top-level keys
}

func (d *decoder) fail(n *node, key, format string, args ...any) error {
	return &lineError{n.line, fmt.Errorf("%s: %w", d.full(key), fmt.Errorf(format, args...))}
}

func (d *decoder) full(key string) string {
	if d.path == "" {
		return key
	}
	return strings.TrimSuffix(d.path+"."+key, ".")
}

// mapping checks n against the known keys and applies their values.
func (d *decoder) mapping(n *node, where string, known []entry) error {
	if n.kind != kindMapping {
		if where == "" {
			return &lineError{n.line, fmt.Errorf("a job document is a mapping of keys to values, not %v", n.kind)}
		}
		return &lineError{n.line, fmt.Errorf("%s: want a mapping, not %v", where, n.kind)}
	}
	outer := d.path
	d.path = where
	defer func() { d.path = outer }()
	names := make([]string, len(known))
	for i, e := range known {
		names[i] = e.key
	}
	for _, f := range n.fields {
		if !slices.Contains(names, f.key) {
			return d.unknown(f, names)
		}
		if f.value.kind == kindNull {
			return d.fail(f.value, f.key, "has no value; give one or remove the key")
		}
	}
	for _, e := range known {
		i := slices.IndexFunc(n.fields, func(f field) bool { return f.key == e.key })
		if i < 0 {
			continue
		}
		if where == "" {
			d.lines[e.key] = n.fields[i].line
		}
		if err := e.set(n.fields[i].value); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) unknown(f field, names []string) error {
	if why, ok := refused[f.key]; ok && d.path == "" {
		return &lineError{f.line, fmt.Errorf("%s: %s", f.key, why)}
	}
	if near, ok := Nearest(f.key, names); ok {
		return &lineError{f.line, fmt.Errorf("unknown key %q; did you mean %q?", d.full(f.key), d.full(near))}
	}
	return &lineError{f.line, fmt.Errorf("unknown key %q; known here are %s", d.full(f.key), strings.Join(names, ", "))}
}

// top applies a whole document.
func (d *decoder) top(n *node) error {
	s := &d.doc.spec
	return d.mapping(n, "", []entry{
		d.text("name", &s.Name),
		{"type", d.jobType},
		{"executor", d.executor},
		{"module", d.module},
		d.size("moduleSize", &s.ModuleLen),
		d.list("args", &s.Args),
		d.pairs("env", &s.Env),
		whole(d, "tasks", &s.Tasks, job.MaxTasks),
		{"inputs", d.inputs},
		{"resources", func(n *node) error { return d.resources(n, "resources", &s.Need) }},
		{"gather", d.gather}, // after resources: it inherits them
		d.pairs("labels", &s.Labels),
		{"constraints", d.constraints},
		d.duration("timeout", &s.Policy.Timeout),
		d.duration("deadline", &s.Policy.Deadline),
		whole(d, "retries", &s.Policy.Retries, job.MaxRetries),
		{"retryOn", d.retryOn},
		d.truth("retryFailed", d.retryFailed), // after retryOn: it adds to it
		d.truth("failFast", func(on bool) { s.Policy.KeepGoing = !on }),
		d.truth("deterministic", func(on bool) { s.Varying = !on }),
		{"priority", d.priority},
		{"price", func(n *node) error {
			return d.mapping(n, "price", []entry{{"max", func(n *node) error {
				return parsed(d, n, "max", &s.PriceMax, ParsePrice)
			}}})
		}},
		d.text("client_address", &s.Client),
	})
}

func (d *decoder) jobType(n *node) error {
	if err := d.scalar(n, "type"); err != nil {
		return err
	}
	t, ok := Canonical(n.text)
	if !ok {
		if near, ok := Nearest(n.text, Types()); ok {
			return d.fail(n, "type", "%q is unknown; did you mean %q?", n.text, near)
		}
		return d.fail(n, "type", "%q is unknown; known are %s", n.text, strings.Join(Types(), ", "))
	}
	d.doc.spec.Type = t
	return nil
}

func (d *decoder) executor(n *node) error {
	if err := d.scalar(n, "executor"); err != nil {
		return err
	}
	if n.text != "wasm" {
		return d.fail(n, "executor", "%q is not available; use wasm", n.text)
	}
	d.doc.spec.Executor = n.text
	return nil
}

func (d *decoder) module(n *node) error {
	if err := d.scalar(n, "module"); err != nil {
		return err
	}
	d.doc.spec.Module, d.doc.module = "", ""
	if isCID(n.text) {
		d.doc.spec.Module = n.text
	} else {
		d.doc.module = n.text
	}
	return nil
}

func (d *decoder) priority(n *node) error {
	if level, ok := map[string]uint8{"low": 1, "medium": 5, "high": 8, "critical": 10}[strings.ToLower(n.text)]; ok && n.kind == kindText {
		d.doc.spec.Priority = level
		return nil
	}
	v, err := strconv.ParseUint(n.text, 10, 8)
	if n.kind != kindNumber || err != nil || v < 1 || v > 10 {
		return d.fail(n, "priority", "want 1 to 10, or low, medium, high, critical, not %s", n.show())
	}
	d.doc.spec.Priority = uint8(v)
	return nil
}

// constraints reads an expression and compiles it, so that what is wrong with it
// is said where it was written.
func (d *decoder) constraints(n *node) error {
	if err := d.scalar(n, "constraints"); err != nil {
		return err
	}
	if _, err := constraint.Compile(n.text); err != nil {
		var bad *constraint.Error
		if errors.As(err, &bad) && bad.Unknown != "" {
			if near, ok := Nearest(bad.Unknown, bad.Known); ok {
				return d.fail(n, "constraints", "%w; did you mean %q?", err, near)
			}
			return d.fail(n, "constraints", "%w; known are %s", err, strings.Join(bad.Known, ", "))
		}
		return d.fail(n, "constraints", "%w", err)
	}
	d.doc.spec.Constraints = n.text
	return nil
}

// retryOn reads the classes of failure that are tried again.
func (d *decoder) retryOn(n *node) error {
	var names []string
	if err := d.list("retryOn", &names).set(n); err != nil {
		return err
	}
	var on job.Classes
	for i, name := range names {
		c, ok := job.ParseClass(name)
		if !ok {
			known := job.Classes(job.AllClasses).Names()
			if near, ok := Nearest(name, known); ok {
				return d.fail(n.items[i], "retryOn", "%q is no class of failure; did you mean %q?", name, near)
			}
			return d.fail(n.items[i], "retryOn", "%q is no class of failure; there are %s", name, strings.Join(known, ", "))
		}
		on |= 1 << c
	}
	d.doc.spec.Policy.RetryOn = on
	return nil
}

// retryFailed is short for the classes that are the program's own doing.
func (d *decoder) retryFailed(on bool) {
	if on {
		d.doc.spec.Policy.RetryOn |= job.Deterministic
	} else {
		d.doc.spec.Policy.RetryOn &^= job.Deterministic
	}
}

func (d *decoder) gather(n *node) error {
	s := &d.doc.spec
	g := &job.Gather{}
	err := d.mapping(n, "gather", []entry{
		d.list("args", &g.Args),
		{"resources", func(n *node) error {
			g.Need = s.Need
			return d.resources(n, "gather.resources", &g.Need)
		}},
	})
	s.Gather = g
	return err
}

func (d *decoder) resources(n *node, where string, r *job.Resources) error {
	return d.mapping(n, where, []entry{
		{"cpu", func(n *node) error { return parsed(d, n, "cpu", &r.CPU, ParseCPU) }},
		d.size("memory", &r.Memory),
		d.size("disk", &r.Disk),
		{"gpu", func(n *node) error {
			return d.mapping(n, where+".gpu", []entry{
				whole(d, "count", &r.GPUs, 1024),
				d.size("memory", &r.GPUMem),
			})
		}},
	})
}

func (d *decoder) inputs(n *node) error {
	if n.kind != kindList {
		return d.fail(n, "inputs", "want a list of {name, path | cid | text}, not %v", n.kind)
	}
	if len(n.items) > job.MaxInputs {
		return d.fail(n, "inputs", "%d are over %d", len(n.items), job.MaxInputs)
	}
	d.doc.spec.Inputs, d.doc.sources = nil, nil
	for i, item := range n.items {
		if err := d.input(item, fmt.Sprintf("inputs[%d]", i)); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) input(n *node, where string) error {
	var in job.Input
	var from source
	var given []string
	note := func(key string) { given = append(given, key) }
	err := d.mapping(n, where, []entry{
		d.text("name", &in.Name),
		{"path", func(n *node) error {
			note("path")
			if isCID(n.text) {
				return d.text("path", &in.CID).set(n)
			}
			return d.text("path", &from.path).set(n)
		}},
		{"cid", func(n *node) error {
			note("cid")
			if !isCID(n.text) {
				return d.fail(n, "cid", "%s is no CID; use path for a local file", n.show())
			}
			in.CID = n.text
			return nil
		}},
		{"text", func(n *node) error {
			note("text")
			if n.kind == kindList || n.kind == kindMapping {
				return d.fail(n, "text", "want text, not %v", n.kind)
			}
			from.text, from.inline = n.text, true
			return nil
		}},
		d.size("size", &in.Size),
	})
	if err != nil {
		return err
	}
	if len(given) != 1 {
		return &lineError{n.line, fmt.Errorf("%s: need exactly one of path, cid and text, have %d", where, len(given))}
	}
	if in.Name == "" && from.path != "" {
		in.Name = path.Base(strings.ReplaceAll(from.path, "\\", "/"))
	}
	if in.Name == "" {
		return &lineError{n.line, fmt.Errorf("%s: has no name; the task sees it as /in/<name>", where)}
	}
	d.doc.spec.Inputs = append(d.doc.spec.Inputs, in)
	d.doc.sources = append(d.doc.sources, from)
	return nil
}
