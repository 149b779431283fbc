package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/ciro-network/ciro/examples"
	"github.com/ciro-network/ciro/examples/ai-inference/digits"
)

// runShipped submits a job that ships with the program by the command line to a
// node, waits for it, and returns the folder with its results.
func (m *mesh) runShipped(node int, args ...string) string {
	m.t.Helper()
	dest := m.t.TempDir()
	var out, errs bytes.Buffer
	c := newConsole()
	c.out, c.err, c.live = &out, &errs, false
	line := append([]string{"ciro", "--data-dir", filepath.Join(m.dir, m.nodes[node].name), "job", "run", "--dest", dest}, args...)
	began := time.Now()
	if code := c.run(m.t.Context(), line); code != exitOK {
		m.t.Fatalf("%v: exit code %d: %s\n%s", args, code, errs.String(), out.String())
	}
	m.t.Logf("%v: %v", args, time.Since(began).Round(10*time.Millisecond))
	return dest
}

func (m *mesh) result(dir, name string) []byte {
	m.t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		m.t.Fatal(err)
	}
	return b
}

// TestProcessExamples runs the examples on a network of three processes and
// judges the mesh's own output: how many digits are read right, and whether the
// words are counted as a plain count in this process does.
func TestProcessExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("three processes and two whole jobs take half a minute")
	}
	m := startMesh(t, 3)
	t.Run("ai-inference", func(t *testing.T) {
		dir := m.runShipped(2, "--job-type", "ai-inference")
		judgeDigits(t, m.result(dir, "predictions.csv"), m.result(dir, "report.json"))
	})
	t.Run("wordcount", func(t *testing.T) {
		tmpl, _ := examples.Find("wordcount")
		text, err := tmpl.Open("text.txt")
		if err != nil {
			t.Fatal(err)
		}
		dir := m.runShipped(1, "../../examples/wordcount/job.yaml", "--tasks", "12")
		judgeWords(t, text, m.result(dir, "counts.tsv"), m.result(dir, "summary.json"))
	})
}

// judgeDigits compares predictions with the labels, on pictures of which none may
// have been trained on.
func judgeDigits(t *testing.T, predictions, summary []byte) {
	tmpl, _ := examples.Find("ai-inference")
	open := func(name string) []byte {
		b, err := tmpl.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	images, err := digits.DecodeImages(open("images.idx"))
	if err != nil {
		t.Fatal(err)
	}
	labels, err := digits.DecodeLabels(open("labels.idx"))
	if err != nil {
		t.Fatal(err)
	}
	guesses, err := digits.DecodePredictions(predictions)
	if err != nil || len(guesses) != len(labels) || len(images) != len(labels) || len(labels) < 1000 {
		t.Fatalf("%d predictions for %d pictures with %d labels: %v", len(guesses), len(images), len(labels), err)
	}
	right := 0
	for i, g := range guesses {
		if !digits.HeldOut(&images[i]) {
			t.Errorf("picture %d may have been trained on", i)
		}
		if g.Image == i && g.Digit == labels[i] {
			right++
		}
	}
	accuracy := float64(right) / float64(len(labels))
	t.Logf("%d of %d digits read right: %.2f %%", right, len(labels), 100*accuracy)
	if accuracy < 0.97 {
		t.Errorf("accuracy %.4f, promised are 0.97", accuracy)
	}
	var r digits.Report
	if err := json.Unmarshal(summary, &r); err != nil || r.Correct != right || r.Images != len(labels) || r.Accuracy != accuracy {
		t.Errorf("the mesh reports %+v, %v", r, err)
	}
	for d, row := range r.Confusion {
		sum := 0
		for _, n := range row {
			sum += n
		}
		if want := bytes.Count(labels, []byte{byte(d)}); sum != want {
			t.Errorf("the confusion matrix has %d pictures of a %d, there are %d", sum, d, want)
		}
	}
}

// judgeWords compares counts with a plain count of the whole text.
func judgeWords(t *testing.T, text, counts, summary []byte) {
	type entry struct {
		word string
		n    int
	}
	plain, total := map[string]int{}, 0
	for _, w := range strings.FieldsFunc(strings.ToLower(string(text)), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r)
	}) {
		plain[w]++
		total++
	}
	var all []entry
	for w, n := range plain { // any order: sorted below
		all = append(all, entry{w, n})
	}
	slices.SortFunc(all, func(a, b entry) int { return cmp.Or(b.n-a.n, strings.Compare(a.word, b.word)) })
	var want strings.Builder
	for _, e := range all {
		fmt.Fprintf(&want, "%s\t%d\n", e.word, e.n)
	}
	if string(counts) != want.String() {
		t.Errorf("the mesh counts otherwise: it begins %.100q, want %.100q", counts, want.String())
	}
	var s struct {
		Bytes, Words, Distinct int
		Top                    []struct {
			Word  string
			Count int
		}
	}
	if err := json.Unmarshal(summary, &s); err != nil || len(text) < 10_000_000 || s.Bytes != len(text) || s.Words != total ||
		s.Distinct != len(all) || len(s.Top) != 20 {
		t.Fatalf("the mesh reports %+v of %d bytes with %d words, %d different: %v", s, len(text), total, len(all), err)
	}
	for i, top := range s.Top {
		if top.Word != all[i].word || top.Count != all[i].n {
			t.Errorf("rank %d is %+v, want %+v", i+1, top, all[i])
		}
	}
	t.Logf("%d words, %d different; most frequent %+v", s.Words, s.Distinct, s.Top[:3])
}
