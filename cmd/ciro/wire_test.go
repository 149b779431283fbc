package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/jobspec"
)

// TestStartFlagsAreSettings checks every flag of start against the real
// configuration: each must be a setting and have its effect.
func TestStartFlagsAreSettings(t *testing.T) {
	w := newWorld(t)
	r := w.ciro(t, "start", "--join", "/ip4/192.0.2.7/tcp/4001/p2p/12D3KooWSgyHqW6h6kBXMnBpWgvLCTKqZ9n4hUCC6ZJmSwrWqX1W#s",
		"--bootstrap", "/ip4/192.0.2.8/tcp/4001/p2p/12D3KooWSgyHqW6h6kBXMnBpWgvLCTKqZ9n4hUCC6ZJmSwrWqX1W",
		"--listen", "/ip4/127.0.0.1/tcp/0", "--network-name", "home", "--shards", "8", "--open", "--mdns",
		"--api-listen", "127.0.0.1:9", "--token", "secret", "--name", "n", "--roles", "Worker", "--cpus", "2.5", "--memory", "1GiB",
		"--label", "zone=a", "--log-level", "debug", "--log-format", "json", "--profile", "test")
	if r.code != 0 {
		t.Fatalf("%+v", r)
	}
	cfg, err := loadConfig(*w.started, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(cfg.Network.Join[:12], cfg.Network.Bootstrap, cfg.Network.Listen, cfg.Network.Name, cfg.Network.Shards, cfg.Network.Open,
		cfg.Network.MDNS, cfg.API.Listen, cfg.API.Token, cfg.Name, cfg.Roles, cfg.Worker.CPUs, cfg.Worker.Memory, cfg.Worker.Labels,
		cfg.Logging, cfg.Profile)
	want := "/ip4/192.0.2[/ip4/192.0.2.8/tcp/4001/p2p/12D3KooWSgyHqW6h6kBXMnBpWgvLCTKqZ9n4hUCC6ZJmSwrWqX1W][/ip4/127.0.0.1/tcp/0]" +
		"home8 true true [127.0.0.1:9]secretn[worker] 2.5 1073741824 map[zone:a] {debug json}test"
	if strings.ReplaceAll(got, " ", "") != strings.ReplaceAll(want, " ", "") {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if cfg.DataDir != w.dir || !cfg.Given("api.listen") || cfg.Given("scheduler.tick") {
		t.Errorf("data directory %s, given: %v, %v", cfg.DataDir, cfg.Given("api.listen"), cfg.Given("scheduler.tick"))
	}
	if r := w.ciro(t, "start", "--roles", "king"); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	if _, err := loadConfig(*w.started, nil); exitCode(t.Context(), err) != exitUsage || !strings.Contains(err.Error(), "king") {
		t.Errorf("a role that is none: %v", err)
	}
}

func TestExampleConfigLoads(t *testing.T) {
	for _, profile := range config.Profiles() {
		text, err := exampleConfig(strings.ToUpper(profile))
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), configFile)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if cfg, err := loadConfig(startOptions{file: path}, nil); err != nil || cfg.Profile != profile {
			t.Errorf("%s: %v, profile %s", profile, err, cfg.Profile)
		}
	}
	if _, err := exampleConfig("holiday"); exitCode(t.Context(), err) != exitUsage {
		t.Errorf("a profile that is none: %v", err)
	}
}

// TestShippedTemplates submits what really ships: the command line of the
// earlier version that needs no file.
func TestShippedTemplates(t *testing.T) {
	for _, name := range []string{"render3d", "ai-inference", "wordcount"} {
		shipped, ok := shippedTemplate(name)
		if !ok {
			t.Fatalf("%s does not ship", name)
		}
		doc, err := jobspec.Parse(shipped.spec, name)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range doc.LocalFiles() {
			data, err := shipped.open(file.Path)
			if err != nil || len(data) < 1000 {
				t.Errorf("%s, %s (%s): %d bytes, %v", name, file.Field, file.Path, len(data), err)
			}
		}
	}
	if _, ok := shippedTemplate("nlp"); ok {
		t.Error("a job of type nlp ships")
	}
}

// TestShippedFiles submits the documents of the examples as they lie in a fresh
// clone, where what is large is compressed or not there at all.
func TestShippedFiles(t *testing.T) {
	var said strings.Builder
	c := &console{err: &said, templates: shippedTemplate}
	for _, name := range []string{"render3d", "ai-inference", "wordcount"} {
		o, err := c.fileOffer("../../examples/" + name + "/job.yaml")
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for _, file := range o.doc.LocalFiles() {
			body, length, err := o.open(file.Path)
			if err != nil || length < 1000 {
				t.Fatalf("%s: %s: %d bytes, %v", name, file.Path, length, err)
			}
			body.Close()
			if n := strings.Count(said.String(), file.Path+" is not there: taking the one that ships"); n != 1 {
				t.Errorf("%s: of %s it is said %d times that it ships: %s", name, file.Path, n, said.String())
			}
		}
	}
	// A file that is there is taken, and what no such job has is missed.
	dir := t.TempDir()
	for name, text := range map[string]string{ // any order: independent files
		"job.yaml": "name: wordcount\nmodule: wordcount.wasm\ninputs: [{name: text, path: text.txt}]\n", "text.txt": "my own",
		"other.yaml": "name: other\nmodule: wordcount.wasm\n", "wrong.yaml": "name: wordcount\nmodule: words.wasm\n",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	o, err := c.fileOffer(filepath.Join(dir, "job.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	if body, length, err := o.open("text.txt"); err != nil || length != 6 {
		t.Errorf("the text has %d bytes, %v", length, err)
	} else {
		body.Close()
	}
	for _, name := range []string{"other.yaml", "wrong.yaml"} {
		if _, err := c.fileOffer(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
