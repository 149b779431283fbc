package jobspec

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ipfs/go-cid"
)

// scalar refuses lists, mappings and empty texts.
func (d *decoder) scalar(n *node, key string) error {
	if n.kind == kindList || n.kind == kindMapping {
		return d.fail(n, key, "want text, not %v", n.kind)
	}
	if n.text == "" {
		return d.fail(n, key, "is empty; give a value or remove the key")
	}
	return nil
}

func (d *decoder) text(key string, to *string) entry {
	return entry{key, func(n *node) error {
		if err := d.scalar(n, key); err != nil {
			return err
		}
		*to = n.text
		return nil
	}}
}

func (d *decoder) size(key string, to *uint64) entry {
	return entry{key, func(n *node) error { return parsed(d, n, key, to, ParseSize) }}
}

func (d *decoder) duration(key string, to *time.Duration) entry {
	return entry{key, func(n *node) error { return parsed(d, n, key, to, parseDuration) }}
}

// parsed reads a number or a text with a unit.
func parsed[T any](d *decoder, n *node, key string, to *T, parse func(string) (T, error)) error {
	if n.kind != kindText && n.kind != kindNumber {
		return d.fail(n, key, "want a number or text, not %v", n.kind)
	}
	v, err := parse(n.text)
	if err != nil {
		return d.fail(n, key, "%w", err)
	}
	*to = v
	return nil
}

func whole(d *decoder, key string, to *uint32, limit uint64) entry {
	return entry{key, func(n *node) error {
		v, err := strconv.ParseUint(n.text, 10, 32)
		switch {
		case n.kind == kindNumber && (v > limit || errors.Is(err, strconv.ErrRange)):
			return d.fail(n, key, "%s is outside 0..%d", n.text, limit)
		case n.kind != kindNumber || err != nil:
			return d.fail(n, key, "want a whole number, not %s", n.show())
		}
		*to = uint32(v)
		return nil
	}}
}

func (d *decoder) truth(key string, set func(bool)) entry {
	return entry{key, func(n *node) error {
		v, err := strconv.ParseBool(strings.ToLower(n.text))
		if n.kind != kindBool || err != nil {
			return d.fail(n, key, "want true or false, not %s", n.show())
		}
		set(v)
		return nil
	}}
}

func (d *decoder) list(key string, to *[]string) entry {
	return entry{key, func(n *node) error {
		if n.kind != kindList {
			return d.fail(n, key, "want a list, not %s", n.show())
		}
		if len(n.items) > job.MaxArgs {
			return d.fail(n, key, "%d are over %d", len(n.items), job.MaxArgs)
		}
		out := make([]string, 0, len(n.items))
		for i, item := range n.items {
			at := fmt.Sprintf("%s[%d]", key, i)
			if item.kind == kindList || item.kind == kindMapping || item.kind == kindNull {
				return d.fail(item, at, "want text, not %v", item.kind)
			}
			if len(item.text) > job.MaxText {
				return d.fail(item, at, "%d bytes are over %d; move long texts into an input", len(item.text), job.MaxText)
			}
			out = append(out, item.text)
		}
		*to = out
		return nil
	}}
}

// pairs merges a mapping of texts into what is there, sorted by key.
func (d *decoder) pairs(key string, to *[]job.Pair) entry {
	return entry{key, func(n *node) error {
		if n.kind != kindMapping {
			return d.fail(n, key, "want a mapping of names to texts, not %s", n.show())
		}
		out := slices.Clone(*to)
		for _, f := range n.fields {
			at := key + "." + f.key
			switch {
			case f.value.kind > kindBool:
				return d.fail(f.value, at, "want text, not %v", f.value.kind)
			case len(f.key) > job.MaxName || len(f.value.text) > job.MaxText:
				return d.fail(f.value, at, "a name is at most %d bytes, a value %d", job.MaxName, job.MaxText)
			}
			p := job.Pair{Key: f.key, Value: f.value.text}
			i, found := slices.BinarySearchFunc(out, f.key, func(p job.Pair, k string) int { return strings.Compare(p.Key, k) })
			if found {
				out[i] = p
			} else {
				out = slices.Insert(out, i, p)
			}
		}
		if len(out) > job.MaxArgs {
			return d.fail(n, key, "%d are over %d", len(out), job.MaxArgs)
		}
		*to = out
		return nil
	}}
}

// show describes a value for an error.
func (n *node) show() string {
	if n.kind == kindText {
		return fmt.Sprintf("the text %q", n.text[:min(len(n.text), 64)])
	}
	if n.kind == kindNumber || n.kind == kindBool {
		return n.text
	}
	return n.kind.String()
}

// isCID says whether text is a content identifier rather than a path.
func isCID(text string) bool {
	_, err := cid.Decode(text)
	return err == nil
}
