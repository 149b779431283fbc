package words

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
)

// counted counts a text in parts and joins them.
func counted(t *testing.T, text string, parts int) (Summary, string) {
	t.Helper()
	g := NewGather()
	for i := range parts {
		from, to, err := Cut(int64(len(text)), i, parts)
		if err != nil {
			t.Fatal(err)
		}
		tally, err := Count(strings.NewReader(text), int64(len(text)), from, to, nil)
		if err != nil {
			t.Fatal(err)
		}
		p := Part{From: from, To: to, Size: int64(len(text)), Lines: tally.Lines, Words: tally.Words}
		if err := g.Add(p, Encode(tally.ByWord())); err != nil {
			t.Fatal(err)
		}
	}
	all, s, err := g.End(3)
	if err != nil {
		t.Fatal(err)
	}
	return s, string(Encode(all))
}

// TestEveryCut cuts texts into every number of parts, also more than they have
// bytes: through words, letters of several bytes, line ends, and long lines.
func TestEveryCut(t *testing.T) {
	for _, text := range []string{
		"", "\n", "one", "One two\nONE\n", "é\nö é\nÉé\n\n\nlast line without end é", "a b\r\na\r\n",
		strings.Repeat("x", 50) + "\n" + strings.Repeat("y ", 20) + "z", "bad \xff\xfe bytes\xc3\nbad\n", "don't, (no) 3rd no-one\n",
	} {
		whole, counts := counted(t, text, 1)
		for parts := 2; parts <= len(text)+3; parts++ {
			if s, c := counted(t, text, parts); fmt.Sprint(s) != fmt.Sprint(whole) || c != counts {
				t.Fatalf("%q in %d parts: %v%s, in one: %v%s", text, parts, s, c, whole, counts)
			}
		}
	}
	s, counts := counted(t, "Ünd únd ünd\n3 don't\n", 4)
	if counts != "ünd\t2\n3\t1\ndon\t1\nt\t1\núnd\t1\n" || s.Words != 6 || s.Lines != 2 || s.Distinct != 5 || len(s.Top) != 3 {
		t.Errorf("%+v\n%s", s, counts)
	}
}

func TestGatherRefuses(t *testing.T) {
	good := func() *Gather {
		g := NewGather()
		if err := g.Add(Part{From: 0, To: 5, Size: 10, Words: 2}, []byte("a\t2\n")); err != nil {
			t.Fatal(err)
		}
		return g
	}
	for name, p := range map[string]Part{ // any order: independent
		"gap": {From: 6, To: 10, Size: 10}, "overlap": {From: 4, To: 10, Size: 10}, "twice": {From: 0, To: 5, Size: 10, Words: 2},
		"other text": {From: 5, To: 10, Size: 11}, "backwards": {From: 5, To: 4, Size: 10}, "wrong total": {From: 5, To: 10, Size: 10, Words: 9},
	} {
		if err := good().Add(p, nil); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"a", "a\t", "a\t0\n", "a\t-1\n", "\t1\n", "a\tx\n", "a\t1\t1\n"} {
		if err := NewTally().Merge([]byte(text)); !errors.Is(err, ErrFormat) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if _, _, err := good().End(1); !errors.Is(err, ErrFormat) {
		t.Errorf("half a text: %v", err)
	}
	if _, _, err := NewGather().End(1); !errors.Is(err, ErrFormat) {
		t.Errorf("no part at all: %v", err)
	}
	for _, c := range [][2]int{{0, 0}, {-1, 1}, {1, 1}} {
		if _, _, err := Cut(10, c[0], c[1]); err == nil {
			t.Errorf("part %d of %d exists", c[0], c[1])
		}
	}
}

// TestCountPassesErrors has a text whose end cannot be read.
func TestCountPassesErrors(t *testing.T) {
	for _, from := range []int64{0, 5} {
		if _, err := Count(broken{}, 10, from, 10, nil); !errors.Is(err, errBroken) {
			t.Errorf("from %d: %v", from, err)
		}
	}
}

var errBroken = errors.New("broken")

type broken struct{}

// ReadAt implements io.ReaderAt.
func (broken) ReadAt([]byte, int64) (int, error) { return 0, errBroken }

var _ io.ReaderAt = broken{}
