package job

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/ciro-network/ciro/scheduler/codec"
)

// Encoder writes the state of one moment in pieces, while commands go on being
// applied: a job that is about to change and has not been written yet is encoded
// first. The pieces together are what Encode gave at that moment.
type Encoder struct {
	s      *State
	head   []byte // nil once written
	jobs   []*Job // in order
	next   int    // of jobs
	kept   map[*Job][]byte
	events []Event
	chain  Anchoring
	tail   *tail // nil until it is needed or a sweep is about to change it
}

// StartEncoding begins to write the state as it is now. An Encoder that has not
// come to its end is given up.
func (s *State) StartEncoding() *Encoder {
	e := &Encoder{s: s, jobs: s.SortedJobs(), kept: map[*Job][]byte{}, events: s.Events, chain: s.Anchoring}
	var head codec.Writer
	s.putHead(&head, len(e.jobs))
	e.head = head.Data()
	s.encoding = e
	return e
}

// keep encodes a job that is about to change, if it is not written yet.
func (e *Encoder) keep(j *Job) {
	if e == nil || j == nil {
		return
	}
	at, ok := slices.BinarySearchFunc(e.jobs, j.Index, func(j *Job, index uint64) int { return cmp.Compare(j.Index, index) })
	if !ok || at < e.next || e.kept[j] != nil {
		return
	}
	var w codec.Writer
	putJob(&w, j)
	e.kept[j] = w.Data()
}

// keepTail copies the tombstones, which a sweep is about to change.
func (e *Encoder) keepTail() {
	if e != nil && e.tail == nil {
		e.tail = e.s.tail(e.events, e.chain)
	}
}

// Next appends about limit bytes to buf and says whether there is more: one
// job is not divided.
func (e *Encoder) Next(buf []byte, limit int) ([]byte, bool) {
	var w codec.Writer
	w.Fixed(e.head)
	e.head = nil
	for ; e.next < len(e.jobs) && len(w.Data()) < limit; e.next++ {
		j := e.jobs[e.next]
		if b := e.kept[j]; b != nil {
			w.Fixed(b)
			delete(e.kept, j)
			continue
		}
		putJob(&w, j)
	}
	more := e.next < len(e.jobs) || len(w.Data()) >= limit
	if !more {
		e.keepTail()
		more = e.tail.put(&w, limit)
	}
	if !more {
		e.Stop()
	}
	return append(buf, w.Data()...), more
}

// Stop gives up what has not been written.
func (e *Encoder) Stop() {
	if e.s.encoding == e {
		e.s.encoding = nil
	}
	e.head, e.jobs, e.kept, e.events, e.chain, e.tail = nil, nil, nil, nil, Anchoring{}, nil
}

// Decoder reads an encoded state in pieces.
type Decoder struct {
	r    *codec.Reader
	s    *State // nil before the head
	jobs int    // that are still to come
	prev *Job   // the last one, nil before the first

	graves, events, leaves int // that are still to come; -1: not known yet
	grave                  ID  // the last one
}

// NewDecoder reads from b, which must not change meanwhile.
func NewDecoder(b []byte) *Decoder {
	return &Decoder{r: codec.NewReader(b), graves: -1, events: -1, leaves: -1}
}

// Next reads about limit bytes; one job is not divided. It returns the state
// once it is whole, nil before.
func (d *Decoder) Next(limit int) (*State, error) {
	if d.s == nil {
		if v := d.r.Uint(); v != stateVersion && d.r.Err() == nil {
			return nil, fmt.Errorf("state version %d is not known here; this node speaks %d, update it", v, stateVersion)
		}
		d.s = NewState(Member{})
		d.s.Members = map[uint64]Member{}
		d.jobs = d.s.getHead(d.r)
	}
	for until := d.r.Left() - limit; d.jobs > 0 && d.r.Left() > until && d.r.Err() == nil; d.jobs-- {
		if err := d.job(); err != nil {
			return nil, fmt.Errorf("state: %w", err)
		}
	}
	if d.jobs > 0 && d.r.Err() == nil {
		return nil, nil
	}
	if !d.tail(limit) {
		return nil, nil
	}
	if err := d.r.Close(); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return d.s, nil
}

// tail reads about limit bytes of what stands behind the jobs and says whether
// that was all.
func (d *Decoder) tail(limit int) bool {
	if d.graves < 0 {
		d.graves = d.r.Count(1 << 24)
	}
	until := d.r.Left() - limit
	for ; d.graves > 0 && d.r.Err() == nil; d.graves-- {
		if d.r.Left() <= until {
			return false
		}
		var id ID
		copy(id[:], d.r.Fixed(32))
		if slices.Compare(id[:], d.grave[:]) <= 0 && len(d.s.Tombstones) > 0 {
			d.r.Fail(fmt.Errorf("%w: tombstones do not ascend", codec.ErrForm))
		}
		d.s.Tombstones[id], d.grave = d.r.Int(), id
	}
	if d.events < 0 {
		d.events = d.r.Count(MaxEvents)
	}
	for ; d.events > 0 && d.r.Err() == nil; d.events-- {
		if d.r.Left() <= until {
			return false
		}
		d.s.Events = append(d.s.Events, getEvent(d.r))
	}
	c := &d.s.Anchoring
	if d.leaves < 0 {
		*c, d.leaves = getAnchoring(d.r)
	}
	for ; d.leaves > 0 && d.r.Err() == nil; d.leaves-- {
		if d.r.Left() <= until {
			return false
		}
		c.Leaves = append(c.Leaves, getLeaf(d.r))
	}
	checkAnchoring(d.r, c)
	return true
}

func (d *Decoder) job() error {
	j, err := getJob(d.r)
	if err != nil {
		return err
	}
	if _, twice := d.s.Jobs[j.ID]; twice || d.prev != nil && j.Index <= d.prev.Index {
		d.r.Fail(fmt.Errorf("%w: jobs do not ascend", codec.ErrForm))
	}
	d.s.Jobs[j.ID], d.prev = j, j
	d.s.order = append(d.s.order, j)
	d.s.Bytes += j.size()
	return d.r.Err()
}
