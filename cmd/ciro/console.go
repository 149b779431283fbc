package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/jobspec"
)

// sandboxCommand is the hidden first argument with which a node starts a sandbox.
const sandboxCommand = "__sandbox"

// apiVariable names the node to speak to.
const apiVariable = "CIRO_API"

// version is set by the linker (-X main.version=v1.2.3) for releases.
var version string

// The exit codes; see the package comment.
const (
	exitOK          = 0
	exitFailed      = 1
	exitUsage       = 2
	exitCancelled   = 3
	exitUnavailable = 4
	exitInterrupted = 130
)

// console is what commands read from and write to. Commands are its methods.
type console struct {
	in        io.Reader
	out       io.Writer
	err       io.Writer
	live      bool // out is a terminal: draw progress bars
	templates func(typeOrName string) (template, bool)
	example   func(profile string) (string, error) // a commented configuration
	serve     func(ctx context.Context, s startOptions) error
}

// newConsole is the console of a process.
func newConsole() *console {
	return &console{in: os.Stdin, out: os.Stdout, err: os.Stderr, live: isTerminal(os.Stdout),
		templates: shippedTemplate, example: exampleConfig, serve: serveNode}
}

// isTerminal reports whether f is a device that shows characters. The null
// device counts as one, which harms nobody.
func isTerminal(f *os.File) bool {
	stat, err := f.Stat()
	return err == nil && stat.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}

// untilSignalled gives a context that ends with the first SIGINT or SIGTERM; a
// second one ends the process at once. stop ends the watching.
func untilSignalled(parent context.Context) (context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-signals:
		case <-ctx.Done():
			return
		}
		cancel()
		// Lives to the end of the process, which it may bring about.
		<-signals
		os.Exit(exitInterrupted)
	}()
	return ctx, func() {
		signal.Stop(signals)
		cancel()
	}
}

// run executes one command line and returns the process's exit code.
func (c *console) run(ctx context.Context, args []string) int {
	app := c.app()
	args, err := reorder(app, args)
	if err == nil {
		err = app.RunContext(ctx, args)
	}
	if err == nil {
		return exitOK
	}
	code := exitCode(ctx, err)
	if text := err.Error(); text != "" {
		fmt.Fprintf(c.err, "ciro: %s\n", text)
	}
	return code
}

// usageError is a mistake on the command line.
type usageError struct{ text string }

func (e usageError) Error() string { return e.text }

// usage makes a usageError.
func usage(format string, args ...any) error { return usageError{fmt.Sprintf(format, args...)} }

// outcomeError ends a command with the outcome of a job. Its text is empty when
// the outcome has been shown already.
type outcomeError struct {
	code int
	text string
}

func (e outcomeError) Error() string { return e.text }

// exitCode maps an error to the process's exit code.
func exitCode(ctx context.Context, err error) int {
	var wrong usageError
	var outcome outcomeError
	var refusal *api.Refusal
	switch {
	case errors.As(err, &outcome):
		return outcome.code
	case errors.As(err, &wrong):
		return exitUsage
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return exitInterrupted
	case errors.Is(err, context.DeadlineExceeded):
		return exitUnavailable
	case errors.As(err, &refusal) && refusal.Passing():
		return exitUnavailable
	}
	return exitFailed
}

// app is the tree of commands.
func (c *console) app() *cli.App {
	app := &cli.App{
		Name:      "ciro",
		Usage:     "a node of a CIRO mesh, and the command line to one",
		UsageText: "ciro [global options] command [options] [arguments]",
		Description: "A mesh of equal nodes runs jobs for anyone who knows one of them.\n\n" +
			"Start here:\n" +
			"  ciro start                               found a network on this machine\n" +
			"  ciro submit-job --job-type render3d      run a job that ships with the program\n" +
			"  ciro job watch ID                        follow it\n\n" +
			"Exit codes: 0 done, 1 failed, 2 wrong usage, 3 cancelled, 4 nobody answered (outcome unknown).",
		Version:         buildVersion(),
		HideVersion:     true,
		HideHelpCommand: true,
		Reader:          c.in,
		Writer:          c.out,
		ErrWriter:       c.err,
		ExitErrHandler:  func(*cli.Context, error) {},
		OnUsageError:    c.onUsageError,
		Flags:           globalFlags(),
		Action: func(ctx *cli.Context) error {
			if ctx.Args().Present() {
				return unknownCommand(ctx.Args().First(), ctx.App.Commands)
			}
			return cli.ShowAppHelp(ctx)
		},
	}
	app.Commands = append(c.nodeCommands(), c.jobGroup(), c.workerGroup(), c.networkGroup(), c.chainGroup(), c.blobGroup(), c.identityGroup(),
		c.benchCommand(), c.demoCommand(), c.simCommand())
	app.Commands = append(app.Commands, c.oldNames()...)
	c.finish(app.Commands)
	return app
}

// finish gives every command what all have in common.
func (c *console) finish(commands []*cli.Command) {
	for _, command := range commands {
		command.OnUsageError = c.onUsageError
		command.HideHelpCommand = true
		if len(command.Subcommands) > 0 {
			command.Action = func(ctx *cli.Context) error {
				if ctx.Args().Present() {
					return unknownCommand(ctx.Args().First(), command.Subcommands)
				}
				return cli.ShowSubcommandHelp(ctx)
			}
			c.finish(command.Subcommands)
			continue
		}
		command.CustomHelpTemplate = cli.CommandHelpTemplate +
			"\nGLOBAL OPTIONS:\n   --api, --token, --data-dir, --output (-o): see ciro --help\n"
	}
}

// onUsageError turns the library's complaint into one of ours.
func (c *console) onUsageError(ctx *cli.Context, err error, _ bool) error {
	name := "ciro"
	if ctx != nil && ctx.Command != nil && ctx.Command.HelpName != "" {
		name = ctx.Command.HelpName
	}
	return usage("%v; see %s --help", err, name)
}

// unknownCommand names the nearest command.
func unknownCommand(name string, commands []*cli.Command) error {
	var known []string
	for _, command := range commands {
		if !command.Hidden {
			known = append(known, command.Names()...)
		}
	}
	if near, ok := jobspec.Nearest(name, known); ok {
		return usage("there is no command %q; did you mean %q?", name, near)
	}
	return usage("there is no command %q; see ciro --help", name)
}

// globalFlags are those that every command understands, wherever they stand.
func globalFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "api", Usage: "`ADDRESS` of the node to speak to (host:port)", EnvVars: []string{apiVariable}},
		&cli.StringFlag{Name: "token", Usage: "bearer `TOKEN` of that node, if it wants one", EnvVars: []string{"CIRO_API_TOKEN"}},
		&cli.StringFlag{Name: "data-dir", Usage: "the node's `FOLDER` (default: ~/.ciro)", EnvVars: []string{"CIRO_DATA"}},
		&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`FORMAT`: table, json or yaml", Value: "table"},
	}
}

// buildVersion is the release's name, or the module version and revision that Go
// recorded, or dev.
func buildVersion() string {
	if version != "" {
		return version
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "dev-" + s.Value[:12]
		}
	}
	return "dev"
}
