package config

import (
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// bare is c without the note of what was given.
func bare(c Config) Config {
	c.given = nil
	return c
}

func write(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "ciro.toml")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestDefaultsAreValid(t *testing.T) {
	for _, p := range Profiles() {
		if err := Default(p).Validate(); err != nil {
			t.Errorf("%s: %v", p, err)
		}
		c, err := Load(Options{Profile: p})
		if err != nil || !reflect.DeepEqual(bare(c), Default(p)) {
			t.Errorf("%s: %v\n%+v", p, err, c)
		}
		if c.Given("api.listen") {
			t.Errorf("%s: a default counts as given", p)
		}
	}
	if err := Default("prod").Validate(); err == nil {
		t.Error("an unknown profile is valid")
	}
}

func TestLayers(t *testing.T) {
	file := write(t, `
profile = "production"
name = "file"
roles = ["worker"]
[network]
high_water = 77
shards = 8
[scheduler.weights]
price = 2
[worker]
memory = "2GiB"
labels = {zone = "eu", "a.b" = "c"}
price = 0.25
types = ["RENDER_3D", "ai"]
[logging]
level = "warn"
`)
	c, err := Load(Options{
		File: file,
		Env: []string{"PATH=/bin", "CIRO_NAME=env", "CIRO_NETWORK_SHARDS=4", "CIRO_ROLES=none", "CIRO_METRICS_ENABLED=false",
			"CIRO_API=unused", "CIRO_DATA=/data", "CIRO_JOIN_SECRET=s3", "CIRO_SCHEDULER_TICK=50ms", "CIRO_WORKER_CACHE_BYTES=4096"},
		Flags: map[string]any{
			"name": "flag", "network.join": "/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWBBKxWNRQLSJsTLtNrzErBPLCGSMcDsRnL6MUhQApXKBd",
			"api.listen": []string{"127.0.0.1:9"}, "worker.grace": 3 * time.Second, "worker.slots": 5,
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := Default("production")
	want.Name, want.Roles, want.DataDir = "flag", []string{}, "/data"
	want.Network.HighWater, want.Network.Shards = 77, 4
	want.Network.Join = "/ip4/1.2.3.4/tcp/4001/p2p/12D3KooWBBKxWNRQLSJsTLtNrzErBPLCGSMcDsRnL6MUhQApXKBd#s3"
	want.Scheduler.Weights.Price, want.Scheduler.Tick = 2, 50*time.Millisecond
	want.Worker.Memory, want.Worker.Labels, want.Worker.Price = 2<<30, map[string]string{"zone": "eu", "a.b": "c"}, 250_000
	want.Worker.Types, want.Worker.CacheBytes = []string{"render3d", "ai-inference"}, 4096
	want.Worker.Grace, want.Worker.Slots = 3*time.Second, 5
	want.Logging.Level, want.Metrics.Enabled, want.API.Listen = "warn", false, []string{"127.0.0.1:9"}
	if !reflect.DeepEqual(bare(c), want) {
		t.Errorf("got\n%+v, want\n%+v", bare(c), want)
	}
	for key, given := range map[string]bool{"api.listen": true, "network.shards": true, "worker.labels": true, "network.listen": false, "worker.warm": false} {
		if c.Given(key) != given {
			t.Errorf("Given(%s) is %v", key, !given)
		}
	}
}

func TestProfileOrder(t *testing.T) {
	file := write(t, "profile = \"staging\"\n")
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{}, "development"},
		{Options{File: file}, "staging"},
		{Options{Env: []string{"CIRO_CONFIG=" + file}}, "staging"},
		{Options{File: file, Env: []string{"CIRO_PROFILE=test"}}, "test"},
		{Options{File: file, Env: []string{"CIRO_PROFILE=test"}, Profile: "production"}, "production"},
	} {
		if c, err := Load(tc.o); err != nil || c.Profile != tc.want {
			t.Errorf("%+v: %s, %v", tc.o, c.Profile, err)
		}
	}
}

func TestExample(t *testing.T) {
	for _, p := range Profiles() {
		text := Example(p)
		c, err := Load(Options{File: write(t, text)})
		if err != nil || !reflect.DeepEqual(bare(c), Default(p)) || c.Given("api.listen") {
			t.Errorf("%s as it is: %v\n%+v", p, err, c)
		}
		all := regexp.MustCompile(`(?m)^#([a-z])`).ReplaceAllString(text, "$1")
		c, err = Load(Options{File: write(t, all)})
		if err != nil {
			t.Fatalf("%s uncommented: %v\n%s", p, err, all)
		}
		want := Default(p)
		for _, s := range settings(&want) {
			if !c.Given(s.key) {
				t.Errorf("%s: %s is not in the example", p, s.key)
			}
		}
		var got, exp []string
		for i, s := range settings(&c) {
			got, exp = append(got, s.key+s.value.toml()), append(exp, s.key+settings(&want)[i].value.toml())
		}
		if !slices.Equal(got, exp) {
			t.Errorf("%s uncommented:\n%v, want\n%v", p, got, exp)
		}
	}
}

func TestRefusals(t *testing.T) {
	join := "/ip4/1.2.3.4/tcp/4001"
	for _, tc := range []struct {
		name, file string
		env        []string
		flags      map[string]any
		want       string
	}{
		{name: "unknown key", file: "[network]\nlisten_on = []", want: `unknown key "network.listen_on"`},
		{name: "typing error", file: "[scheduler]\nelection_tiks = 3", want: `unknown key "scheduler.election_tiks"; did you mean "scheduler.election_ticks"?`},
		{name: "unknown section", file: "[netwrok]\nmdns = true", want: `did you mean "network.mdns"?`},
		{name: "unknown variable", env: []string{"CIRO_NETWORK_LISTN=x"}, want: `unknown variable CIRO_NETWORK_LISTN; did you mean "CIRO_NETWORK_LISTEN"?`},
		{name: "unknown flag", flags: map[string]any{"api.lissen": "x"}, want: `flag: unknown key "api.lissen"; did you mean "api.listen"?`},
		{name: "section as value", file: "network = 3", want: "network is a section, not a value"},
		{name: "quoted number", file: "[network]\nshards = \"16\"", want: `network.shards: want a number, not the text "16"`},
		{name: "fraction", file: "[network]\nshards = 1.5", want: "network.shards: want a whole number, not 1.5"},
		{name: "number as truth", file: "[network]\nmdns = 1", want: "network.mdns: want true or false, not 1"},
		{name: "text for a list", file: "[network]\nlisten = [1]", want: "network.listen: want a list of texts, not one with 1"},
		{name: "range", file: "[network]\nshards = 0", want: "network.shards: 0 is outside 1..1024"},
		{name: "even", file: "[network]\nreplication = 2", want: "network.replication: 2 is even"},
		{name: "duration", file: "[scheduler]\ntick = \"fast\"", want: `scheduler.tick: "fast" is no duration`},
		{name: "short tick", file: "[scheduler]\ntick = \"1ms\"", want: "scheduler.tick: 1ms is outside 10ms..10s"},
		{name: "lease", file: "[scheduler]\nbooking = \"5s\"", want: "scheduler.lease: 4s must be"},
		{name: "size", file: "[worker]\nmemory = \"lots\"", want: `worker.memory: "lots" is no size`},
		{name: "not a number", file: "[worker]\ncpus = nan", want: "worker.cpus: NaN is outside"},
		{name: "role", env: []string{"CIRO_ROLES=worker,boss"}, want: `roles: "boss" is none of worker, coordinator`},
		{name: "twice", env: []string{"CIRO_ROLES=worker,worker"}, want: `"worker" appears twice`},
		{name: "type", file: "[worker]\ntypes = [\"quantum\"]", want: `worker.types: "quantum" is none of`},
		{name: "executor", file: "[worker]\nexecutors = [\"docker\"]", want: `"docker" is none of wasm`},
		{name: "multiaddress", file: "[network]\nlisten = [\"0.0.0.0:4001\"]", want: `network.listen: "0.0.0.0:4001" is no multiaddress`},
		{name: "join", flags: map[string]any{"network.join": join}, want: "has no /p2p/PEER"},
		{name: "join nonsense", flags: map[string]any{"network.join": "somewhere"}, want: "is no multiaddress"},
		{name: "open API", flags: map[string]any{"api.listen": "0.0.0.0:8080"}, want: "0.0.0.0:8080 can be reached from other machines; set api.token"},
		{name: "API without host", flags: map[string]any{"api.listen": ":8080"}, want: "can be reached from other machines"},
		{name: "API nonsense", flags: map[string]any{"api.listen": "8080"}, want: "is no host:port"},
		{name: "no API", file: "[api]\nlisten = []", want: "api.listen: is empty"},
		{name: "level", file: "[logging]\nlevel = \"loud\"", want: `logging.level: "loud" is none of debug, info, warn, error`},
		{name: "label", env: []string{"CIRO_WORKER_LABELS=zone"}, want: `"zone" is no label; write name=value`},
		{name: "profile", env: []string{"CIRO_PROFILE=prod"}, want: `profile: "prod" is none of`},
		{name: "broken TOML", file: "[network\n", want: "configuration file"},
		{name: "no data directory", file: "data_dir = \"\"", want: "data_dir: is empty"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o := Options{Env: tc.env, Flags: tc.flags}
			if tc.file != "" {
				o.File = write(t, tc.file)
			}
			_, err := Load(o)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got  %v\nwant %s", err, tc.want)
			}
		})
	}
	if _, err := Load(Options{File: filepath.Join(t.TempDir(), "none.toml")}); err == nil || !strings.Contains(err.Error(), "generate-config") {
		t.Errorf("missing file: %v", err)
	}
}

func TestEnvironmentForms(t *testing.T) {
	c, err := Load(Options{Env: []string{
		"CIRO_WORKER_LABELS=zone=eu, rack=7", "CIRO_API_LISTEN=127.0.0.1:1,[::1]:2", "CIRO_API_TOKEN=x=y", "CIRO_DATA=/a", "CIRO_DATA_DIR=~/b",
	}})
	if err != nil {
		t.Fatal(err)
	}
	home, err := os.UserHomeDir()
	if err != nil {
		t.Fatal(err)
	}
	if !maps.Equal(c.Worker.Labels, map[string]string{"zone": "eu", "rack": "7"}) || c.API.Token != "x=y" || len(c.API.Listen) != 2 || c.DataDir != filepath.Join(home, "b") {
		t.Errorf("%+v", c)
	}
}

func TestWithGiven(t *testing.T) {
	a := Default("test")
	b := a.WithGiven("api.listen")
	if c := b.WithGiven("name"); a.Given("api.listen") || !b.Given("api.listen") || b.Given("name") || !c.Given("api.listen") {
		t.Error("WithGiven changed its receiver or lost a key")
	}
}
