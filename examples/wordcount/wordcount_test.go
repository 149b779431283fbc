package wordcount

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
	"unicode"

	"github.com/ciro-network/ciro/examples/exampletest"
	"github.com/ciro-network/ciro/examples/wordcount/text"
	"github.com/ciro-network/ciro/examples/wordcount/words"
)

// plain counts words in the simplest way there is, with nothing of the example.
func plain(b []byte) (counts string, summary words.Summary) {
	n := map[string]int64{}
	for _, w := range strings.FieldsFunc(strings.ToLower(string(b)), func(r rune) bool {
		return !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r)
	}) {
		n[w]++
		summary.Words++
	}
	var all []words.Entry
	for w, c := range n { // any order: sorted below
		all = append(all, words.Entry{Word: w, Count: c})
	}
	slices.SortFunc(all, func(a, b words.Entry) int { return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Word, b.Word)) })
	var out strings.Builder
	for _, e := range all {
		fmt.Fprintf(&out, "%s\t%d\n", e.Word, e.Count)
	}
	summary.Bytes, summary.Lines = int64(len(b)), int64(bytes.Count(b, []byte("\n")))
	summary.Distinct, summary.Top = len(all), all[:20]
	return out.String(), summary
}

func read(t *testing.T, dir, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestSandboxEqualsPlainCount runs the committed module and compares with a
// plain count in this process: the whole text as in job.yaml, and less of it in
// fewer and more parts.
func TestSandboxEqualsPlainCount(t *testing.T) {
	s := exampletest.NewSandbox(t, exampletest.Unpack(t, "wordcount.wasm.gz"), "-top", "20")
	for _, c := range []struct{ size, tasks int }{{text.Size, 8}, {50_000, 1}, {50_000, 13}} {
		whole := text.Make(c.size)
		counts, want := plain(whole)
		out, shown := s.Job(t, map[string][]byte{"text": whole}, c.tasks)
		if got := string(read(t, out, "counts.tsv")); got != counts {
			t.Errorf("%d tasks count otherwise than a single process", c.tasks)
		}
		var got words.Summary
		if err := json.Unmarshal(read(t, out, "summary.json"), &got); err != nil || fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%d tasks: %v\n%v\nwant\n%v", c.tasks, err, got, want)
		}
		if !strings.Contains(shown, fmt.Sprintf("%d words", want.Words)) {
			t.Errorf("%d tasks show %s", c.tasks, shown)
		}
	}
}

func TestCommittedModule(t *testing.T) {
	small := map[string][]byte{"text": text.Make(20_000)}
	exampletest.CheckModule(t, "wordcount", func(built, committed []byte) bool {
		a, _ := exampletest.NewSandbox(t, built).Job(t, small, 3)
		b, _ := exampletest.NewSandbox(t, committed).Job(t, small, 3)
		return bytes.Equal(read(t, a, "counts.tsv"), read(t, b, "counts.tsv"))
	})
}

// TestGuestRefuses has the guest run without what it needs.
func TestGuestRefuses(t *testing.T) {
	s := exampletest.NewSandbox(t, exampletest.Unpack(t, "wordcount.wasm.gz"))
	empty := t.TempDir()
	if e := s.Run(t, empty, t.TempDir()); e.Code != 1 || !strings.Contains(e.Stderr, "open the text") {
		t.Errorf("without a text: %+v", e)
	}
	if e := s.Run(t, empty, t.TempDir(), "CIRO_TASK_INDEX", "3", "CIRO_TASK_COUNT", "2"); e.Code != 1 || !strings.Contains(e.Stderr, "makes no sense") {
		t.Errorf("as task 3 of 2: %+v", e)
	}
	if e := s.Run(t, empty, t.TempDir(), "CIRO_GATHER", "1", "CIRO_TASK_COUNT", "2"); e.Code != 1 || !strings.Contains(e.Stderr, "output of task 0") {
		t.Errorf("as a gather of nothing: %+v", e)
	}
}
