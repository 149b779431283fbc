package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"
)

// configFile is the configuration that a node reads when it is there, in its
// data directory.
const configFile = "ciro.toml"

// startOptions is what `ciro start` was told.
type startOptions struct {
	file    string         // configuration file; empty for none
	profile string         // development, staging, production or test; empty for the file's or the default
	flags   map[string]any // by configuration key, only those given
	version string
	out     io.Writer // for the banner
	log     func(level, format string) (*slog.Logger, error)
}

// startFlag ties a flag of `ciro start` to its configuration key.
type startFlag struct {
	key  string
	flag cli.Flag
}

// startFlagTable lists the flags of `ciro start` that are configuration.
func startFlagTable() []startFlag {
	return []startFlag{
		{"network.join", &cli.StringFlag{Name: "join", Usage: "`ADDRESS` of a node to join, as its start printed it (with #SECRET if the network has one)"}},
		{"network.bootstrap", &cli.StringSliceFlag{Name: "bootstrap", Usage: "multi`ADDRESS` of a further node of the network; may be repeated"}},
		{"network.listen", &cli.StringSliceFlag{Name: "listen", Usage: "multi`ADDRESS` to listen on for nodes; may be repeated"}},
		{"network.name", &cli.StringFlag{Name: "network-name", Usage: "`NAME` of the network, when this node founds it"}},
		{"network.shards", &cli.IntFlag{Name: "shards", Usage: "`N` shards of the network, when this node founds it", DefaultText: "16"}},
		{"network.open", &cli.BoolFlag{DisableDefaultText: true, Name: "open", Usage: "found a network that anyone may join without a secret"}},
		{"network.mdns", &cli.BoolFlag{DisableDefaultText: true, Name: "mdns", Usage: "find nodes on the local network by themselves"}},
		{"api.listen", &cli.StringSliceFlag{Name: "api-listen", Usage: "`HOST:PORT` of the HTTP API (default: 127.0.0.1:8080, or a free port)"}},
		{"name", &cli.StringFlag{Name: "name", Usage: "`NAME` of this node for people (default: the host's)"}},
		{"roles", &cli.StringFlag{Name: "roles", Usage: "`LIST`: worker,coordinator (the default), one of them, or none"}},
		{"worker.cpus", &cli.Float64Flag{Name: "cpus", Usage: "`CORES` that jobs may use", DefaultText: "all"}},
		{"worker.memory", &cli.StringFlag{Name: "memory", Usage: "`SIZE` that jobs may use, for example 4GiB"}},
		{"worker.labels", &cli.StringSliceFlag{Name: "label", Usage: "`KEY=VALUE` that jobs can ask for; may be repeated"}},
		{"logging.level", &cli.StringFlag{Name: "log-level", Usage: "`LEVEL`: debug, info, warn or error"}},
		{"logging.format", &cli.StringFlag{Name: "log-format", Usage: "`FORMAT`: text or json"}},
	}
}

// nodeCommands are the commands about the node on this machine.
func (c *console) nodeCommands() []*cli.Command {
	flags := []cli.Flag{
		&cli.StringFlag{Name: "config", Aliases: []string{"c"}, Usage: "configuration `FILE` (default: " + configFile + " in the data directory, if it is there)"},
		&cli.StringFlag{Name: "profile", Usage: "`PROFILE`: development, staging, production or test", EnvVars: []string{"CIRO_PROFILE"}},
	}
	for _, f := range startFlagTable() {
		flags = append(flags, f.flag)
	}
	return []*cli.Command{
		{
			Name: "init", Usage: "make a data directory with a commented configuration",
			Flags: []cli.Flag{
				&cli.StringFlag{Name: "profile", Usage: "`PROFILE`: development, staging, production or test", Value: "development"},
				&cli.BoolFlag{DisableDefaultText: true, Name: "force", Usage: "replace a configuration that is there"},
			}, Action: c.initAction,
		},
		{
			Name: "start", Usage: "run a node until it is told to stop",
			Description: "The first start in a fresh data directory founds a private network of one node, or joins the network\n" +
				"of --join; every later one comes back as the same node. It prints the exact command that joins another\n" +
				"machine. SIGINT and SIGTERM stop it cleanly, a second one at once.\n\n" +
				"With --api HOST:PORT the HTTP API listens there, and a taken port is an error.\n\nExamples:\n" +
				"   ciro start\n   ciro start --join '/ip4/192.0.2.7/tcp/4001/p2p/12D3KooW…#secret'\n" +
				"   ciro start --roles none --data-dir /tmp/door",
			Flags: flags, Action: c.startAction,
		},
		{Name: "status", Usage: "the node and how it sees its network", Action: withNode(0, c.statusAction)},
		{Name: "version", Usage: "the version of this program", Action: func(ctx *cli.Context) error {
			return c.show(ctx, map[string]string{"version": buildVersion()}, func(w io.Writer) { fmt.Fprintln(w, "ciro "+buildVersion()) })
		}},
	}
}

// startAction is `ciro start`.
func (c *console) startAction(ctx *cli.Context) error {
	if err := wantArgs(ctx, 0); err != nil {
		return err
	}
	dir, err := dataDir(ctx)
	if err != nil {
		return err
	}
	options := startOptions{file: ctx.String("config"), profile: ctx.String("profile"), version: buildVersion(), out: c.out, log: c.logger,
		flags: map[string]any{}}
	if ctx.IsSet("data-dir") {
		options.flags["data_dir"] = dir
	}
	if options.file == "" {
		if _, err := os.Stat(filepath.Join(dir, configFile)); err == nil {
			options.file = filepath.Join(dir, configFile)
		}
	}
	if err := startFlags(ctx, options.flags); err != nil {
		return err
	}
	return c.serve(ctx.Context, options)
}

