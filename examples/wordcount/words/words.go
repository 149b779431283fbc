// Package words counts words in a part of a text and joins the counts of all
// parts. It is the library of the wordcount example and the pattern for other
// jobs on data that comes in lines.
//
// # Who reads what
//
// A text of n bytes is cut at fixed places, without looking at it ([Cut]). A
// line belongs to the part in which it begins ([Count]): whoever starts in the
// middle of a line leaves the rest of it to the one before, and reads its own last
// line to the end. So each line is read once, whatever the number of parts, and
// nobody has to read the whole text or know of the others.
//
// # What is a word
//
// A longest run of letters, marks and digits as Unicode defines them, in lower
// case. What is not UTF-8 separates words.
package words

import (
	"bufio"
	"fmt"
	"io"
	"unicode"
	"unicode/utf8"
)

// Cut returns the part [from, to) of a text of size bytes that is number index of count.
func Cut(size int64, index, count int) (from, to int64, err error) {
	const most = 1 << 40 // bytes; times a count it must fit
	if size < 0 || size > most || count < 1 || count > 1<<20 || index < 0 || index >= count {
		return 0, 0, fmt.Errorf("part %d of %d does not exist in %d bytes", index, count, size)
	}
	return size * int64(index) / int64(count), size * int64(index+1) / int64(count), nil
}

// Tally is what was counted in some parts of a text.
type Tally struct {
	Lines, Words int64
	Counts       map[string]*int64
}

// NewTally returns an empty tally.
func NewTally() *Tally { return &Tally{Counts: map[string]*int64{}} }

// Add counts a word n more times.
func (t *Tally) Add(word []byte, n int64) {
	if c := t.Counts[string(word)]; c != nil {
		*c += n
	} else {
		t.Counts[string(word)] = &n
	}
	t.Words += n
}

// reportEvery is how many bytes lie between two reports of progress.
const reportEvery = 64 << 10

// Count counts the lines that begin in [from, to) of a text of size bytes. It
// calls report, which may be nil, with the share that is done.
func Count(text io.ReaderAt, size, from, to int64, report func(done float64)) (*Tally, error) {
	t := NewTally()
	at := max(from-1, 0)
	r := bufio.NewReaderSize(io.NewSectionReader(text, at, size-at), 64<<10)
	if from > 0 { // to the end of the line that the part before reads
		for {
			b, err := r.ReadByte()
			if err == io.EOF {
				return t, nil
			}
			if err != nil {
				return nil, err
			}
			at++
			if b == '\n' {
				break
			}
		}
	}
	var line counter
	next := at + reportEvery
	for at < to {
		n, err := line.read(r, t)
		at += n
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if report != nil && at >= next {
			report(min(float64(at-from)/float64(to-from), 1))
			next = at + reportEvery
		}
	}
	return t, nil
}

// counter reads lines; it keeps the word that it is in.
type counter struct{ word []byte }

// read counts one line and returns its length with the line's end.
func (c *counter) read(r *bufio.Reader, t *Tally) (int64, error) {
	n := int64(0)
	for {
		letter, size, err := r.ReadRune()
		n += int64(size)
		switch {
		case err != nil:
			c.end(t)
			if n > 0 && err == io.EOF {
				t.Lines++ // the last line may lack its end
			}
			return n, err
		case letter == '\n':
			c.end(t)
			t.Lines++
			return n, nil
		case letter != utf8.RuneError && (unicode.IsLetter(letter) || unicode.IsMark(letter) || unicode.IsDigit(letter)):
			c.word = utf8.AppendRune(c.word, unicode.ToLower(letter))
		default:
			c.end(t)
		}
	}
}

// end counts the word that ends here, if there is one.
func (c *counter) end(t *Tally) {
	if len(c.word) > 0 {
		t.Add(c.word, 1)
		c.word = c.word[:0]
	}
}
