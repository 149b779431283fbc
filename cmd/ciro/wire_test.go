package main

import (
	"fmt"
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
	shipped, ok := shippedTemplate("render3d")
	if !ok {
		t.Fatal("render3d does not ship")
	}
	doc, err := jobspec.Parse(shipped.spec, "render3d")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range doc.LocalFiles() {
		data, err := shipped.open(file.Path)
		if err != nil || len(data) < 1000 {
			t.Errorf("%s (%s): %d bytes, %v", file.Field, file.Path, len(data), err)
		}
	}
	if _, ok := shippedTemplate("nlp"); ok {
		t.Error("a job of type nlp ships")
	}
}
