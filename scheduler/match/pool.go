package match

import "github.com/ciro-network/ciro/scheduler/job"

// classes is the number of classes of free processor time and of free memory:
// each doubles the one before.
const classes = 16

const (
	leastCPU    = 125      // thousandths of a core: below is class 0
	leastMemory = 64 << 20 // bytes
)

// class is monotone: what has room for a need is never of a lower class.
func class(v, least uint64) uint8 {
	v /= least
	c := uint8(0)
	for v > 0 && c < classes-1 {
		v >>= 1
		c++
	}
	return c
}

// seat is where the pool keeps a worker, and what it last saw of it.
type seat struct {
	in, open bool
	cpu, mem uint8
	at       int32 // place in its bucket, if open
	all      int32 // place in all
	improved bool
	free     job.Resources
	slots    uint32
	total    job.Resources
	places   uint32
}

// Pool is a set of workers, indexed by what is free, so that a choice looks only
// at workers that may have room and sees without looking that none has. The
// owner says Add, Update and Remove when something about a worker changes; each
// costs the same whatever the number of workers. Its answers depend on nothing
// but the history of calls and the random source.
type Pool struct {
	all      []*Worker
	buckets  [classes][classes][]*Worker // open ones, by free processor time and memory
	total    job.Resources
	places   int
	improved []*Worker // have more room than when the shapes were last told
}

// Len returns the number of workers.
func (p *Pool) Len() int { return len(p.all) }

// Total returns what the workers have in all, and their places; a worker whose
// places only its resources bound counts none.
func (p *Pool) Total() (job.Resources, int) { return p.total, p.places }

// Add takes a worker in, or notes that it, its capability or what is reserved on
// it is another.
func (p *Pool) Add(w *Worker) {
	s := &w.seat
	if s.in {
		p.account(s, false)
	} else {
		s.in, s.all = true, int32(len(p.all))
		p.all = append(p.all, w)
	}
	s.total, s.places = w.Cap.Total, w.Cap.Slots
	p.account(s, true)
	p.sit(w)
	p.improve(w)
}

func (p *Pool) account(s *seat, in bool) {
	if in {
		p.total, p.places = p.total.Add(s.total), p.places+int(s.places)
		return
	}
	p.total, p.places = p.total.Sub(s.total), p.places-int(s.places)
}

// Remove forgets a worker.
func (p *Pool) Remove(w *Worker) {
	s := &w.seat
	if !s.in {
		return
	}
	p.account(s, false)
	p.close(w)
	last := p.all[len(p.all)-1]
	p.all[s.all], last.seat.all = last, s.all
	p.all[len(p.all)-1] = nil
	p.all = p.all[:len(p.all)-1]
	s.in = false
	if last != w {
		p.improve(last) // a scan under way may have passed the place it has now
	}
}

// Update notes that what is free on a worker, or whether it takes anything new,
// has changed.
func (p *Pool) Update(w *Worker) {
	s := &w.seat
	if !s.in {
		return
	}
	better := w.FreeSlots > s.slots || !s.open && !w.Draining || !s.free.Fits(w.Free)
	p.sit(w)
	if better && s.open {
		p.improve(w)
	}
}

// sit puts a worker into the bucket of what is free on it.
func (p *Pool) sit(w *Worker) {
	s := &w.seat
	s.free, s.slots = w.Free, w.FreeSlots
	open := w.FreeSlots > 0 && !w.Draining
	cpu, mem := class(uint64(w.Free.CPU), leastCPU), class(w.Free.Memory, leastMemory)
	if s.open && open && s.cpu == cpu && s.mem == mem {
		return
	}
	p.close(w)
	if open {
		b := &p.buckets[cpu][mem]
		s.open, s.cpu, s.mem, s.at = true, cpu, mem, int32(len(*b))
		*b = append(*b, w)
	}
}

func (p *Pool) close(w *Worker) {
	s := &w.seat
	if !s.open {
		return
	}
	b := &p.buckets[s.cpu][s.mem]
	last := (*b)[len(*b)-1]
	(*b)[s.at], last.seat.at = last, s.at
	(*b)[len(*b)-1] = nil
	*b = (*b)[:len(*b)-1]
	s.open = false
}

func (p *Pool) improve(w *Worker) {
	if !w.seat.improved {
		w.seat.improved = true
		p.improved = append(p.improved, w)
	}
}

func (p *Pool) forgetImproved() {
	for i, w := range p.improved {
		w.seat.improved = false
		p.improved[i] = nil
	}
	p.improved = p.improved[:0]
}

// roomy returns the buckets whose workers may have room for need, and how many
// workers there are in them.
func (p *Pool) roomy(need job.Resources) (buckets [][]*Worker, n int) {
	mem := class(need.Memory, leastMemory)
	for c := class(uint64(need.CPU), leastCPU); c < classes; c++ {
		for _, b := range p.buckets[c][mem:] {
			if len(b) > 0 {
				buckets = append(buckets, b)
				n += len(b)
			}
		}
	}
	return buckets, n
}
