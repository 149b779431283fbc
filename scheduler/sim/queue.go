package sim

import "time"

// occurrence is something that will happen.
type occurrence struct {
	at   time.Duration
	seq  uint64
	node *node  // it happens to; nil: to nobody
	from *node  // it comes from, and only if the network lets it through then; nil: from nowhere
	boot uint64 // only in this life of the node; 0: in any
	run  func()
}

func (o *occurrence) before(p *occurrence) bool {
	return o.at < p.at || o.at == p.at && o.seq < p.seq
}

// queue is a heap of what will happen, the next first. It has four children
// where the standard library's has two, and no interface around its elements: it
// is passed by everything that happens in a simulation.
type queue []occurrence

const arity = 4

func (q *queue) push(o occurrence) {
	s := append(*q, occurrence{})
	i := len(s) - 1
	for i > 0 {
		up := (i - 1) / arity
		if !o.before(&s[up]) {
			break
		}
		s[i] = s[up]
		i = up
	}
	s[i] = o
	*q = s
}

func (q *queue) pop() occurrence {
	s := *q
	top, last := s[0], s[len(s)-1]
	s[len(s)-1] = occurrence{}
	s = s[:len(s)-1]
	*q = s
	if len(s) == 0 {
		return top
	}
	i := 0
	for {
		first := arity*i + 1
		if first >= len(s) {
			break
		}
		least := first
		for c := first + 1; c < min(first+arity, len(s)); c++ {
			if s[c].before(&s[least]) {
				least = c
			}
		}
		if !s[least].before(&last) {
			break
		}
		s[i] = s[least]
		i = least
	}
	s[i] = last
	return top
}
