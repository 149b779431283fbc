package main

import (
	"context"
	"os"

	"github.com/ciro-network/ciro/node/executor/wasm"
)

func main() {
	// A sandbox is this program started again; nothing may run before it.
	if len(os.Args) > 1 && os.Args[1] == sandboxCommand {
		os.Exit(wasm.Child())
	}
	ctx, stop := untilSignalled(context.Background())
	code := newConsole().run(ctx, os.Args)
	stop()
	os.Exit(code)
}
