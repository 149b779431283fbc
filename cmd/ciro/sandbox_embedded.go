//go:build sandbox

package main

import _ "embed"

// sandboxProgram is cmd/ciro-sandbox, as make build made it just before.
//
//go:embed sandbox.bin
var sandboxProgram []byte
