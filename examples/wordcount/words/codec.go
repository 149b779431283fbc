package words

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
)

// ErrFormat is wrapped by the errors about files that are not what they should be.
var ErrFormat = errors.New("words: malformed data")

// Entry is a word with its count.
type Entry struct {
	Word  string `json:"word"`
	Count int64  `json:"count"`
}

// ByWord lists the entries in the order of their words.
func (t *Tally) ByWord() []Entry {
	all := make([]Entry, 0, len(t.Counts))
	for _, w := range slices.Sorted(maps.Keys(t.Counts)) {
		all = append(all, Entry{w, *t.Counts[w]})
	}
	return all
}

// ByCount lists the entries, the most frequent first; equals by their words.
func (t *Tally) ByCount() []Entry {
	all := t.ByWord()
	slices.SortStableFunc(all, func(a, b Entry) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

// Encode writes entries as lines of word, tab, count.
func Encode(all []Entry) []byte {
	var b []byte
	for _, e := range all {
		b = append(append(b, e.Word...), '\t')
		b = append(strconv.AppendInt(b, e.Count, 10), '\n')
	}
	return b
}

// Merge adds the counts of a file that Encode wrote.
func (t *Tally) Merge(b []byte) error {
	for line := range bytes.Lines(b) {
		word, count, ok := bytes.Cut(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\t'})
		n, err := strconv.ParseInt(string(count), 10, 64)
		if !ok || len(word) == 0 || err != nil || n < 1 {
			return fmt.Errorf("%w: line %q", ErrFormat, line)
		}
		t.Add(word, n)
	}
	return nil
}

// Part says what a task has counted.
type Part struct {
	From  int64 `json:"from"` // bytes of the text
	To    int64 `json:"to"`
	Size  int64 `json:"size"` // of the whole text
	Lines int64 `json:"lines"`
	Words int64 `json:"words"`
}

// Summary is the result in short.
type Summary struct {
	Bytes    int64   `json:"bytes"`
	Lines    int64   `json:"lines"`
	Words    int64   `json:"words"`
	Distinct int     `json:"distinct"`
	Top      []Entry `json:"top"`
}

// Gather joins the counts of parts, one after the other.
type Gather struct {
	tally *Tally
	last  Part
	parts int
}

// NewGather begins with nothing.
func NewGather() *Gather { return &Gather{tally: NewTally()} }

// Add takes the next part. It must begin where the one before ended, and its
// counts must add up to what it says.
func (g *Gather) Add(p Part, counts []byte) error {
	if p.From != g.last.To || p.To < p.From || g.parts > 0 && p.Size != g.last.Size {
		return fmt.Errorf("%w: part %d covers bytes %d to %d of %d, the one before ended at %d of %d",
			ErrFormat, g.parts, p.From, p.To, p.Size, g.last.To, g.last.Size)
	}
	before := g.tally.Words
	if err := g.tally.Merge(counts); err != nil {
		return err
	}
	if got := g.tally.Words - before; got != p.Words {
		return fmt.Errorf("%w: part %d says %d words, its counts add up to %d", ErrFormat, g.parts, p.Words, got)
	}
	g.tally.Lines += p.Lines
	g.last = p
	g.parts++
	return nil
}

// End returns the joined counts, the most frequent word first, and the summary
// with the top words. It refuses parts that do not cover the text.
func (g *Gather) End(top int) ([]Entry, Summary, error) {
	if g.parts == 0 || g.last.To != g.last.Size {
		return nil, Summary{}, fmt.Errorf("%w: the parts end at byte %d of %d", ErrFormat, g.last.To, g.last.Size)
	}
	all := g.tally.ByCount()
	return all, Summary{
		Bytes: g.last.Size, Lines: g.tally.Lines, Words: g.tally.Words, Distinct: len(all), Top: all[:min(top, len(all))],
	}, nil
}

// String is the summary for people.
func (s Summary) String() string {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%d bytes, %d lines, %d words, %d different\n\n", s.Bytes, s.Lines, s.Words, s.Distinct)
	for i, e := range s.Top {
		fmt.Fprintf(&b, "%3d. %-16s %9d  %5.2f %%\n", i+1, e.Word, e.Count, 100*float64(e.Count)/float64(s.Words))
	}
	return b.String()
}

// JSON is v as a line of JSON.
func JSON(v any) ([]byte, error) {
	b, err := json.Marshal(v)
	return append(b, '\n'), err
}
