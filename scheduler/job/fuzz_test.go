package job

import (
	"bytes"
	"testing"
)

// Every decoder must survive any bytes, and what it accepts must be the one form
// of its value: encoding it again gives the same bytes.

func FuzzDecodeSpec(f *testing.F) {
	f.Add(sampleSpec().Encode())
	f.Add(plainSpec(1).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if s, err := DecodeSpec(b); err == nil && !bytes.Equal(s.Encode(), b) {
			t.Errorf("%x is accepted but encodes as %x", b, s.Encode())
		}
	})
}

func FuzzDecodeOffer(f *testing.F) {
	f.Add(sampleOffer(sampleSpec(), 1, hour).Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if o, err := DecodeOffer(b); err == nil && !bytes.Equal(o.Encode(), b) {
			t.Errorf("%x is accepted but encodes as %x", b, o.Encode())
		}
	})
}

func FuzzDecodeCommand(f *testing.F) {
	for _, b := range samples() {
		f.Add(b)
	}
	for _, b := range cutSamples() {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := DecodeCommand(b)
		if err != nil {
			return
		}
		if !bytes.Equal(c.Encode(), b) {
			t.Errorf("%x is accepted but encodes as %x", b, c.Encode())
		}
		NewState(Member{ID: 1}).Apply(1, 1, c) // must not panic
	})
}

func FuzzDecodeState(f *testing.F) {
	l := newLog(f)
	f.Add(l.state.Encode())
	j := l.accept(sampleSpec())
	l.run(j, 0)
	l.done(j, 0)
	l.run(j, 1)
	l.fail(j, 1, CauseLapse)
	f.Add(l.state.Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := DecodeState(b)
		if err != nil {
			return
		}
		if !bytes.Equal(s.Encode(), b) {
			t.Errorf("%x is accepted but encodes as %x", b, s.Encode())
		}
		for _, j := range s.Jobs {
			s.Apply(s.Index+1, 1, &Command{Op: OpAssign, Job: j.ID, Task: 0, Attempt: j.Tasks[0].Attempt + 1, Worker: "w"})
		}
	})
}
