package job

import (
	"bytes"
	"encoding/hex"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var rewrite = flag.Bool("rewrite", false, "write the golden files anew; their formats are permanent, so only add to them")

// samples are one value of every permanent format with every field set.
func samples() map[string][]byte {
	spec := sampleSpec()
	offer := sampleOffer(spec, 1, 24*hour)
	id := offer.ID()
	about := Command{At: 1_700_000_000_123, Job: id, Task: 2, Attempt: 3, Fence: 77}
	out := map[string][]byte{
		"spec": spec.Encode(), "spec-plain": plainSpec(1).Encode(), "offer": offer.Encode(), "id": id[:],
	}
	for name, op := range map[string]Op{
		"accept": OpAccept, "assign": OpAssign, "started": OpStarted, "done": OpDone,
		"fail": OpFail, "cancel": OpCancel, "lost": OpLost, "sweep": OpSweep, "retry": OpRetry,
	} {
		c := about
		c.Op = op
		switch op {
		case OpAccept:
			c = Command{Op: op, At: about.At, Offer: sampleOffer(plainSpec(1), 2, hour).Encode(), Holders: []string{"p1", "p2"}}
		case OpAssign:
			c.Fence, c.Worker = 0, "worker"
		case OpDone:
			c.Task, c.Result = GatherIndex, sampleResult()
		case OpFail:
			c.Cause, c.Detail = CauseTimeout, "after 1m0s"
		case OpCancel:
			c = Command{Op: op, At: about.At, Job: id, Detail: "the client asked"}
		case OpRetry:
			c = Command{Op: op, At: about.At, Job: id, Task: AllTasks, Attempt: 2}
		case OpSweep:
			c = Command{Op: op, At: about.At}
		}
		out["command-"+name] = c.Encode()
	}
	return out
}

// TestGoldenFormats pins the bytes of what stands in logs and under signatures.
func TestGoldenFormats(t *testing.T) {
	for name, b := range samples() {
		file := filepath.Join("testdata", name+".hex")
		if *rewrite {
			if err := os.WriteFile(file, []byte(hex.EncodeToString(b)+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(b); got != strings.TrimSpace(string(want)) {
			t.Errorf("%s: the permanent format has changed:\n got %s\nwant %s", name, got, want)
		}
	}
}

// golden reads the bytes of a golden file.
func golden(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".hex"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestGoldenMeaning reads the pinned bytes back: what old releases wrote must go
// on to mean the same.
func TestGoldenMeaning(t *testing.T) {
	spec, err := DecodeSpec(golden(t, "spec"))
	if err != nil || !reflect.DeepEqual(spec, sampleSpec()) {
		t.Errorf("spec: %+v, %v", spec, err)
	}
	offer, err := DecodeOffer(golden(t, "offer"))
	if err != nil || !reflect.DeepEqual(offer, sampleOffer(sampleSpec(), 1, 24*hour)) {
		t.Errorf("offer: %+v, %v", offer, err)
	}
	if id := offer.ID(); !bytes.Equal(id[:], golden(t, "id")) {
		t.Errorf("id: %v", id)
	}
	c, err := DecodeCommand(golden(t, "command-done"))
	want := &Command{
		Op: OpDone, At: 1_700_000_000_123, Job: offer.ID(), Task: GatherIndex, Attempt: 3, Fence: 77, Result: sampleResult(),
	}
	if err != nil || !reflect.DeepEqual(c, want) {
		t.Errorf("command: %+v, %v", c, err)
	}
}

func drawResources(t *rapid.T) Resources {
	return Resources{
		CPU: rapid.Uint32().Draw(t, "cpu"), GPUs: rapid.Uint32().Draw(t, "gpus"), Memory: rapid.Uint64().Draw(t, "memory"),
		Disk: rapid.Uint64().Draw(t, "disk"), GPUMem: rapid.Uint64().Draw(t, "gpuMem"),
	}
}

func drawSpec(t *rapid.T) *Spec {
	text := rapid.StringN(1, 20, 64)
	s := plainSpec(rapid.Uint32Range(1, MaxTasks).Draw(t, "tasks"))
	s.Name, s.Type, s.Module, s.Client = text.Draw(t, "name"), text.Draw(t, "type"), text.Draw(t, "module"), text.Draw(t, "client")
	for range rapid.IntRange(0, 3).Draw(t, "args") {
		s.Args = append(s.Args, text.Draw(t, "arg"))
	}
	for i := range rapid.IntRange(0, 3).Draw(t, "pairs") {
		s.Env = append(s.Env, Pair{fmt.Sprint("K", i), text.Draw(t, "env")})
		s.Labels = append(s.Labels, Pair{fmt.Sprint("l", i), text.Draw(t, "label")})
		s.Inputs = append(s.Inputs, Input{Name: fmt.Sprint("in", i), CID: text.Draw(t, "cid"), Size: rapid.Uint64().Draw(t, "size")})
	}
	if rapid.Bool().Draw(t, "gather") {
		s.Gather = &Gather{Need: drawResources(t)}
	}
	s.Constraints = rapid.StringN(0, 20, 64).Draw(t, "constraints")
	s.Need, s.ModuleLen, s.PriceMax = drawResources(t), rapid.Uint64().Draw(t, "len"), rapid.Uint64().Draw(t, "price")
	s.Policy = Policy{
		Timeout:  time.Duration(rapid.Int64Range(1, int64(MaxTimeout)).Draw(t, "timeout")),
		Deadline: time.Duration(rapid.Int64Range(0, 1<<60).Draw(t, "deadline")),
		Retries:  rapid.Uint32Range(0, MaxRetries).Draw(t, "retries"), RetryOn: Classes(rapid.IntRange(0, AllClasses).Draw(t, "on")), KeepGoing: rapid.Bool().Draw(t, "kg"),
	}
	s.Priority, s.Varying = uint8(rapid.IntRange(1, 10).Draw(t, "priority")), rapid.Bool().Draw(t, "varying")
	return s
}

func TestRoundTrips(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawSpec(t)
		back, err := DecodeSpec(s.Encode())
		if err != nil || !reflect.DeepEqual(s, back) {
			t.Fatalf("spec %+v came back as %+v: %v", s, back, err)
		}
		o := sampleOffer(s, rapid.Byte().Draw(t, "nonce"), rapid.Int64().Draw(t, "notAfter"))
		o2, err := DecodeOffer(o.Encode())
		if err != nil || !reflect.DeepEqual(o, o2) || o.ID() != o2.ID() {
			t.Fatalf("offer %+v came back as %+v: %v", o, o2, err)
		}
		o2.Signature[5]++
		if o2.ID() != o.ID() {
			t.Fatal("signing again changes the id")
		}
		c := &Command{
			Op: Op(rapid.IntRange(1, int(OpRetry)).Draw(t, "op")), At: rapid.Int64().Draw(t, "at"), Job: o.ID(),
			Task: rapid.Int32Range(-1, MaxTasks).Draw(t, "task"), Attempt: rapid.Uint32().Draw(t, "attempt"),
			Fence: rapid.Uint64().Draw(t, "fence"), Worker: rapid.StringN(0, 20, 80).Draw(t, "worker"), Offer: o.Encode(),
			Cause: Cause(rapid.IntRange(0, int(CauseDeadline)).Draw(t, "cause")), Detail: rapid.StringN(0, 50, 200).Draw(t, "detail"),
		}
		if rapid.Bool().Draw(t, "result") {
			c.Result = sampleResult()
		}
		c2, err := DecodeCommand(c.Encode())
		if err != nil || !reflect.DeepEqual(c, c2) {
			t.Fatalf("command %+v came back as %+v: %v", c, c2, err)
		}
	})
}

func TestSpecsThatAreRefused(t *testing.T) {
	tests := map[string]func(*Spec){
		"name":         func(s *Spec) { s.Name = "" },
		"type":         func(s *Spec) { s.Type = "" },
		"executor":     func(s *Spec) { s.Executor = "" },
		"module":       func(s *Spec) { s.Module = "" },
		"tasks":        func(s *Spec) { s.Tasks = MaxTasks + 1 },
		"priority":     func(s *Spec) { s.Priority = 0 },
		"timeout":      func(s *Spec) { s.Policy.Timeout = 0 },
		"deadline":     func(s *Spec) { s.Policy.Deadline = -1 },
		"retries":      func(s *Spec) { s.Policy.Retries = MaxRetries + 1 },
		"retryOn":      func(s *Spec) { s.Policy.RetryOn = AllClasses + 1 },
		"constraints":  func(s *Spec) { s.Constraints = strings.Repeat("x", MaxConstraints+1) },
		"args":         func(s *Spec) { s.Args = make([]string, MaxArgs+1) },
		"inputs":       func(s *Spec) { s.Inputs = make([]Input, MaxInputs+1) },
		"no content":   func(s *Spec) { s.Inputs[0].CID = "" },
		"plain file":   func(s *Spec) { s.Inputs[0].Name = "../x" },
		"twice":        func(s *Spec) { s.Inputs = append(s.Inputs, s.Inputs[0]) },
		"name tasks":   func(s *Spec) { s.Inputs[0].Name = "tasks" },
		"mesh's":       func(s *Spec) { s.Env = []Pair{{"CIRO_X", ""}} },
		"is no name":   func(s *Spec) { s.Env = []Pair{{"A=B", ""}} },
		"sorted":       func(s *Spec) { s.Env = []Pair{{"B", ""}, {"A", ""}} },
		"encoded are":  func(s *Spec) { s.Args = make([]string, 8); s.Args[0] = strings.Repeat("x", MaxSpecBytes) },
		"1 to 128 cha": func(s *Spec) { s.Inputs[0].Name = strings.Repeat("x", MaxName+1) },
	}
	if err := sampleSpec().Validate(); err != nil {
		t.Fatal(err)
	}
	for want, spoil := range tests {
		s := sampleSpec()
		spoil(s)
		if err := s.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
		if _, err := DecodeSpec(s.Encode()); err == nil {
			t.Errorf("%s: an invalid spec is decoded", want)
		}
	}
}

func TestOfferTimes(t *testing.T) {
	o := sampleOffer(plainSpec(1), 1, 24*hour)
	for at, ok := range map[int64]bool{-hour: false, 0: true, 24 * hour: true, 24*hour + 1: false} {
		if err := o.CheckTime(time.UnixMilli(at)); (err == nil) != ok {
			t.Errorf("at %d: %v", at, err)
		}
	}
}

func TestDecodersRefuse(t *testing.T) {
	decoders := map[string]func([]byte) error{
		"spec":    func(b []byte) error { _, err := DecodeSpec(b); return err },
		"offer":   func(b []byte) error { _, err := DecodeOffer(b); return err },
		"command": func(b []byte) error { _, err := DecodeCommand(b); return err },
		"state":   func(b []byte) error { _, err := DecodeState(b); return err },
	}
	l := newLog(t)
	j := l.accept(sampleSpec())
	l.run(j, 0)
	l.fail(j, 0, CauseRetry)
	good := map[string][]byte{"state": l.state.Encode(), "command": golden(t, "command-done")}
	for _, name := range []string{"spec", "offer"} {
		good[name] = golden(t, name)
	}
	for name, decode := range decoders {
		b := good[name]
		if err := decode(b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for n := range b {
			if decode(b[:n]) == nil {
				t.Errorf("%s: accepted when cut at %d of %d", name, n, len(b))
			}
		}
		if decode(append(bytes.Clone(b), 0)) == nil {
			t.Errorf("%s: accepted with a byte more", name)
		}
		if name == "offer" {
			continue // begins with lengths
		}
		newer := bytes.Clone(b)
		newer[0]++
		if err := decode(newer); err == nil || !strings.Contains(err.Error(), "not known here") {
			t.Errorf("%s: of a newer version: %v", name, err)
		}
	}
}
