package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/ciro-network/ciro/node"
	"github.com/ciro-network/ciro/node/config"
)

// serveNode runs a node until ctx ends.
func serveNode(ctx context.Context, o startOptions) error {
	cfg, err := loadConfig(o, os.Environ())
	if err != nil {
		return err
	}
	log, err := o.log(cfg.Logging.Level, cfg.Logging.Format)
	if err != nil {
		return err
	}
	fail := func(err error) {
		// Standard error may be on the disk that failed; the exit code tells all the same.
		fmt.Fprintf(os.Stderr, "ciro: %v\n", errors.Join(err, forgetAddress(cfg)))
		os.Exit(exitFailed)
	}
	n, err := node.NewWith(ctx, cfg, node.Parts{Version: o.version, Log: log, Sandbox: sandboxProgram, Fail: fail})
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	announce(o.out, n.Banner())
	err = n.Run(ctx)
	return errors.Join(err, forgetAddress(cfg))
}

// announce prints what a person needs to know of a started node.
func announce(out io.Writer, banner string) {
	// Nobody may be reading; the node runs all the same.
	_, _ = io.WriteString(out, banner)
}

// forgetAddress removes the address of an API that is gone, so that commands say
// that no node runs rather than that none answers.
func forgetAddress(cfg config.Config) error {
	err := os.Remove(filepath.Join(cfg.DataDir, addressFile))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
