package wasm

import (
	"bytes"
	"io"
	"testing"

	"github.com/ciro-network/ciro/node/executor"
)

// FuzzFrames reads arbitrary bytes as what a sandbox says about its attempt: a
// guest that took its process over could say anything.
func FuzzFrames(f *testing.F) {
	var good bytes.Buffer
	for _, frame := range []struct {
		kind    byte
		payload string
	}{{kindAccepted, ""}, {kindStdout, "hello"}, {kindStderr, "oops"}, {kindProgress, `{"Fraction":0.5,"Message":"half"}`}, {kindResult, `{"Cause":"exit","Exit":75}`}} {
		if err := writeFrame(&good, frame.kind, []byte(frame.payload)); err != nil {
			f.Fatal(err)
		}
	}
	f.Add(good.Bytes())
	f.Add([]byte{kindAccepted, 0, 0, 0, 0, kindResult, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, data []byte) {
		var out bytes.Buffer
		r := receiver{out: sink{w: &out, name: "stdout"}, err: sink{w: io.Discard, name: "stderr"}}
		if r.receive(newFrameReader(bytes.NewReader(data), maxFrame)) != nil {
			return
		}
		if !r.accepted || r.result == nil {
			t.Fatal("an attempt ended before it was accepted, or without a result")
		}
		if o := r.outcome(); o.Retry && o.Exit != executor.ExitRetry {
			t.Fatalf("an outcome of exit code %d asks for another try", o.Exit)
		}
		if out.Len() > len(data) {
			t.Fatal("more came out than went in")
		}
	})
}
