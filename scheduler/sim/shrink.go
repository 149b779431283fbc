package sim

import (
	"errors"
	"slices"
	"time"
)

// Shrink looks for the least configuration that still breaks the rule of a
// violation: it leaves out faults, jobs, nodes and shards, and ends the faults
// earlier, as long as the rule is broken, in at most so many runs. It returns
// the configuration, whose script is complete, with its own violation and the
// hash of its trace. Something left out shifts what is drawn for the rest, so a
// rare violation may shrink little.
func Shrink(c Config, v *Violation, runs int) (Config, *Violation, uint64) {
	c = c.withDefaults()
	if c.Script == nil {
		c.Script = Plan(c)
	}
	s := shrinking{best: c, rule: v.Rule, left: runs}
	if !s.try(c) {
		return c, v, 0 // it does not fail alone: the caller's violation is of another build or configuration
	}
	early := c
	early.Duration = (s.v.At + 10*time.Millisecond).Truncate(time.Millisecond)
	early.Script = slices.DeleteFunc(slices.Clone(c.Script), func(f Fault) bool { return f.At > s.v.At })
	if early.Duration < c.Duration {
		s.try(early)
	}
	s.faults()
	s.jobs()
	s.nodes()
	for s.best.Shards > 1 && s.with(func(c *Config) { c.Shards-- }) {
	}
	s.faults()
	s.with(func(c *Config) { c.Faults.Loss, c.Faults.Duplicate = 0, 0 })
	return s.best, s.v, s.hash
}

// shrinking is one search for a smaller configuration.
type shrinking struct {
	best Config
	rule string
	left int
	v    *Violation
	hash uint64
}

// try keeps a configuration if it breaks the same rule.
func (s *shrinking) try(c Config) bool {
	if s.left == 0 || c.Validate() != nil {
		return false
	}
	s.left--
	r, err := Run(c)
	var v *Violation
	if !errors.As(err, &v) || v.Rule != s.rule {
		return false
	}
	s.best, s.v, s.hash = c, v, r.TraceHash
	return true
}

func (s *shrinking) with(change func(*Config)) bool {
	c := s.best
	change(&c)
	return s.try(c)
}

func (s *shrinking) faults() {
	reduce(s.best.Script, func(part []Fault) bool { return s.with(func(c *Config) { c.Script = part }) })
}

func (s *shrinking) jobs() {
	all := s.best.Only
	if all == nil {
		for i := range s.best.Jobs {
			all = append(all, i)
		}
	}
	reduce(all, func(part []int) bool { return s.with(func(c *Config) { c.Only = part }) })
}

// nodes leaves out the last node and the faults that concern it.
func (s *shrinking) nodes() {
	for s.best.Nodes > 1 && s.with(func(c *Config) {
		c.Nodes--
		c.Script = slices.DeleteFunc(slices.Clone(c.Script), func(f Fault) bool { return slices.Contains(f.Nodes, c.Nodes) })
	}) {
	}
}

// reduce leaves out ever smaller parts of a list as long as that works.
func reduce[T any](list []T, works func([]T) bool) {
	for size := len(list); size > 0; size /= 2 {
		for at := 0; at < len(list); {
			part := slices.Delete(slices.Clone(list), at, min(at+size, len(list)))
			if works(part) {
				list = part
			} else {
				at += size
			}
		}
	}
}
