// Command guest is the WASM module of the wordcount example. It runs in a
// sandbox that follows CIRO's guest contract and has two modes.
//
// As a task it counts the words of its part of /in/text and writes
// /out/counts.tsv (word, tab, count; sorted by word) and /out/part.json, which
// says which part that was.
//
// As the gather, which CIRO_GATHER=1 says, it joins the counts of all tasks and
// writes /out/counts.tsv (the most frequent word first) and /out/summary.json.
// The same in short goes to standard output. Parts that do not cover the text are
// refused.
//
// Flag -top says how many words the summary has. The exit code is 0 when the
// output is complete, 1 when something failed, with the cause on standard error,
// and 2 for a flag it does not know.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"github.com/ciro-network/ciro/examples/guest"
	"github.com/ciro-network/ciro/examples/wordcount/words"
)

func main() {
	top := flag.Int("top", 20, "words in the summary")
	flag.Parse()
	me, err := guest.Self()
	switch {
	case err != nil:
	case me.Gather:
		err = gather(me.Count, *top)
	default:
		err = count(me)
	}
	if err != nil {
		guest.Fail("wordcount", err)
	}
}

// count does one task's part of the text.
func count(me guest.Place) error {
	f, err := os.Open("/in/text")
	if err != nil {
		return fmt.Errorf("open the text: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("open the text: %w", err)
	}
	from, to, err := words.Cut(info.Size(), me.Index, me.Count)
	if err != nil {
		return err
	}
	progress := guest.NewProgress()
	defer progress.Close()
	message := fmt.Sprintf("bytes %d to %d", from, to)
	t, err := words.Count(f, info.Size(), from, to, func(done float64) { progress.Report(done, message) })
	if err != nil {
		return fmt.Errorf("read the text: %w", err)
	}
	if err := write("counts.tsv", words.Encode(t.ByWord())); err != nil {
		return err
	}
	return writeJSON("part.json", words.Part{From: from, To: to, Size: info.Size(), Lines: t.Lines, Words: t.Words})
}

// gather joins what the tasks counted.
func gather(count, top int) error {
	g := words.NewGather()
	for i := range count {
		dir := filepath.Join("/in/tasks", strconv.Itoa(i))
		b, err := os.ReadFile(filepath.Join(dir, "part.json"))
		if err != nil {
			return fmt.Errorf("read the output of task %d: %w", i, err)
		}
		var p words.Part
		if err := json.Unmarshal(b, &p); err != nil {
			return fmt.Errorf("read the output of task %d: %w", i, err)
		}
		if b, err = os.ReadFile(filepath.Join(dir, "counts.tsv")); err != nil {
			return fmt.Errorf("read the output of task %d: %w", i, err)
		}
		if err := g.Add(p, b); err != nil {
			return err
		}
	}
	all, summary, err := g.End(top)
	if err != nil {
		return err
	}
	fmt.Print(summary)
	if err := write("counts.tsv", words.Encode(all)); err != nil {
		return err
	}
	return writeJSON("summary.json", summary)
}

func writeJSON(name string, v any) error {
	b, err := words.JSON(v)
	if err != nil {
		return err
	}
	return write(name, b)
}

func write(name string, b []byte) error {
	if err := os.WriteFile(filepath.Join("/out", name), b, 0o644); err != nil {
		return fmt.Errorf("write the result: %w", err)
	}
	return nil
}
