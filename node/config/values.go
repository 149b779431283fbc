package config

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/jobspec"
	"github.com/multiformats/go-multiaddr"
)

// value is one field as the layers see it. set takes what TOML, a flag or the
// environment gives; check judges what the field holds; toml writes it.
type value interface {
	set(raw any) error
	check() error
	toml() string
}

// loose is a value that came as text from the environment, where a number
// cannot be told from a text.
type loose string

// word returns raw as the text of a scalar.
func word(raw any) (string, error) {
	switch v := raw.(type) {
	case string:
		return v, nil
	case loose:
		return string(v), nil
	}
	return "", fmt.Errorf("want text, not %s", show(raw))
}

// number returns raw as the text of a number; text is one only when loose.
func number(raw any) (string, error) {
	switch v := raw.(type) {
	case loose:
		return string(v), nil
	case int, int64, uint, uint64, uint32, float64:
		return fmt.Sprint(v), nil
	}
	return "", fmt.Errorf("want a number, not %s", show(raw))
}

// measure returns raw as the text of a number that may have a unit.
func measure(raw any) (string, error) {
	if s, ok := raw.(string); ok {
		return s, nil
	}
	if d, ok := raw.(time.Duration); ok {
		return d.String(), nil
	}
	if f, ok := raw.(float64); ok {
		return strconv.FormatFloat(f, 'f', -1, 64), nil
	}
	return number(raw)
}

func show(raw any) string {
	switch v := raw.(type) {
	case string, loose:
		return fmt.Sprintf("the text %q", v)
	case bool:
		return strconv.FormatBool(v)
	case map[string]any:
		return "a section"
	case []any, []string:
		return "a list"
	}
	return fmt.Sprint(raw)
}

type textValue struct {
	to          *string
	least, most int
}

func (v textValue) set(raw any) (err error) { *v.to, err = word(raw); return err }
func (v textValue) toml() string            { return strconv.Quote(*v.to) }
func (v textValue) check() error {
	if n := len(*v.to); n < v.least || n > v.most {
		return fmt.Errorf("%d characters are outside %d..%d", n, v.least, v.most)
	}
	return nil
}

// pathValue is a file path; ~ is the home directory.
type pathValue struct{ to *string }

func (v pathValue) set(raw any) error {
	s, err := word(raw)
	*v.to = expandHome(s)
	return err
}
func (v pathValue) check() error { return nil }
func (v pathValue) toml() string {
	if *v.to == expandHome("~/.ciro") {
		return `"~/.ciro"` // so that an example fits every user
	}
	return strconv.Quote(*v.to)
}

type choiceValue struct {
	to *string
	of []string
}

func (v choiceValue) set(raw any) (err error) { *v.to, err = word(raw); return err }
func (v choiceValue) toml() string            { return strconv.Quote(*v.to) }
func (v choiceValue) check() error {
	if !slices.Contains(v.of, *v.to) {
		return fmt.Errorf("%q is none of %s", *v.to, strings.Join(v.of, ", "))
	}
	return nil
}

type boolValue struct{ to *bool }

func (v boolValue) set(raw any) error {
	switch r := raw.(type) {
	case bool:
		*v.to = r
		return nil
	case loose:
		if b, err := strconv.ParseBool(strings.ToLower(string(r))); err == nil {
			*v.to = b
			return nil
		}
	}
	return fmt.Errorf("want true or false, not %s", show(raw))
}
func (v boolValue) check() error { return nil }
func (v boolValue) toml() string { return strconv.FormatBool(*v.to) }

type intValue struct {
	to          *int
	least, most int
}

func (v intValue) set(raw any) error {
	s, err := number(raw)
	if err != nil {
		return err
	}
	if *v.to, err = strconv.Atoi(s); err != nil {
		return fmt.Errorf("want a whole number, not %s", s)
	}
	return nil
}
func (v intValue) toml() string { return strconv.Itoa(*v.to) }
func (v intValue) check() error {
	if *v.to < v.least || *v.to > v.most {
		return fmt.Errorf("%d is outside %d..%d", *v.to, v.least, v.most)
	}
	return nil
}

type floatValue struct {
	to          *float64
	least, most float64
}

func (v floatValue) set(raw any) error {
	s, err := number(raw)
	if err != nil {
		return err
	}
	if *v.to, err = strconv.ParseFloat(s, 64); err != nil {
		return fmt.Errorf("want a number, not %s", s)
	}
	return nil
}
func (v floatValue) toml() string { return strconv.FormatFloat(*v.to, 'f', -1, 64) }
func (v floatValue) check() error {
	if !(*v.to >= v.least && *v.to <= v.most) { // so that NaN is refused too
		return fmt.Errorf("%v is outside %v..%v", *v.to, v.least, v.most)
	}
	return nil
}

