package text

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"testing"
	"unicode/utf8"
)

// The text must never change, on no machine: results refer to it.
const golden = "423ff6fae6f9db0c3376413dfa94d5e068693ef060c1965d3820daae6cbfe632"

func TestTextIsTheSameEverywhere(t *testing.T) {
	b := Make(Size)
	if len(b) < Size || len(b) > Size+4096 || !utf8.Valid(b) {
		t.Errorf("%d bytes, UTF-8 %v", len(b), utf8.Valid(b))
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != golden {
		t.Errorf("the text has changed: %x", sum)
	}
	for line := range bytes.Lines(b) {
		if utf8.RuneCount(line) > lineWidth+1 {
			t.Fatalf("a line of %d characters: %q", utf8.RuneCount(line), line)
		}
	}
	if short := Make(10_000); !bytes.HasPrefix(b, short) {
		t.Error("a shorter text is another text")
	}
}
