// Command ciro-sandbox is the inside of a sandbox and nothing else. make build
// embeds it in ciro, which starts it once for every attempt: it links a tenth of
// what ciro links and so begins in a third of the time. A ciro that was built
// without it starts itself instead, with the same effect.
package main

import (
	"os"

	"github.com/ciro-network/ciro/node/executor/wasm"
)

func main() { os.Exit(wasm.Child()) }
