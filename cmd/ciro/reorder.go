package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// reorder moves flags to where the library looks for them: global ones before
// the command, a command's own before its arguments. The library would take
// every flag after the first argument for an argument, and say nothing. What
// follows "--" is left alone.
func reorder(app *cli.App, args []string) ([]string, error) {
	if len(args) == 0 {
		return args, nil
	}
	r := reordering{global: app.Flags, commands: app.Commands, path: args[:1:1]}
	rest := args[1:]
	for len(rest) > 0 {
		taken, err := r.take(rest)
		if err != nil {
			return nil, err
		}
		rest = rest[taken:]
	}
	out := slices.Concat(r.path[:1], r.globals, r.path[1:], r.own)
	if len(r.positional) > 0 && strings.HasPrefix(r.positional[0], "-") && r.positional[0] != "-" || r.protected {
		out = append(out, "--")
	}
	return append(out, r.positional...), nil
}

// reordering is the state of reorder: where in the tree of commands it is and
// what it has seen of each kind.
type reordering struct {
	global     []cli.Flag
	commands   []*cli.Command // those that may come next
	flags      []cli.Flag     // those of the command reached
	path       []string       // program and commands
	globals    []string
	own        []string
	positional []string
	protected  bool // "--" was given
}

// take consumes the next argument, with its value if it is a flag that has one.
func (r *reordering) take(rest []string) (int, error) {
	arg := rest[0]
	switch {
	case arg == "--":
		r.protected = true
		r.positional = append(r.positional, rest[1:]...)
		return len(rest), nil
	case len(arg) < 2 || arg[0] != '-':
		r.word(arg)
		return 1, nil
	}
	name, _, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
	into := &r.own
	flag := findFlag(r.flags, name)
	if flag == nil {
		if flag = findFlag(r.global, name); flag != nil {
			into = &r.globals
		}
	}
	*into = append(*into, arg)
	if flag == nil || hasValue || !takesValue(flag) {
		return 1, nil // an unknown flag is left for the library to name
	}
	if len(rest) < 2 {
		return 0, usage("the flag %s needs a value", arg)
	}
	*into = append(*into, rest[1])
	return 2, nil
}

// word takes a command's name or an argument.
func (r *reordering) word(arg string) {
	if len(r.positional) == 0 {
		for _, command := range r.commands {
			if command.HasName(arg) {
				r.path = append(r.path, arg)
				r.commands, r.flags = command.Subcommands, command.Flags
				return
			}
		}
	}
	r.positional = append(r.positional, arg)
}

// findFlag finds a flag by any of its names.
func findFlag(flags []cli.Flag, name string) cli.Flag {
	for _, flag := range flags {
		if slices.Contains(flag.Names(), name) {
			return flag
		}
	}
	return nil
}

// takesValue reports whether a flag is followed by its value.
func takesValue(flag cli.Flag) bool {
	_, isBool := flag.(*cli.BoolFlag)
	return !isBool
}
