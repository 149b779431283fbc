package node

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLayOut puts a program in the place of another, and refuses one that does
// not start.
func TestLayOut(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "cache")
	for _, text := range []string{"#!/bin/sh\nexit 0\n", "#!/bin/sh\n\nexit 0\n", "#!/bin/sh\n\nexit 0\n"} {
		path, err := layOut([]byte(text), dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if got, readErr := os.ReadFile(path); err != nil || readErr != nil || string(got) != text || info.Mode().Perm() != 0o700 {
			t.Errorf("%v, %v: %q with mode %v", err, readErr, got, info.Mode())
		}
	}
	if _, err := layOut([]byte("#!/bin/sh\necho no; exit 3\n"), dir); err == nil || !strings.Contains(err.Error(), "no") {
		t.Errorf("a program that fails is used: %v", err)
	}
	if _, err := layOut([]byte("nonsense"), dir); err == nil {
		t.Error("what is no program is used")
	}
}
