package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/api/client"
	"github.com/ciro-network/ciro/node/jobspec"
)

// submitPatience is how long an unanswered submission is repeated. It is always
// the same job: the idempotency key makes repeating safe.
const submitPatience = 20 * time.Second

// submitFlags are the flags of submit and run.
func submitFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "job-type", Aliases: []string{"type"}, Usage: "a job that ships with the program, by `TYPE` or name, if no FILE is given"},
		&cli.StringFlag{Name: "name", Usage: "`NAME` of the job"},
		&cli.StringFlag{Name: "priority", Usage: "`P`: 1 to 10, or low, medium, high, critical"},
		&cli.StringFlag{Name: "max-cost", Usage: "highest `PRICE` of a worker, per core and hour"},
		&cli.StringFlag{Name: "client-address", Usage: "`ADDRESS` for settlement"},
		&cli.StringFlag{Name: "tasks", Usage: "`N` tasks of the array"},
		&cli.StringSliceFlag{Name: "set", Usage: "`KEY=VALUE` replaces a value of the spec (resources.memory=1GiB); may be repeated"},
		&cli.StringFlag{Name: "idempotency-key", Usage: "`TEXT`: submitting again with the same is the same job (default: random)"},
		&cli.BoolFlag{DisableDefaultText: true, Name: "quiet", Aliases: []string{"q"}, Usage: "print the job's id only"},
	}
}

// offer is a job document with the way to its files.
type offer struct {
	doc  *jobspec.Document
	open func(name string) (io.ReadCloser, int64, error)
}

// submitAction is `ciro job submit`.
func (c *console) submitAction(ctx *cli.Context) error {
	return c.withOffer(ctx, func(node *client.Client, o offer) error {
		if ctx.Bool("dry-run") {
			return c.dryRunAction(ctx, node, o)
		}
		accepted, err := c.submit(ctx, node, o)
		if err != nil {
			return err
		}
		if ctx.Bool("quiet") {
			_, err := fmt.Fprintln(c.out, accepted.Job)
			return err
		}
		return c.show(ctx, accepted, func(w io.Writer) {
			row(w, "Job:", accepted.Job)
			row(w, "Accepted:", fmt.Sprintf("shard %d, term %d, index %d, coordinator %s",
				accepted.Shard, accepted.Term, accepted.Index, short(accepted.Coordinator)))
			if !accepted.Created {
				row(w, "Note:", "this job had been accepted before")
			}
			row(w, "Next:", "ciro job watch "+short(accepted.Job))
		})
	})
}

// withOffer reads the document that a command line names, then connects: what
// is wrong with a document is said without a node.
func (c *console) withOffer(ctx *cli.Context, do func(*client.Client, offer) error) error {
	if _, err := formatOf(ctx); err != nil {
		return err
	}
	o, err := c.readOffer(ctx)
	if err != nil {
		return err
	}
	node, err := connect(ctx)
	if err != nil {
		return err
	}
	defer node.Close()
	return do(node, o)
}

// readOffer reads and adjusts a job document from a file, standard input or the
// templates in the program.
func (c *console) readOffer(ctx *cli.Context) (offer, error) {
	kind, args := ctx.String("job-type"), ctx.Args().Slice()
	var o offer
	var err error
	switch {
	case len(args) > 1:
		return offer{}, usage("one job at a time, but got %q; see %s --help", args, ctx.Command.HelpName)
	case len(args) == 1 && kind != "":
		return offer{}, usage("give either a FILE or --job-type, not both (the type of a FILE changes with --set type=%s)", kind)
	case len(args) == 1:
		o, err = c.fileOffer(args[0])
	case kind != "":
		o, err = c.templateOffer(kind)
	default:
		return offer{}, usage("give a job FILE (YAML or JSON, - for standard input) or --job-type TYPE; see %s --help", ctx.Command.HelpName)
	}
	if err != nil {
		return offer{}, err
	}
	for _, f := range []struct{ flag, key string }{{"name", "name"}, {"priority", "priority"}, {"max-cost", "price.max"},
		{"tasks", "tasks"}, {"client-address", "client_address"}} {
		if !ctx.IsSet(f.flag) {
			continue
		}
		if err := o.doc.Set(f.key, setText(f.key, ctx.String(f.flag))); err != nil {
			return offer{}, usage("--%s: %v", f.flag, err)
		}
	}
	for _, pair := range ctx.StringSlice("set") {
		key, value, ok := strings.Cut(pair, "=")
		if !ok {
			return offer{}, usage("--set %s: write it as KEY=VALUE", pair)
		}
		if err := o.doc.Set(key, value); err != nil {
			return offer{}, usage("--set %s: %v", pair, err)
		}
	}
	return o, nil
}

// setText is a flag's value as YAML: an address like 0x123 is text, not a number.
func setText(key, value string) string {
	if key == "client_address" || key == "name" {
		return fmt.Sprintf("%q", value)
	}
	return value
}

