package job

import (
	"fmt"
	"testing"
	"time"
)

// BenchmarkApply runs the four commands of one task's life.
func BenchmarkApply(b *testing.B) {
	l := newLog(b)
	s := plainSpec(MaxTasks)
	var j *Job
	task := int32(MaxTasks)
	for n := 0; b.Loop(); n++ {
		if task == MaxTasks {
			b.StopTimer()
			l = newLog(b)
			s.Name, task = fmt.Sprint(n), 0
			j = l.accept(s)
			b.StartTimer()
		}
		l.state.Apply(l.state.Index+1, 1, &Command{Op: OpAssign, Job: j.ID, Task: task, Attempt: 1, Worker: "w"})
		c := on(j, OpStarted, task)
		l.state.Apply(l.state.Index+1, 1, &c)
		c.Op, c.Result = OpDone, sampleResult()
		l.state.Apply(l.state.Index+1, 1, &c)
		task++
	}
	b.ReportMetric(float64(b.Elapsed())/float64(b.N)/3, "ns/command")
}

func BenchmarkAccept(b *testing.B) {
	l := newLog(b)
	offers := make([][]byte, 1000)
	for i := range offers {
		s := plainSpec(1)
		s.Name = fmt.Sprint(i)
		offers[i] = sampleOffer(s, 1, hour).Encode()
	}
	for n := 0; b.Loop(); n++ {
		if n%len(offers) == 0 {
			l = newLog(b)
		}
		l.state.Apply(l.state.Index+1, 1, &Command{Op: OpAccept, At: 1, Offer: offers[n%len(offers)]})
	}
}

// BenchmarkEncodeState writes a snapshot of 1,000 jobs of four tasks each.
func BenchmarkEncodeState(b *testing.B) {
	l := newLog(b)
	for i := range 1000 {
		s := plainSpec(4)
		s.Name = fmt.Sprint(i)
		j := l.accept(s)
		l.run(j, 0)
		l.done(j, 0)
	}
	for b.Loop() {
		l.state.Encode()
	}
	b.ReportMetric(float64(len(l.state.Encode())), "bytes")
}

func BenchmarkSweep(b *testing.B) {
	l := newLog(b)
	for i := range 1000 {
		s := plainSpec(4)
		s.Name = fmt.Sprint(i)
		l.accept(s)
	}
	c := &Command{Op: OpSweep, At: time.Second.Milliseconds()}
	for b.Loop() {
		l.state.Apply(l.state.Index+1, 1, c)
	}
}