type durationValue struct {
	to          *time.Duration
	least, most time.Duration
}

func (v durationValue) set(raw any) error {
	s, err := measure(raw)
	if err != nil {
		return err
	}
	if *v.to, err = time.ParseDuration(s); err != nil {
		return fmt.Errorf("%q is no duration; write 100ms, 4s or 1h30m", s)
	}
	return nil
}
func (v durationValue) toml() string { return strconv.Quote(v.to.String()) }
func (v durationValue) check() error {
	if *v.to < v.least || *v.to > v.most {
		return fmt.Errorf("%v is outside %v..%v", *v.to, v.least, v.most)
	}
	return nil
}

type sizeValue[T int64 | uint64] struct{ to *T }

func (v sizeValue[T]) set(raw any) error {
	s, err := measure(raw)
	if err != nil {
		return err
	}
	n, err := jobspec.ParseSize(s)
	*v.to = T(n)
	return err
}
func (v sizeValue[T]) toml() string { return strconv.Quote(jobspec.FormatSize(uint64(*v.to))) }
func (v sizeValue[T]) check() error {
	if *v.to < 0 {
		return fmt.Errorf("%d is negative", *v.to)
	}
	return nil
}

type priceValue struct{ to *uint64 }

func (v priceValue) set(raw any) error {
	s, err := measure(raw)
	if err != nil {
		return err
	}
	*v.to, err = jobspec.ParsePrice(s)
	return err
}
func (v priceValue) check() error { return nil }
func (v priceValue) toml() string { return jobspec.FormatPrice(*v.to) }

// listValue is a list of texts; the environment separates them by commas, and
// the single word none is the empty list.
type listValue struct {
	to     *[]string
	of     []string           // allowed; nil: anything that check1 takes
	check1 func(string) error // of one element
	most   int                // elements; 0: any number
}

func (v listValue) set(raw any) error {
	items, err := texts(raw)
	if len(items) == 1 && items[0] == "none" {
		items = []string{}
	}
	*v.to = items
	return err
}
func (v listValue) toml() string { return tomlList(*v.to) }
func (v listValue) check() error {
	if v.most > 0 && len(*v.to) > v.most {
		return fmt.Errorf("%d are over %d", len(*v.to), v.most)
	}
	for i, s := range *v.to {
		if v.of != nil && !slices.Contains(v.of, s) {
			return fmt.Errorf("%q is none of %s", s, strings.Join(v.of, ", "))
		}
		if slices.Contains((*v.to)[:i], s) {
			return fmt.Errorf("%q appears twice", s)
		}
		if v.check1 != nil {
			if err := v.check1(s); err != nil {
				return err
			}
		}
	}
	return nil
}

// texts reads a list of texts.
func texts(raw any) ([]string, error) {
	out := []string{}
	switch v := raw.(type) {
	case []string:
		return append(out, v...), nil
	case []any:
		for _, item := range v {
			s, ok := item.(string)
			if !ok {
				return nil, fmt.Errorf("want a list of texts, not one with %s", show(item))
			}
			out = append(out, s)
		}
		return out, nil
	case string:
		return texts(loose(v))
	case loose:
		for s := range strings.SplitSeq(string(v), ",") {
			if s = strings.TrimSpace(s); s != "" {
				out = append(out, s)
			}
		}
		return out, nil
	}
	return nil, fmt.Errorf("want a list of texts, not %s", show(raw))
}

func tomlList(items []string) string {
	quoted := make([]string, len(items))
	for i, s := range items {
		quoted[i] = strconv.Quote(s)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

func checkMultiaddr(s string) error {
	if _, err := multiaddr.NewMultiaddr(s); err != nil {
		return fmt.Errorf("%q is no multiaddress like /ip4/10.0.0.1/tcp/4001: %w", s, err)
	}
	return nil
}

// maxClients bounds the lists of client keys: every advert carries them.
const maxClients = 64

// checkClientKey checks the text of a client's public key, as `ciro identity
// show` and a job's description give it.
func checkClientKey(s string) error {
	if raw, err := hex.DecodeString(s); err != nil || len(raw) != 32 || strings.ToLower(s) != s {
		return fmt.Errorf("%q is no client key; want 64 lower-case hexadecimal digits, as `ciro identity show` prints them", s)
	}
	return nil
}
