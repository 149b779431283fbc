// Package examples holds the job templates that are part of the binary: ready
// jobs that a client submits by their type or name alone, with module and input files.
//
// It only embeds and describes. A template's job specification is YAML as a client would write it;
// where the specification names a file, the file is one that [Template.Open]
// returns. Files are embedded compressed and decompressed anew by each call, or
// made up by a deterministic program, so that a process which submits nothing pays
// nothing.
//
// Each template lives in a folder of its own beside this file, with its source
// and the command that rebuilds it. [Templates] and [Find] may be called from
// several goroutines at once, and the values they return belong to the caller.
package examples

import (
	"compress/gzip"
	"embed"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/ciro-network/ciro/examples/wordcount/text"
)

//go:embed ai-inference/job.yaml ai-inference/*.gz
//go:embed render3d/job.yaml render3d/*.gz
//go:embed wordcount/job.yaml wordcount/*.gz
var files embed.FS

// generated returns the contents of a template's file that is made rather than
// stored, or nil.
func generated(template, name string) func() []byte {
	if template == "wordcount" && name == "text.txt" {
		return func() []byte { return text.Make(text.Size) }
	}
	return nil
}

// specName is the file of a template's folder that holds its specification.
const specName = "job.yaml"

// Template is a job that can be submitted as it is.
type Template struct {
	Name    string   // unique; also the template's folder
	Type    string   // job type in its canonical form, such as "render3d"
	Summary string   // one line for people
	Spec    []byte   // the job specification, YAML
	Files   []string // names that Open accepts, sorted
}

// Templates returns all templates, sorted by name.
func Templates() []Template {
	return []Template{
		load("ai-inference", "ai-inference", "Reads 1,017 handwritten digits with a small neural network in 8 batches and computes its accuracy"),
		load("render3d", "render3d", "Path-traces a 640 × 360 picture in 12 tiles and assembles one PNG file"),
		load("wordcount", "custom", "Counts the words of a text of 12 MB in 8 parts and joins the counts", "text.txt"),
	}
}

// Find returns the template of a job type, or of that name. Upper and lower
// case, hyphens and underscores make no difference. The type custom says nothing
// about what a job does, so its templates are found by name alone.
func Find(typeOrName string) (Template, bool) {
	want := canonical(typeOrName)
	for _, t := range Templates() {
		if canonical(t.Name) == want || t.Type != "custom" && canonical(t.Type) == want {
			return t, true
		}
	}
	return Template{}, false
}

// Open returns the contents of one of the template's Files, uncompressed. The
// error wraps [fs.ErrNotExist] if the template has no such file.
func (t Template) Open(name string) ([]byte, error) {
	if strings.ContainsRune(name, '/') {
		return nil, fmt.Errorf("template %s: file %q: %w", t.Name, name, fs.ErrNotExist)
	}
	if make := generated(t.Name, name); make != nil {
		return make(), nil
	}
	f, err := files.Open(path.Join(t.Name, name+".gz"))
	if err != nil {
		return nil, fmt.Errorf("template %s has no file %q, only %s: %w", t.Name, name, strings.Join(t.Files, ", "), err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		return nil, fmt.Errorf("template %s: file %q: %w", t.Name, name, err)
	}
	b, err := io.ReadAll(z)
	if err != nil {
		return nil, fmt.Errorf("template %s: file %q: %w", t.Name, name, err)
	}
	return b, nil
}

// load describes the template in folder name, with those of its files that are
// generated. The others are part of the binary and checked by this package's
// tests, so reading them cannot fail.
func load(name, jobType, summary string, made ...string) Template {
	t := Template{Name: name, Type: jobType, Summary: summary, Files: made}
	t.Spec, _ = files.ReadFile(path.Join(name, specName))
	entries, _ := files.ReadDir(name)
	for _, e := range entries {
		if file, packed := strings.CutSuffix(e.Name(), ".gz"); packed {
			t.Files = append(t.Files, file)
		}
	}
	slices.Sort(t.Files)
	return t
}

// canonical folds what job types may differ in without being different.
func canonical(jobType string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(jobType))
}
