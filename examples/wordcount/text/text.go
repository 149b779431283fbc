// Package text makes up a text to count words in. It reads like a language that
// nobody speaks: 20,000 words whose frequencies follow Zipf's law (the second
// most frequent word is half as frequent as the first, and so on), in
// sentences, lines and paragraphs, with some letters outside of ASCII.
//
// The text depends on the seed and the size alone: integer arithmetic and a
// generator of a fixed algorithm (PCG) make the same bytes everywhere. That is
// why 12 MB of it need not be stored anywhere.
package text

import (
	"math/bits"
	"math/rand/v2"
	"sort"
	"unicode"
	"unicode/utf8"
)

const (
	// Size is the size of the example's text in bytes, at least: it ends with
	// the paragraph in which it reaches that size.
	Size = 12_000_000
	// Vocabulary is how many different words there are.
	Vocabulary = 20_000

	seed      = 1949 // Zipf's "Human Behavior and the Principle of Least Effort"
	lineWidth = 80   // characters, at which a line is broken
)

// source draws numbers.
type source struct{ pcg *rand.PCG }

// below draws a number in [0, n). The bias is below n / 2^64.
func (s source) below(n uint64) uint64 {
	high, _ := bits.Mul64(s.pcg.Uint64(), n)
	return high
}

// Make returns the text of at least size bytes. A shorter text is the beginning
// of a longer one, but for its last paragraph's end.
func Make(size int) []byte {
	draw := source{rand.NewPCG(seed, 0)}
	w := writer{draw: draw, words: vocabulary(draw), text: make([]byte, 0, size+4096)}
	// The word of rank r, from 0, has a weight of 1 / (r + 2.7): Zipf's law as
	// Mandelbrot bent it for the most frequent words.
	sum := uint64(0)
	for r := range uint64(len(w.words)) {
		sum += (10 << 40) / (10*r + 27)
		w.upTo = append(w.upTo, sum)
	}
	for len(w.text) < size {
		w.paragraph()
	}
	return w.text
}

// Letters of which syllables are made; some appear more than once to be more frequent.
var (
	onsets = []string{"b", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "w", "st", "tr", "br", "kl", "sh", "th", ""}
	vowels = []string{"a", "e", "i", "o", "u", "a", "e", "i", "o", "ai", "ou", "é", "ö"}
	codas  = []string{"", "", "", "n", "r", "s", "l", "t", "nd", "m", "ß"}
)

// vocabulary makes up different words, the frequent ones short.
func vocabulary(draw source) []string {
	one := func(of []string) string { return of[draw.below(uint64(len(of)))] }
	known := make(map[string]bool, Vocabulary)
	words := make([]string, 0, Vocabulary)
	for len(words) < Vocabulary {
		syllables := 1
		for _, rank := range []int{60, 1500, 9000} {
			if len(words) >= rank {
				syllables++
			}
		}
		word := ""
		for range syllables {
			word += one(onsets) + one(vowels) + one(codas)
		}
		if !known[word] {
			known[word] = true
			words = append(words, word)
		}
	}
	return words
}

// writer appends to the text.
type writer struct {
	draw  source
	words []string
	upTo  []uint64 // upTo[r] is the weight of all words up to rank r
	text  []byte
	width int // characters in the last line
}

// word draws a word by its weight.
func (w *writer) word() string {
	at := w.draw.below(w.upTo[len(w.upTo)-1])
	return w.words[sort.Search(len(w.upTo), func(i int) bool { return w.upTo[i] > at })]
}

// paragraph writes some sentences and an empty line.
func (w *writer) paragraph() {
	for range 3 + w.draw.below(6) {
		w.sentence()
	}
	w.text = append(w.text, "\n\n"...)
	w.width = 0
}

func (w *writer) sentence() {
	n := 4 + w.draw.below(15)
	for i := range n {
		word := w.word()
		if i == 0 {
			first, size := utf8.DecodeRuneInString(word)
			word = string(unicode.ToUpper(first)) + word[size:]
		}
		switch {
		case i == n-1:
			word += []string{".", ".", ".", ".", "?", "!"}[w.draw.below(6)]
		case w.draw.below(9) == 0:
			word += ","
		}
		w.put(word)
	}
}

// put writes a word with its punctuation, in the next line if it does not fit.
func (w *writer) put(word string) {
	width := utf8.RuneCountInString(word)
	switch {
	case w.width == 0:
	case w.width+1+width > lineWidth:
		w.text = append(w.text, '\n')
		w.width = 0
	default:
		w.text = append(w.text, ' ')
		w.width++
	}
	w.text = append(w.text, word...)
	w.width += width
}