// fileOffer reads a document from a file or, for "-", from standard input.
func (c *console) fileOffer(name string) (offer, error) {
	var data []byte
	var err error
	dir := "."
	if name == "-" {
		name = "standard input"
		data, err = io.ReadAll(io.LimitReader(c.in, jobspec.MaxDocument+1))
	} else {
		dir = filepath.Dir(name)
		data, err = readLimited(name, jobspec.MaxDocument+1)
	}
	if err != nil {
		return offer{}, fmt.Errorf("job file: %w", err)
	}
	doc, err := jobspec.Parse(data, filepath.Base(name))
	if err != nil {
		return offer{}, err
	}
	o := offer{doc: doc, open: func(path string) (io.ReadCloser, int64, error) {
		full := path
		if !filepath.IsAbs(path) {
			full = filepath.Join(dir, path)
		}
		return openRegular(full)
	}}
	o.open = c.orShipped(doc, o.open)
	return o, o.check()
}

// check opens every file that the document names, so that a missing or too large
// one is known before any is uploaded.
func (o offer) check() error {
	for _, file := range o.doc.LocalFiles() {
		if file.Path == "" {
			continue
		}
		body, _, err := o.open(file.Path)
		if err != nil {
			return fmt.Errorf("%s: %w", file.Field, err)
		}
		if file.Field == "module" {
			err = checkModule(file.Path, body)
		}
		if err := errors.Join(err, body.Close()); err != nil {
			return fmt.Errorf("%s: %w", file.Field, err)
		}
	}
	return nil
}

// checkModule refuses a file that is no program before it is uploaded.
func checkModule(path string, body io.Reader) error {
	head := make([]byte, jobspec.ModuleHead)
	n, err := io.ReadFull(body, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	if err := jobspec.CheckModule(head[:n]); err != nil {
		return api.Refuse(api.CodeInvalidSpec, "", "%s %v", path, err)
	}
	return nil
}

// readLimited reads at most limit bytes of a file.
func readLimited(name string, limit int64) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, limit))
}

// openRegular opens a regular file that is not too large to be uploaded.
func openRegular(path string) (io.ReadCloser, int64, error) {
	stat, err := os.Stat(path)
	if err != nil {
		return nil, 0, err
	}
	if !stat.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%s is not a regular file", path)
	}
	if stat.Size() > api.MaxBlob {
		return nil, 0, api.Refuse(api.CodeTooLarge, "make it smaller", "%s has %s, more than the %s that are allowed",
			path, jobspec.ShowSize(stat.Size()), jobspec.ShowSize(int64(api.MaxBlob)))
	}
	f, err := os.Open(path)
	return f, stat.Size(), err
}

// submit uploads what a document names and hands it in, again and again while
// the outcome is unknown.
func (c *console) submit(ctx *cli.Context, node *client.Client, o offer) (api.Acceptance, error) {
	for _, file := range o.doc.LocalFiles() {
		if err := c.upload(ctx.Context, node, o, file); err != nil {
			return api.Acceptance{}, err
		}
	}
	key := ctx.String("idempotency-key")
	if key == "" {
		key = rand.Text()
	}
	submission := api.Submission{Spec: o.doc.JSON(), IdempotencyKey: key}
	patience, cancel := context.WithTimeout(ctx.Context, submitPatience)
	defer cancel()
	for {
		accepted, err := node.Submit(patience, submission)
		refusal, ok := errors.AsType[*api.Refusal](err)
		if err == nil || !ok || notSent(err) || !refusal.Passing() {
			return accepted, err
		}
		pause := time.NewTimer(max(refusal.RetryAfter, 500*time.Millisecond))
		select {
		case <-pause.C:
		case <-patience.Done():
			pause.Stop()
			if ctx.Context.Err() != nil {
				return accepted, ctx.Context.Err()
			}
			return accepted, fmt.Errorf("the job may or may not have been accepted (repeat with --idempotency-key %s): %w", key, err)
		}
	}
}

// notSent reports whether no node was there to take the request.
func notSent(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}

// upload stores one file of a document and records its CID.
func (c *console) upload(ctx context.Context, node *client.Client, o offer, file jobspec.File) error {
	body, length, what := io.NopCloser(bytes.NewReader(file.Text)), int64(len(file.Text)), file.Field
	if file.Path != "" {
		what = fmt.Sprintf("%s (%s)", file.Field, file.Path)
		var err error
		if body, length, err = o.open(file.Path); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
	}
	defer body.Close()
	info, err := node.Upload(ctx, body, length)
	if err != nil {
		return fmt.Errorf("upload %s: %w", what, err)
	}
	if info.Size != length {
		return fmt.Errorf("upload %s: the node stored %d of %d bytes; try again", what, info.Size, length)
	}
	if err := o.doc.SetCID(file.Field, info.CID, info.Size); err != nil {
		return fmt.Errorf("upload %s: %w", what, err)
	}
	return nil
}
