package jobspec

import (
	"bytes"
	"errors"
	"fmt"
)

// ModuleHead is how many bytes of a module CheckModule looks at.
const ModuleHead = 8

// kinds are what people hand in instead of a module, by their first bytes.
var kinds = []struct{ head, is string }{
	{"\x7fELF", "a Linux program (ELF)"},
	{"MZ", "a Windows program"},
	{"\xcf\xfa\xed\xfe", "a macOS program"},
	{"\xca\xfe\xba\xbe", "a macOS program or Java class"},
	{"#!", "a script"},
	{"\x1f\x8b", "compressed with gzip; unpack it first"},
	{"PK", "a zip archive; unpack it first"},
	{"(module", "WebAssembly text; translate it with wat2wasm"},
}

// CheckModule says whether bytes that begin so may be a program that the wasm
// executor runs: a core WebAssembly module of version 1. head is the first
// ModuleHead bytes, or all if there are fewer.
func CheckModule(head []byte) error {
	const next = "; build one for wasip1, for example GOOS=wasip1 GOARCH=wasm go build"
	switch {
	case bytes.HasPrefix(head, []byte("\x00asm\x01\x00\x00\x00")):
		return nil
	case bytes.HasPrefix(head, []byte("\x00asm\x0d\x00\x01\x00")):
		return errors.New("is a WebAssembly component, and the mesh runs core modules (WASI preview 1)" + next)
	case len(head) < ModuleHead:
		return fmt.Errorf("is no WebAssembly module: it has only %d bytes"+next, len(head))
	case bytes.HasPrefix(head, []byte("\x00asm")):
		return fmt.Errorf("is WebAssembly of another version (% x), and the mesh runs version 1"+next, head[4:])
	}
	for _, k := range kinds {
		if bytes.HasPrefix(head, []byte(k.head)) {
			return errors.New("is no WebAssembly module but " + k.is + next)
		}
	}
	return fmt.Errorf("is no WebAssembly module: it begins with %q"+next, head)
}