// startFlags collects the flags given, by configuration key.
func startFlags(ctx *cli.Context, into map[string]any) error {
	for _, f := range startFlagTable() {
		name := f.flag.Names()[0]
		if !ctx.IsSet(name) {
			continue
		}
		switch f.flag.(type) {
		case *cli.StringSliceFlag:
			into[f.key] = ctx.StringSlice(name)
		case *cli.IntFlag:
			into[f.key] = ctx.Int(name)
		case *cli.Float64Flag:
			into[f.key] = ctx.Float64(name)
		case *cli.BoolFlag:
			into[f.key] = ctx.Bool(name)
		default:
			into[f.key] = ctx.String(name)
		}
	}
	if ctx.IsSet("roles") {
		into["roles"] = roles(ctx.String("roles"))
	}
	if ctx.IsSet("label") {
		labels := map[string]string{}
		for _, pair := range ctx.StringSlice("label") {
			key, value, ok := strings.Cut(pair, "=")
			if !ok || key == "" {
				return usage("--label %s: write it as KEY=VALUE", pair)
			}
			labels[key] = value
		}
		into["worker.labels"] = labels
	}
	// The flag --api is, for the node itself, the address to listen on; the
	// variable is for commands that speak to a node.
	if api := ctx.String("api"); api != os.Getenv(apiVariable) && !ctx.IsSet("api-listen") {
		into["api.listen"] = []string{api}
	}
	if token := ctx.String("token"); token != "" {
		into["api.token"] = token
	}
	return nil
}

// roles reads worker,coordinator; none is no role.
func roles(text string) []string {
	list := []string{}
	for _, role := range strings.FieldsFunc(strings.ToLower(text), func(r rune) bool { return r == ',' || r == ' ' }) {
		if role != "none" {
			list = append(list, role)
		}
	}
	return list
}

// logger makes the node's logger, on standard error.
func (c *console) logger(level, format string) (*slog.Logger, error) {
	var lowest slog.Level
	if level != "" {
		if err := lowest.UnmarshalText([]byte(level)); err != nil {
			return nil, usage("there is no log level %q; choose debug, info, warn or error", level)
		}
	}
	options := &slog.HandlerOptions{Level: lowest}
	switch format {
	case "", "text":
		return slog.New(slog.NewTextHandler(c.err, options)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(c.err, options)), nil
	}
	return nil, usage("there is no log format %q; choose text or json", format)
}

// initAction is `ciro init`.
func (c *console) initAction(ctx *cli.Context) error {
	if err := wantArgs(ctx, 0); err != nil {
		return err
	}
	dir, err := dataDir(ctx)
	if err != nil {
		return err
	}
	text, err := c.example(ctx.String("profile"))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	path := filepath.Join(dir, configFile)
	if err := writeNew(path, text, ctx.Bool("force")); err != nil {
		return err
	}
	return c.show(ctx, map[string]string{"config": path}, func(w io.Writer) {
		fmt.Fprintf(w, "wrote %s\nnext: ciro start\n", path)
	})
}

// writeNew writes a file that is not there yet, or replaces it when told so.
func writeNew(path, text string, replace bool) error {
	mode := os.O_WRONLY | os.O_CREATE | os.O_EXCL
	if replace {
		mode = os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	}
	f, err := os.OpenFile(path, mode, 0o600)
	if os.IsExist(err) {
		return fmt.Errorf("%s is there already; replace it with --force", path)
	}
	if err != nil {
		return fmt.Errorf("configuration: %w", err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		f.Close()
		return fmt.Errorf("configuration: %w", err)
	}
	return f.Close()
}

// generateConfig is the old `generate-config ENVIRONMENT [PATH]`.
func (c *console) generateConfig(ctx *cli.Context) error {
	args := ctx.Args().Slice()
	if len(args) < 1 || len(args) > 2 {
		return usage("%s wants %s, but got %q", ctx.Command.HelpName, ctx.Command.ArgsUsage, args)
	}
	text, err := c.example(args[0])
	if err != nil {
		return err
	}
	if len(args) == 1 || args[1] == "-" {
		_, err := io.WriteString(c.out, text)
		return err
	}
	if err := writeNew(args[1], text, ctx.Bool("force")); err != nil {
		return err
	}
	fmt.Fprintf(c.out, "wrote %s\n", args[1])
	return nil
}

// oldNames are the commands by the names they had before.
func (c *console) oldNames() []*cli.Command {
	const category = "Names of earlier versions"
	return []*cli.Command{
		{Name: "submit-job", Category: category, Usage: "ciro job submit", ArgsUsage: "[FILE]", Flags: submitFlags(), Action: c.submitAction},
		{Name: "list-jobs", Category: category, Usage: "ciro job list", Flags: listFlags(), Action: withNode(0, c.listJobs)},
		{Name: "register-worker", Category: category, Usage: "ciro worker register", Flags: registerFlags(), Action: withNode(0, c.registerWorker)},
		{Name: "list-workers", Category: category, Usage: "ciro worker list", Action: withNode(0, c.listWorkers)},
		{Name: "generate-config", Category: category, Usage: "print or write a commented configuration", ArgsUsage: "ENVIRONMENT [PATH]",
			Flags:  []cli.Flag{&cli.BoolFlag{DisableDefaultText: true, Name: "force", Usage: "replace a file that is there"}},
			Action: c.generateConfig},
	}
}
