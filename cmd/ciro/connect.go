package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
)

// addressFile is where a running node writes its API address, in its data directory.
const addressFile = "api.addr"

// connect finds the node to speak to: --api, CIRO_API, or the address that a
// running node left in the data directory.
func connect(ctx *cli.Context) (*client.Client, error) {
	address := ctx.String("api")
	if address == "" {
		dir, err := dataDir(ctx)
		if err != nil {
			return nil, err
		}
		if address, err = readAddress(dir); err != nil {
			return nil, err
		}
	}
	node, err := client.New(address, ctx.String("token"))
	if err != nil {
		return nil, usage("%v", err)
	}
	return node, nil
}

// readAddress reads what a node wrote. No file means that none runs there.
func readAddress(dir string) (string, error) {
	data, err := os.ReadFile(filepath.Join(dir, addressFile))
	if errors.Is(err, fs.ErrNotExist) {
		return "", api.Refuse(api.CodeUnavailable, "start one with ciro start, or name one with --api HOST:PORT",
			"no node is running with the data directory %s", dir)
	}
	if err != nil {
		return "", fmt.Errorf("find the node: %w", err)
	}
	return strings.TrimSpace(string(data)), nil
}

// dataDir is the node's folder.
func dataDir(ctx *cli.Context) (string, error) {
	if dir := ctx.String("data-dir"); dir != "" {
		return dir, nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", usage("the home directory is unknown (%v); give --data-dir", err)
	}
	return filepath.Join(home, ".ciro"), nil
}

// withNode wraps a command that speaks to a node and takes exactly n arguments.
func withNode(n int, do func(*cli.Context, *client.Client) error) cli.ActionFunc {
	return func(ctx *cli.Context) error {
		if err := wantArgs(ctx, n); err != nil {
			return err
		}
		if _, err := formatOf(ctx); err != nil {
			return err
		}
		node, err := connect(ctx)
		if err != nil {
			return err
		}
		defer node.Close()
		return do(ctx, node)
	}
}

// wantArgs refuses too few or too many arguments.
func wantArgs(ctx *cli.Context, n int) error {
	got := ctx.Args().Slice()
	if len(got) == n {
		return nil
	}
	want := strings.TrimSpace(ctx.Command.ArgsUsage)
	if want == "" {
		return usage("%s takes no arguments, but got %q; see %s --help", ctx.Command.HelpName, got, ctx.Command.HelpName)
	}
	return usage("%s wants %s, but got %q; see %s --help", ctx.Command.HelpName, want, got, ctx.Command.HelpName)
}
