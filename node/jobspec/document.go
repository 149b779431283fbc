package jobspec

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
)

// MaxDocument is the largest document in bytes, with its inline texts.
const MaxDocument = 1 << 20

// standIn has the length of a real CID; it stands for content that is not
// stored yet while a document's bounds are checked.
const standIn = "bafybeigdyrzt5sfp7udm7hu76uh7y26nf3efuylqabf3oclgtqy55fbzdi"

// Document is a job document: a spec whose module and inputs may still be
// local files or texts. Make one with Parse or FromSpec.
type Document struct {
	spec    job.Spec
	module  string   // local path; "" when spec.Module is a CID
	sources []source // beside spec.Inputs
}

// source is where an input comes from while it has no CID.
type source struct {
	path   string
	text   string
	inline bool
}

// File is content that has to be stored in the mesh before the document is a
// spec: a local file, or an inline text when Path is empty.
type File struct {
	Field string // what SetCID wants: "module", "inputs[2].path", "inputs[2].text"
	Path  string // as written; relative to the document's own folder
	Text  []byte // the content itself when Path is ""
}

// Parse reads a YAML or JSON document and fills in the defaults. The name, as a
// rule the file's, is what errors begin with, followed by the line. All bounds
// of job.Spec are checked here, before anything is uploaded.
func Parse(data []byte, name string) (*Document, error) {
	if name == "" {
		name = "job"
	}
	if len(data) > MaxDocument {
		return nil, fmt.Errorf("%s: %d bytes are over %d; move long texts into an input file", name, len(data), MaxDocument)
	}
	tree, err := parseTree(data)
	if err != nil {
		return nil, located(name, err)
	}
	doc := &Document{spec: defaults()}
	d := &decoder{doc: doc, lines: make(map[string]int)}
	if err := d.top(tree); err != nil {
		return nil, located(name, err)
	}
	if doc.spec.Name == "" {
		doc.spec.Name = doc.spec.Type
		if ext := path.Ext(name); slices.Contains([]string{".yaml", ".yml", ".json"}, ext) {
			doc.spec.Name = strings.TrimSuffix(path.Base(strings.ReplaceAll(name, "\\", "/")), ext)
		}
	}
	if doc.spec.Module == "" && doc.module == "" {
		return nil, fmt.Errorf("%s: module: missing; name a .wasm file or its CID", name)
	}
	if err := doc.check(); err != nil {
		key, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), "spec: "), ":")
		if line, ok := d.lines[key]; ok {
			err = &lineError{line, err}
		}
		return nil, located(name, err)
	}
	return doc, nil
}

