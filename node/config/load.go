package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/knadh/koanf/parsers/toml/v2"
	"github.com/knadh/koanf/providers/file"
	"github.com/knadh/koanf/v2"
)

// Options says where the layers come from.
type Options struct {
	File    string         // TOML; "" is CIRO_CONFIG, or none
	Profile string         // "" is CIRO_PROFILE, or the file's, or development
	Env     []string       // "KEY=VALUE" as in os.Environ; only CIRO_* counts
	Flags   map[string]any // by dotted key, only what was given on the command line
}

// labelsKey is the one setting whose own keys are free.
const labelsKey = "worker.labels"

// apart are variables of the environment that are no settings.
func apart() []string {
	return []string{"CIRO_API", "CIRO_DATA", "CIRO_JOIN_SECRET", "CIRO_CONFIG", "CIRO_PROFILE"}
}

// layer is what one source says: values by dotted key.
type layer struct {
	source string
	values map[string]any
}

// Read and ReadBytes make a layer a provider of koanf's.
func (l layer) Read() (map[string]any, error) { return l.values, nil }

// ReadBytes is not used: a layer has no bytes.
func (l layer) ReadBytes() ([]byte, error) { return nil, errors.New("a layer has no bytes") }

// Load puts the layers together and validates the result. Errors name the
// layer, the setting and what it may be.
func Load(o Options) (Config, error) {
	env, special, err := fromEnv(o.Env)
	if err != nil {
		return Config{}, err
	}
	if o.File == "" {
		o.File = special["CIRO_CONFIG"]
	}
	fromFile, err := readFile(o.File)
	if err != nil {
		return Config{}, err
	}
	profile, err := choose(o.Profile, special["CIRO_PROFILE"], fromFile)
	if err != nil {
		return Config{}, err
	}
	c := Default(profile)
	c.given = make(map[string]bool)
	for _, l := range []layer{fromFile, env, {"flag", o.Flags}} {
		if err := c.apply(l); err != nil {
			return Config{}, err
		}
	}
	if secret := special["CIRO_JOIN_SECRET"]; secret != "" && c.Network.Join != "" && !strings.Contains(c.Network.Join, "#") {
		c.Network.Join += "#" + secret
	}
	if err := c.Validate(); err != nil {
		return Config{}, fmt.Errorf("configuration: %w", err)
	}
	return c, nil
}

// choose picks the profile and takes its key out of the file's layer.
func choose(flag, env string, fromFile layer) (string, error) {
	profile := DefaultProfile
	if raw, ok := fromFile.values["profile"]; ok {
		p, err := word(raw)
		if err != nil {
			return "", fmt.Errorf("%s: profile: %w", fromFile.source, err)
		}
		profile = p
		delete(fromFile.values, "profile")
	}
	if env != "" {
		profile = env
	}
	if flag != "" {
		profile = flag
	}
	if !slices.Contains(Profiles(), profile) {
		return "", fmt.Errorf("profile: %q is none of %s", profile, strings.Join(Profiles(), ", "))
	}
	return profile, nil
}

// apply sets what a layer says, in the order of the table.
func (c *Config) apply(l layer) error {
	k := koanf.New(".")
	if err := k.Load(l, nil); err != nil {
		return fmt.Errorf("%s: %w", l.source, err)
	}
	table := settings(c)
	if err := known(l, k.All(), table); err != nil {
		return err
	}
	for _, s := range table {
		if !k.Exists(s.key) {
			continue
		}
		raw := k.Get(s.key)
		if flat, ok := l.values[s.key]; ok { // a flag's dotted key: its type is kept
			raw = flat
		}
		if s.key == labelsKey {
			raw = labelsOf(raw, k)
		}
		if err := s.value.set(raw); err != nil {
			return fmt.Errorf("%s: %s: %w", l.source, s.key, err)
		}
		c.given[s.key] = true
	}
	return nil
}

