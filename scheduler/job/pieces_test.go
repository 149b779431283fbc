package job

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestPieces writes a state in pieces of random sizes while random commands are
// applied in between: the pieces are what the state was at the beginning, and
// read in pieces they give it back.
func TestPieces(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := newLog(t)
		var jobs []*Job
		for i := range rapid.IntRange(0, 6).Draw(t, "jobs") {
			s := plainSpec(uint32(rapid.IntRange(1, 5).Draw(t, "tasks")))
			s.Name = fmt.Sprint(i)
			s.Policy.Deadline = time.Duration(rapid.IntRange(0, 1).Draw(t, "deadline")) * time.Minute
			jobs = append(jobs, l.accept(s))
		}
		want := l.state.Encode()
		e := l.state.StartEncoding()
		var got []byte
		for more := true; more; {
			got, more = e.Next(got, rapid.IntRange(1, 700).Draw(t, "limit"))
			for range rapid.IntRange(0, 3).Draw(t, "commands") {
				disturb(t, l, jobs)
			}
		}
		if !bytes.Equal(got, want) {
			t.Fatalf("the pieces are not the state at the beginning: %d bytes, want %d", len(got), len(want))
		}
		if l.state.encoding != nil {
			t.Fatal("the encoder is still attached at its end")
		}
		d := NewDecoder(got)
		for {
			s, err := d.Next(rapid.IntRange(1, 700).Draw(t, "read"))
			if err != nil {
				t.Fatal(err)
			}
			if s != nil {
				if !bytes.Equal(s.Encode(), want) {
					t.Fatal("what was read in pieces is another state")
				}
				return
			}
		}
	})
}

// disturb applies some command that changes some job, or all of them.
func disturb(t *rapid.T, l *log, jobs []*Job) {
	if len(jobs) == 0 || rapid.IntRange(0, 9).Draw(t, "which") == 0 {
		l.put(Command{Op: OpSweep, At: l.state.Time + int64(rapid.IntRange(0, 40).Draw(t, "hours"))*hour})
		return
	}
	j := rapid.SampledFrom(jobs).Draw(t, "job")
	task := int32(rapid.IntRange(0, int(j.Spec.Tasks)-1).Draw(t, "task"))
	switch rapid.IntRange(0, 4).Draw(t, "op") {
	case 0:
		l.put(Command{Op: OpCancel, Job: j.ID, Detail: "enough"})
	case 1:
		s := plainSpec(2)
		s.Name = fmt.Sprint("late", l.state.Index)
		l.put(Command{Op: OpAccept, Offer: sampleOffer(s, 1, 24*hour).Encode()})
	case 2:
		c := on(j, OpDone, task)
		c.Result = sampleResult()
		l.put(c)
	default:
		l.put(Command{Op: OpAssign, Job: j.ID, Task: task, Attempt: j.Tasks[task].Attempt + 1, Worker: "w"})
	}
}

// BenchmarkFullState writes and reads a state of the largest size in pieces and
// reports how long the steps of each take that one in a hundred exceeds.
func BenchmarkFullState(b *testing.B) {
	l := newLog(b)
	for i := 0; ; i++ {
		s := plainSpec(4)
		s.Name = fmt.Sprint(i)
		if l.put(Command{Op: OpAccept, At: 1000, Offer: sampleOffer(s, 1, 24*hour).Encode()}) == ReasonBusy {
			break
		}
		for task := range int32(4) {
			l.run(l.last.Job, task)
			l.done(l.last.Job, task)
		}
	}
	for i := range MaxTombstones {
		l.state.Tombstones[ID{byte(i), byte(i >> 8), byte(i >> 16)}] = int64(i)
	}
	const piece = 128 << 10
	var begin, write, read []time.Duration
	size := 0
	for b.Loop() {
		t0 := time.Now()
		e := l.state.StartEncoding()
		begin = append(begin, time.Since(t0))
		all := make([]byte, 0, 2*MaxStateBytes)
		for more := true; more; {
			t0 = time.Now()
			all, more = e.Next(all, piece)
			write = append(write, time.Since(t0))
		}
		size = len(all)
		d := NewDecoder(all)
		for {
			t0 = time.Now()
			s, err := d.Next(piece)
			if err != nil {
				b.Fatal(err)
			}
			read = append(read, time.Since(t0))
			if s != nil {
				break
			}
		}
	}
	b.ReportMetric(float64(len(l.state.Jobs)), "jobs")
	b.ReportMetric(float64(size), "bytes")
	b.ReportMetric(p99(begin), "ms-begin")
	b.ReportMetric(p99(write), "ms-write")
	b.ReportMetric(p99(read), "ms-read")
}

func p99(ds []time.Duration) float64 {
	slices.Sort(ds)
	return ds[len(ds)*99/100].Seconds() * 1000
}
