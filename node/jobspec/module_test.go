package jobspec

import (
	"strings"
	"testing"
)

func TestCheckModule(t *testing.T) {
	for head, want := range map[string]string{
		"":                                 "has only 0 bytes",
		"a text":                           "has only 6 bytes",
		"a longer":                         `it begins with "a longer"`,
		"\x00asm\x01\x00\x00\x00":          "",
		"\x00asm\x0d\x00\x01\x00":          "is a WebAssembly component",
		"\x00asm\x02\x00\x00\x00":          "another version (02 00 00 00)",
		"\x7fELF\x02\x01\x01\x00":          "a Linux program (ELF)",
		"MZ\x90\x00\x03\x00\x00\x00":       "a Windows program",
		"#!/bin/s":                         "a script",
		"\x1f\x8b\x08\x00\x00\x00\x00\x00": "compressed with gzip",
		"(module ":                         "WebAssembly text",
	} {
		err := CheckModule([]byte(head))
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %s", head, err, want)
		}
	}
}
