package config

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/ciro-network/ciro/node/jobspec"
)

// joinValue is a multiaddress with an optional #SECRET.
type joinValue struct{ to *string }

func (v joinValue) set(raw any) (err error) { *v.to, err = word(raw); return err }
func (v joinValue) toml() string            { return strconv.Quote(*v.to) }
func (v joinValue) check() error {
	if *v.to == "" {
		return nil
	}
	addr, _, _ := strings.Cut(*v.to, "#")
	if err := checkMultiaddr(addr); err != nil {
		return err
	}
	if !strings.Contains(addr, "/p2p/") {
		return fmt.Errorf("%q has no /p2p/PEER at its end; take the whole address that the other node prints", addr)
	}
	return nil
}

// typesValue is a list of job types, kept in canonical form.
type typesValue struct{ to *[]string }

func (v typesValue) set(raw any) error {
	items, err := texts(raw)
	for i, s := range items {
		if t, ok := jobspec.Canonical(s); ok {
			items[i] = t
		}
	}
	*v.to = items
	return err
}
func (v typesValue) toml() string { return tomlList(*v.to) }
func (v typesValue) check() error { return listValue{to: v.to, of: jobspec.Types()}.check() }

// labelsValue is a mapping of texts; elsewhere than in a file it is written
// zone=eu,rack=7.
type labelsValue struct{ to *map[string]string }

func (v labelsValue) set(raw any) error {
	out := make(map[string]string)
	switch m := raw.(type) {
	case map[string]string:
		maps.Copy(out, m)
	case map[string]any:
		for k, item := range m {
			s, err := word(item)
			if err != nil {
				return fmt.Errorf("%s: %w", k, err)
			}
			out[k] = s
		}
	default:
		items, err := texts(raw)
		if err != nil {
			return fmt.Errorf("want zone=eu,rack=7, not %s", show(raw))
		}
		for _, item := range items {
			k, s, ok := strings.Cut(item, "=")
			if !ok {
				return fmt.Errorf("%q is no label; write name=value", item)
			}
			out[k] = s
		}
	}
	*v.to = out
	return nil
}
func (v labelsValue) check() error {
	for k, s := range *v.to {
		if k == "" || len(k) > 128 || len(s) > 1024 {
			return fmt.Errorf("%q: a name has 1 to 128 characters, a value at most 1024", k)
		}
	}
	if n := len(*v.to); n > 64 {
		return fmt.Errorf("%d are over 64", n)
	}
	return nil
}
func (v labelsValue) toml() string {
	var pairs []string
	for _, k := range slices.Sorted(maps.Keys(*v.to)) {
		pairs = append(pairs, strconv.Quote(k)+" = "+strconv.Quote((*v.to)[k]))
	}
	return "{" + strings.Join(pairs, ", ") + "}"
}
