package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ciro-network/ciro/node/executor/wasm"
)

// sandboxTrial bounds the trial of the sandbox's own program.
const sandboxTrial = 10 * time.Second

// newSandbox makes the executor of WASM tasks.
func newSandbox(n *Node) (*wasm.Executor, error) {
	program, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find the ciro program for sandboxes: %w", err)
	}
	cache := n.store.Dir("cache")
	command := []string{program, "__sandbox"}
	if len(n.parts.Sandbox) > 0 {
		own, err := layOut(n.parts.Sandbox, cache)
		if err != nil {
			n.log.Warn("sandboxes start slower, since their own program cannot be used", "err", err)
		} else {
			command = []string{own}
		}
	}
	c := n.cfg.Worker
	return wasm.New(wasm.Config{Command: command, CacheDir: cache, CacheBytes: c.CacheBytes, Warm: c.Warm, Log: n.log})
}

// layOut writes a program into a private folder and tries whether it starts: the
// folder may be on a file system from which nothing is executed. Without input a
// sandbox ends at once.
func layOut(program []byte, dir string) (path string, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", err
	}
	path = filepath.Join(dir, "sandbox")
	switch there, err := os.ReadFile(path); {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", err
	case !bytes.Equal(there, program):
		next := path + ".new"
		if err := os.WriteFile(next, program, 0o700); err != nil {
			return "", err
		}
		if err := os.Rename(next, path); err != nil {
			return "", err
		}
	}
	if err := os.Chmod(path, 0o700); err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(context.Background(), sandboxTrial)
	defer cancel()
	if out, err := exec.CommandContext(ctx, path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("start %s: %w: %s", path, err, bytes.TrimSpace(out))
	}
	return path, nil
}
