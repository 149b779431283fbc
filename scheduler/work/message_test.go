package work

import (
	"bytes"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/ciro-network/ciro/scheduler/job"
)

// samples holds one message of each type with every field set.
func samples() []Message {
	k := Key{Job: job.ID{1, 2, 3}, Task: job.GatherIndex, Attempt: 4, Fence: 1 << 40}
	free := job.Resources{CPU: 1, GPUs: 2, Memory: 3, Disk: 4, GPUMem: 5}
	outputs := []TaskOutput{{Task: 9999, Attempt: 1, Fence: 2, CID: "bafy", Holders: []string{"p", "q"}}, {}}
	c := Capability{
		Total: free, Executors: []string{"process", "wasm"}, Types: []string{"nlp"}, Labels: []job.Pair{{Key: "a", Value: "b"}},
		Price: 6, Slots: 7, Version: "v1",
	}
	result := &job.Result{
		Exit: 1, Output: "o", Size: 2, Stdout: "s", Stderr: "e", Inline: []byte("i"), Holders: []string{"h"},
		WallTime: time.Second, CPUTime: time.Minute,
	}
	return []Message{
		Attach{Boot: 1 << 63, Capability: c, Free: free, FreeSlots: 3, Draining: true, Held: []Key{k, {}}},
		Heartbeat{Boot: 2, Free: free, FreeSlots: 3, Draining: true, Held: []Key{k}},
		Book{Key: k, Need: free}, Booked{Key: k, Free: free, FreeSlots: 1}, Refused{Key: k, Free: free, FreeSlots: 1, Why: "no"},
		Assign{Key: k, Term: 5, Offer: []byte("offer"), Accepted: -6, Holders: []string{"h"}, Inputs: outputs},
		Started{Key: k}, Progress{Key: k, Permille: 1000, Text: "all"},
		Report{Key: k, Result: result, Cause: job.CauseOutputs, Detail: "d", Missing: outputs}, Report{Key: k, Cause: job.CauseExit},
		Ack{Key: k, Accepted: true}, Stop{Key: k, Why: "w"}, Release{Key: k},
	}
}

func TestEveryMessageComesBack(t *testing.T) {
	kinds := map[string]bool{}
	for _, m := range samples() {
		kinds[fmt.Sprintf("%T", m)] = true
		b := Encode(m)
		back, err := Decode(b)
		if err != nil || !reflect.DeepEqual(m, back) {
			t.Errorf("%+v came back as %+v: %v", m, back, err)
		}
		for n := range b {
			if _, err := Decode(b[:n]); err == nil {
				t.Errorf("%T is accepted when cut at %d of %d", m, n, len(b))
			}
		}
		if _, err := Decode(append(b, 0)); err == nil {
			t.Errorf("%T is accepted with a byte more", m)
		}
	}
	if len(kinds) != tagRelease {
		t.Errorf("%d of %d types are tried", len(kinds), tagRelease)
	}
}

// TestTagsArePermanent pins the numbers on the wire.
func TestTagsArePermanent(t *testing.T) {
	want := map[string]byte{
		"Attach": 1, "Heartbeat": 2, "Book": 3, "Booked": 4, "Refused": 5, "Assign": 6,
		"Started": 7, "Progress": 8, "Report": 9, "Ack": 10, "Stop": 11, "Release": 12,
	}
	for _, m := range samples() {
		name := strings.TrimPrefix(fmt.Sprintf("%T", m), "work.")
		if b := Encode(m); b[0] != 1 || b[1] != want[name] {
			t.Errorf("%s begins with % x", name, b[:2])
		}
	}
}

func TestRoundTrips(t *testing.T) {
	key := rapid.Custom(func(t *rapid.T) (k Key) {
		copy(k.Job[:], rapid.SliceOfN(rapid.Byte(), 32, 32).Draw(t, "job"))
		k.Task, k.Attempt, k.Fence = rapid.Int32Range(-1, job.MaxTasks).Draw(t, "task"), rapid.Uint32().Draw(t, "attempt"), rapid.Uint64().Draw(t, "fence")
		return k
	})
	text := rapid.StringN(0, 20, 100)
	rapid.Check(t, func(t *rapid.T) {
		k, free, slots := key.Draw(t, "key"), job.Resources{CPU: rapid.Uint32().Draw(t, "cpu"), Disk: rapid.Uint64().Draw(t, "disk")}, rapid.Uint32().Draw(t, "slots")
		var held []Key
		if n := rapid.IntRange(0, 20).Draw(t, "n"); n > 0 {
			held = rapid.SliceOfN(key, n, n).Draw(t, "held")
		}
		var outs []TaskOutput
		for _, h := range held {
			outs = append(outs, TaskOutput{Task: h.Task, Attempt: h.Attempt, Fence: h.Fence, CID: text.Draw(t, "cid")})
		}
		for _, m := range []Message{
			Heartbeat{Boot: rapid.Uint64().Draw(t, "boot"), Free: free, FreeSlots: slots, Held: held, Draining: rapid.Bool().Draw(t, "draining")},
			Refused{Key: k, Free: free, FreeSlots: slots, Why: text.Draw(t, "why")},
			Assign{Key: k, Term: rapid.Uint64().Draw(t, "term"), Accepted: rapid.Int64().Draw(t, "accepted"), Inputs: outs},
			Report{Key: k, Cause: job.Cause(rapid.IntRange(0, 14).Draw(t, "cause")), Detail: text.Draw(t, "detail"), Missing: outs},
		} {
			back, err := Decode(Encode(m))
			if err != nil || !reflect.DeepEqual(m, back) {
				t.Fatalf("%+v came back as %+v: %v", m, back, err)
			}
		}
	})
}

// TestLongTextsAreCut: what is encoded can always be decoded.
func TestLongTextsAreCut(t *testing.T) {
	long := strings.Repeat("x", 1<<20)
	for _, m := range []Message{Refused{Why: long}, Progress{Text: long}, Report{Detail: long}, Stop{Why: long}} {
		if _, err := Decode(Encode(m)); err != nil {
			t.Errorf("%T: %v", m, err)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	for want, b := range map[string][]byte{
		"version 2 is not known":   {2},
		"message 0 is not known":   {1, 0},
		"message 13 is not known":  {1, 13},
		"input ends inside":        {},
		"over the limit of 4096":   append(append([]byte{1, 2, 0}, make([]byte, 7)...), 0xff, 0xff, 0x7f),
		"task index 10001 is out":  append(append([]byte{1, 12}, make([]byte, 32)...), 0xa2, 0x9c, 0x01, 0, 0),
		"number over 32 bits":      append(append([]byte{1, 12}, make([]byte, 33)...), 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 0),
		"value is malformed: numb": append(append([]byte{1, 12}, make([]byte, 33)...), 0x80, 0x00, 0),
	} {
		if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, m := range samples() {
		f.Add(Encode(m))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err == nil && !bytes.Equal(Encode(m), b) {
			t.Errorf("%x is accepted but encodes as %x", b, Encode(m))
		}
	})
}

func BenchmarkHeartbeat(b *testing.B) {
	m := Heartbeat{Boot: 1, Held: make([]Key, 64)}
	for b.Loop() {
		if _, err := Decode(Encode(m)); err != nil {
			b.Fatal(err)
		}
	}
}
