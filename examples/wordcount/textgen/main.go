// Command textgen writes the text of the wordcount example.
//
//	go run ./textgen text.txt
//	go run ./textgen -size 100000000 text.txt
package main

import (
	"flag"
	"fmt"
	"os"

	"github.com/ciro-network/ciro/examples/wordcount/text"
)

func main() {
	size := flag.Int("size", text.Size, "bytes, at least")
	flag.Parse()
	if flag.NArg() != 1 || *size < 1 {
		fmt.Fprintln(os.Stderr, "usage: textgen [-size BYTES] FILE")
		os.Exit(2)
	}
	if err := os.WriteFile(flag.Arg(0), text.Make(*size), 0o644); err != nil {
		fmt.Fprintln(os.Stderr, "textgen:", err)
		os.Exit(1)
	}
}