// labelsOf undoes the splitting of labels at their dots.
func labelsOf(raw any, k *koanf.Koanf) any {
	if _, nested := raw.(map[string]any); !nested {
		return raw
	}
	return k.Cut(labelsKey).All()
}

// known refuses keys that are in no line of the table.
func known(l layer, flat map[string]any, table []setting) error {
	names := make([]string, 0, len(table)+1)
	for _, s := range table {
		names = append(names, s.key)
	}
	for _, key := range slices.Sorted(maps.Keys(flat)) {
		if slices.Contains(names, key) || strings.HasPrefix(key, labelsKey+".") {
			continue
		}
		section := slices.ContainsFunc(names, func(n string) bool { return strings.HasPrefix(n, key+".") })
		if m, ok := flat[key].(map[string]any); ok && len(m) == 0 && section {
			continue // an empty section
		}
		if section {
			return fmt.Errorf("%s: %s is a section, not a value", l.source, key)
		}
		return fmt.Errorf("%s: unknown key %q%s", l.source, key, hint(key, names))
	}
	return nil
}

// hint names the nearest known name.
func hint(name string, names []string) string {
	if near, ok := jobspec.Nearest(name, names); ok {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return "; `ciro generate-config` prints all that are known"
}

// readFile reads a TOML file; no name gives an empty layer.
func readFile(name string) (layer, error) {
	if name == "" {
		return layer{source: "configuration"}, nil
	}
	if _, err := os.Stat(name); err != nil {
		return layer{}, fmt.Errorf("configuration file: %w; `ciro generate-config development %s` writes one", err, name)
	}
	k := koanf.New(".")
	if err := k.Load(file.Provider(name), toml.Parser()); err != nil {
		return layer{}, fmt.Errorf("configuration file %s: %w", name, err)
	}
	return layer{source: name, values: k.Raw()}, nil
}

// fromEnv returns the settings of the environment, and the variables that are
// no settings.
func fromEnv(env []string) (layer, map[string]string, error) {
	var c Config
	byName := make(map[string]string)
	names := apart()
	for _, s := range settings(&c) {
		name := "CIRO_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))
		byName[name] = s.key
		names = append(names, name)
	}
	l := layer{source: "environment", values: make(map[string]any)}
	special := make(map[string]string)
	for _, entry := range env {
		name, val, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "CIRO_") {
			continue
		}
		if slices.Contains(apart(), name) {
			special[name] = val
			continue
		}
		key, ok := byName[name]
		if !ok {
			return layer{}, nil, fmt.Errorf("environment: unknown variable %s%s", name, hint(name, names))
		}
		l.values[key] = loose(val)
	}
	if dir := special["CIRO_DATA"]; dir != "" && l.values["data_dir"] == nil {
		l.values["data_dir"] = loose(dir)
	}
	return l, special, nil
}

// Example returns a TOML file that sets a profile and shows every setting of it
// as a comment, with its meaning. Loaded as it is, or with all settings
// uncommented, it gives the same values as Default(profile).
func Example(profile string) string {
	c := Default(profile)
	var b strings.Builder
	fmt.Fprintf(&b, "# Configuration of a ciro node. What is commented out is the default of the profile.\n")
	fmt.Fprintf(&b, "# Order: defaults < profile < this file < CIRO_* environment < flags.\n")
	fmt.Fprintf(&b, "\n# %s\nprofile = %q\n", strings.Join(Profiles(), ", "), profile)
	section := ""
	for _, s := range settings(&c) {
		name := s.key
		if i := strings.LastIndexByte(s.key, '.'); i >= 0 {
			if s.key[:i] != section {
				section = s.key[:i]
				fmt.Fprintf(&b, "\n[%s]\n", section)
			}
			name = s.key[i+1:]
		}
		fmt.Fprintf(&b, "\n# %s\n#%s = %s\n", s.doc, name, s.value.toml())
	}
	return b.String()
}