// located puts file and line before an error.
func located(name string, err error) error {
	var at *lineError
	if errors.As(err, &at) && at.line > 0 {
		return fmt.Errorf("%s:%d: %w", name, at.line, at.err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

func defaults() job.Spec {
	return job.Spec{
		Type: "custom", Executor: "wasm", Tasks: 1, Priority: 5,
		Need:   job.Resources{CPU: 1000, Memory: 256 << 20, Disk: 64 << 20},
		Policy: job.Policy{Timeout: time.Hour, Retries: 3, RetryOn: job.DefaultRetryOn},
	}
}

// FromSpec returns the document of a spec, for showing it. The document has no
// local files.
func FromSpec(s *job.Spec) *Document {
	return &Document{spec: copySpec(s), sources: make([]source, len(s.Inputs))}
}

// Set overrides one value, as --set key=value does: the key is dotted
// ("priority", "resources.memory", "env.GREETING"), the value is written as in
// YAML. A list replaces the old one, a mapping is merged into it. The document is
// unchanged when Set fails.
func (d *Document) Set(key, value string) error {
	n, err := parseYAML([]byte(value))
	if err != nil || n.kind == kindMapping {
		n = &node{kind: kindText, text: value}
	}
	n.line = 0
	parts := strings.Split(key, ".")
	if len(parts) > 2 && (parts[0] == "env" || parts[0] == "labels") {
		parts = []string{parts[0], strings.Join(parts[1:], ".")} // names may have dots
	}
	for _, part := range slices.Backward(parts) {
		n = &node{kind: kindMapping, fields: []field{{key: part, value: n}}}
	}
	next := &Document{spec: copySpec(&d.spec), module: d.module, sources: slices.Clone(d.sources)}
	err = (&decoder{doc: next, lines: make(map[string]int)}).top(n)
	var at *lineError
	if errors.As(err, &at) {
		err = at.err
	}
	if err == nil {
		err = next.check()
	}
	if err != nil {
		return fmt.Errorf("set %s: %w", key, err)
	}
	*d = *next
	return nil
}

// LocalFiles returns the content that is not in the mesh yet, the module first
// and the inputs in order; empty when the document is ready for Spec.
func (d *Document) LocalFiles() []File {
	var out []File
	if d.spec.Module == "" {
		out = append(out, File{Field: "module", Path: d.module})
	}
	for i, in := range d.spec.Inputs {
		if in.CID != "" {
			continue
		}
		if d.sources[i].inline {
			out = append(out, File{Field: fmt.Sprintf("inputs[%d].text", i), Text: []byte(d.sources[i].text)})
		} else {
			out = append(out, File{Field: fmt.Sprintf("inputs[%d].path", i), Path: d.sources[i].path})
		}
	}
	return out
}

// SetCID records that the content of a field of LocalFiles is stored under cid
// and how many bytes it has. It fails for a field that LocalFiles does not name
// and for text that is no CID.
func (d *Document) SetCID(field, cid string, size int64) error {
	if !isCID(cid) || size < 0 {
		return fmt.Errorf("%s: %q with %d bytes is no stored content", field, cid, size)
	}
	for _, f := range d.LocalFiles() {
		if f.Field != field {
			continue
		}
		if field == "module" {
			d.spec.Module, d.spec.ModuleLen, d.module = cid, uint64(size), ""
			return nil
		}
		var i int
		if _, err := fmt.Sscanf(field, "inputs[%d]", &i); err != nil {
			return fmt.Errorf("%s: no input: %w", field, err)
		}
		d.spec.Inputs[i].CID, d.spec.Inputs[i].Size, d.sources[i] = cid, uint64(size), source{}
		return nil
	}
	return fmt.Errorf("%s: no local file or text of this job", field)
}

// Draft returns the spec that the document will be once all is stored, with
// stand-ins for what is not. It is for judging, not for submitting.
func (d *Document) Draft() *job.Spec {
	s := copySpec(&d.spec)
	if s.Module == "" {
		s.Module = standIn
	}
	for i := range s.Inputs {
		if s.Inputs[i].CID == "" {
			s.Inputs[i].CID = standIn
		}
	}
	return &s
}

// Spec returns the validated spec. It fails while LocalFiles names anything.
func (d *Document) Spec() (*job.Spec, error) {
	if open := d.LocalFiles(); len(open) > 0 {
		what := open[0].Path
		if what == "" {
			what = "its text"
		}
		return nil, fmt.Errorf("%s: %s is not stored in the mesh yet; upload it and name its CID", open[0].Field, what)
	}
	if err := d.check(); err != nil {
		return nil, err
	}
	s := copySpec(&d.spec)
	return &s, nil
}

// check validates the spec that the document will be once all is stored.
func (d *Document) check() error {
	s := d.Draft()
	if err := s.Validate(); err != nil {
		return err
	}
	_, err := job.DecodeSpec(s.Encode()) // its bounds on single texts are stricter
	return err
}

func copySpec(s *job.Spec) job.Spec {
	c := *s
	c.Args, c.Env, c.Labels = slices.Clone(s.Args), slices.Clone(s.Env), slices.Clone(s.Labels)
	c.Inputs = slices.Clone(s.Inputs)
	if s.Gather != nil {
		g := *s.Gather
		g.Args = slices.Clone(g.Args)
		c.Gather = &g
	}
	return c
}
