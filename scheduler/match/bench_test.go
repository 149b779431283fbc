package match

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/ciro-network/ciro/scheduler/job"
)

// mesh is a pool and a queue of given sizes: 16 clients, 8 shapes, all
// priorities, 10 tasks a job.
type mesh struct {
	s *shard
	q *Queue
	p *Pool
	o Options
}

func newMesh(b *testing.B, workers, queued int) *mesh {
	m := &mesh{s: newShard(), q: NewQueue(), p: &Pool{}}
	m.o = Options{Weights: DefaultWeights(), Rand: rand.New(rand.NewPCG(1, 2))}
	for i := range workers {
		w := sample(fmt.Sprintf("12D3KooW%044d", i))
		w.Cap.Total.CPU, w.Free.CPU = 16_000, uint32(4000+i%12_000)
		m.p.Add(&w)
	}
	for i := range max(1, queued/10) {
		m.q.Add(m.s.accept(b, plan{
			client: byte(i % 16), tasks: uint32(min(10, queued)), priority: uint8(i%10 + 1), cpu: uint32(1000 + 100*(i%8)), at: int64(i),
		}))
	}
	m.q.Advance(epoch + int64(queued))
	m.q.Measure(m.p.Total())
	return m
}

// decide is one decision of a leader: what comes next, and where.
func (m *mesh) decide() (k Task, j *job.Job, s *Shape, w *Worker, ok bool) {
	m.q.Freshen(m.p)
	m.q.Resume()
	if k, j, s, ok = m.q.Head(); !ok {
		return k, j, s, nil, false
	}
	w, v := m.p.Choose(s, &Ask{Task: k, Spec: j.Spec, Need: s.Need}, &m.o)
	if v == Found {
		m.q.Take(k)
		m.q.Charge(m.q.Client(string(j.ClientKey)), s.Need)
		w.Free, w.FreeSlots = w.Free.Sub(s.Need), w.FreeSlots-1
		m.p.Update(w)
	}
	m.q.Settled(s, v)
	return k, j, s, w, true
}

func (m *mesh) undo(k Task, j *job.Job, s *Shape, w *Worker) {
	m.q.Discharge(m.q.Client(string(j.ClientKey)), s.Need)
	m.q.Return(k, 0)
	w.Free, w.FreeSlots = w.Free.Add(s.Need), w.FreeSlots+1
	m.p.Update(w)
}

// BenchmarkDecision places one task and takes it back: in a mesh with room
// everywhere; in a full one in which one place has just become free; and, where
// no worker has the label that is asked for, finds that out.
func BenchmarkDecision(b *testing.B) {
	for _, workers := range []int{10, 1000, 10_000} {
		for _, queued := range []int{10, 10_000, 100_000} {
			size := fmt.Sprintf("/workers=%d/queued=%d", workers, queued)
			m := newMesh(b, workers, queued)
			b.Run("free"+size, func(b *testing.B) {
				for b.Loop() {
					k, j, s, w, ok := m.decide()
					if !ok || w == nil {
						b.Fatal("nothing is placed in a mesh that has room")
					}
					m.undo(k, j, s, w)
				}
			})
			for _, w := range m.p.all {
				w.FreeSlots = 0
				m.p.Update(w)
			}
			for ok := true; ok; _, _, _, _, ok = m.decide() {
			}
			b.Run("full"+size, func(b *testing.B) {
				r := rand.New(rand.NewPCG(3, 4))
				for b.Loop() {
					w := m.p.all[r.IntN(workers)]
					w.FreeSlots = 1
					m.p.Update(w)
					k, j, s, at, ok := m.decide()
					if !ok || at != w {
						b.Fatal("the free place is not taken")
					}
					m.undo(k, j, s, at)
					w.FreeSlots = 0
					m.p.Update(w)
				}
			})
			b.Run("rare"+size, func(b *testing.B) { rare(b, m) })
		}
	}
}

// rare asks for a label that no worker carries; the search may take several
// decisions, each of which is counted.
func rare(b *testing.B, m *mesh) {
	for _, w := range m.p.all {
		w.FreeSlots = 4
		m.p.Update(w)
	}
	m.q.Freshen(m.p)
	s := spec()
	s.Labels = []job.Pair{{Key: "b", Value: "4"}}
	sh := newShape("", s, one)
	for b.Loop() {
		if _, v := m.p.Choose(sh, &Ask{Spec: s, Need: one}, &m.o); v == Nowhere {
			sh.search = search{}
		}
	}
}
