//go:build !linux

package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Fprintln(os.Stderr, "chaos: it needs Linux: network namespaces, nftables and a parent's death signal")
	os.Exit(1)
}
