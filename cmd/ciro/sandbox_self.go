//go:build !sandbox

package main

// sandboxProgram is missing in a build without the tag sandbox: the program
// starts itself as its sandboxes.
var sandboxProgram []byte
