package examples_test

import (
	"bytes"
	"errors"
	"io/fs"
	"slices"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/ciro-network/ciro/examples"
)

// TestTemplatesAreComplete checks that every file a specification names is there.
func TestTemplatesAreComplete(t *testing.T) {
	all := examples.Templates()
	if len(all) == 0 {
		t.Fatal("there is no template")
	}
	for _, tmpl := range all {
		var spec struct {
			Name, Type, Module string
			Tasks              int
			Inputs             []struct{ Name, Path string }
		}
		if err := yaml.Unmarshal(tmpl.Spec, &spec); err != nil {
			t.Fatalf("%s: %v", tmpl.Name, err)
		}
		if spec.Name != tmpl.Name || spec.Type != tmpl.Type || spec.Tasks < 1 || tmpl.Summary == "" {
			t.Errorf("%s: specification and template disagree: %+v", tmpl.Name, spec)
		}
		want := []string{spec.Module}
		for _, in := range spec.Inputs {
			want = append(want, in.Path)
		}
		slices.Sort(want)
		if !slices.Equal(want, tmpl.Files) {
			t.Errorf("%s: the specification names %q, the template has %q", tmpl.Name, want, tmpl.Files)
		}
		for _, name := range tmpl.Files {
			if b, err := tmpl.Open(name); err != nil || len(b) == 0 {
				t.Errorf("%s: %d bytes, %v", name, len(b), err)
			}
		}
		module, err := tmpl.Open(spec.Module)
		if err != nil || !bytes.HasPrefix(module, []byte("\x00asm")) {
			t.Errorf("%s: %s is not a WASM module (%v)", tmpl.Name, spec.Module, err)
		}
	}
}

func TestFind(t *testing.T) {
	for name, want := range map[string]string{ // any order: independent
		"render3d": "render3d", "RENDER3D": "render3d", "render-3d": "render3d", "Render_3D": "render3d",
		"ai-inference": "ai-inference", "AI_inference": "ai-inference", "wordcount": "wordcount", "word-count": "wordcount",
	} {
		if got, ok := examples.Find(name); !ok || got.Name != want {
			t.Errorf("Find(%q) is %q, %v", name, got.Name, ok)
		}
	}
	for _, name := range []string{"no-such", "custom", ""} {
		if got, ok := examples.Find(name); ok {
			t.Errorf("Find(%q) is the template %q", name, got.Name)
		}
	}
}

func TestOpenRefusesUnknownFiles(t *testing.T) {
	tmpl, _ := examples.Find("render3d")
	for _, name := range []string{"", "job.yaml", "../render3d/scene.bin", "other"} {
		if _, err := tmpl.Open(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("Open(%q) gives %v", name, err)
		}
	}
}
