//go:build !unix

package blobs

import (
	"fmt"
	"os"
)

// openPlain opens a regular file that is none else by the time it is open.
func openPlain(root *os.Root, name string) (*os.File, error) {
	f, err := root.Open(name)
	if err != nil {
		return nil, fmt.Errorf("blobs: add: %w", err)
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close() // nothing was written
		return nil, fmt.Errorf("%w: %s is no longer a plain file", ErrRefused, name)
	}
	return f, nil
}
