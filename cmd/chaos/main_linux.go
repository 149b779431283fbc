package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/ciro-network/ciro/node/api/client"
)

// options of a run.
type options struct {
	program string
	minutes float64
	seed    uint64
	nodes   int
	signals bool
	only    string
	logs    string
}

func main() {
	var o options
	flag.StringVar(&o.program, "ciro", "bin/ciro", "the `PROGRAM` under test")
	flag.Float64Var(&o.minutes, "minutes", 3, "how long faults are made")
	flag.Uint64Var(&o.seed, "seed", 0, "of the plan; 0 draws one")
	flag.IntVar(&o.nodes, "nodes", 7, "how many processes")
	flag.BoolVar(&o.signals, "signals", false, "use signals alone, no network namespaces")
	flag.StringVar(&o.only, "only", "", "make only these `KINDS` of faults, separated by commas")
	flag.StringVar(&o.logs, "logs", "", "keep the nodes' logs in this `FOLDER` (default: only when the run fails)")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := chaos(ctx, o, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: %v\n", err)
		os.Exit(1)
	}
}

// scratchName begins the name of every scratch folder, before the pid.
const scratchName = "ciro-chaos-"

// scratch makes the folder of this run and removes those of runs that are gone.
func scratch() (string, error) {
	old, err := filepath.Glob(filepath.Join(os.TempDir(), scratchName+"*"))
	if err != nil {
		return "", err
	}
	for _, dir := range old {
		program, err := os.Readlink("/proc/" + strings.TrimPrefix(filepath.Base(dir), scratchName) + "/exe")
		if err == nil && filepath.Base(program) == "chaos" {
			continue // it runs now
		}
		if err := os.RemoveAll(dir); err != nil {
			return "", fmt.Errorf("clean up after an earlier run: %w", err)
		}
	}
	dir := filepath.Join(os.TempDir(), scratchName+strconv.Itoa(os.Getpid()))
	return dir, os.MkdirAll(dir, 0o755)
}

// chaos is one run.
func chaos(ctx context.Context, o options, out io.Writer) (err error) {
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano()) % 1_000_000
	}
	program, err := filepath.Abs(o.program)
	if err != nil {
		return err
	}
	if _, err := os.Stat(program); err != nil {
		return fmt.Errorf("the program under test: %w; make build makes it", err)
	}
	dir, err := scratch()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && o.logs == "" && ctx.Err() == nil {
			o.logs = filepath.Join(os.TempDir(), "ciro-chaos-failed")
		}
		if o.logs != "" {
			err = errors.Join(err, keepLogs(dir, o.logs))
			fmt.Fprintf(out, "the nodes' logs are in %s\n", o.logs)
		}
		err = errors.Join(err, os.RemoveAll(dir))
	}()
	web, kinds, refused := probeMachine(o.nodes, o.signals)
	if web != nil {
		defer func() { err = errors.Join(err, web.close()) }()
	}
	kinds = chosen(kinds, o.only)
	fmt.Fprintf(out, "seed %d, %d nodes, %.1f minutes of faults: make chaos MINUTES=%g SEED=%d\n", o.seed, o.nodes, o.minutes, o.minutes, o.seed)
	if web == nil {
		fmt.Fprintf(out, "using signals alone: %s\n", refused[Halves])
	}
	members, err := mesh(o, program, dir, web)
	if err != nil {
		return err
	}
	n := &nemesis{members: members, web: web, watch: newTracker(), injured: &injuries{done: map[Kind]injury{}}, out: out, began: time.Now()}
	n.load = &load{members: members, h: NewHistory(), watch: n.watch, cids: map[string]string{}}
	err = n.scenario(ctx, o, kinds)
	unused := n.injured.table(out, kinds, refused)
	over := n.report(out)
	if ctx.Err() != nil {
		for _, m := range members {
			_ = m.kill() // it may be dead already
		}
		return errors.New("interrupted; nothing was checked")
	}
	return n.verdict(err, append(over, missing(unused)...))
}

func missing(unused []Kind) (texts []string) {
	for _, k := range unused {
		texts = append(texts, fmt.Sprintf("%s: this machine allows it and it was not used", k))
	}
	return texts
}

// chosen keeps the kinds that were asked for.
func chosen(kinds []Kind, only string) []Kind {
	if only == "" {
		return inOrder(kinds)
	}
	var out []Kind
	for _, k := range kinds {
		for _, want := range strings.Split(only, ",") {
			if string(k) == strings.TrimSpace(want) {
				out = append(out, k)
			}
		}
	}
	return inOrder(out)
}

// mesh describes the members; it starts none.
func mesh(o options, program, dir string, w *web) ([]*member, error) {
	var out []*member
	for i := range o.nodes {
		m := &member{name: fmt.Sprintf("n%d", i+1), program: program}
		m.dir, m.logPath = filepath.Join(dir, m.name), filepath.Join(dir, m.name+".log")
		if w != nil {
			m.space, m.address, m.api = w.nodes[i], fmt.Sprintf("%s%d", prefix, i+1), "127.0.0.1:8080"
		} else {
			s, err := newSpace(true)
			if err != nil {
				return nil, err
			}
			// Each node has a loopback address, so that it comes back under the same.
			m.space, m.address = s, fmt.Sprintf("127.77.%d.%d", os.Getpid()%250+1, i+1)
			m.api = m.address + ":8080"
		}
		var err error
		if m.client, err = client.New(m.api, ""); err != nil {
			return nil, err
		}
		m.client.DialWith(m.space.dial)
		out = append(out, m)
	}
	return out, nil
}

// keepLogs copies the nodes' logs.
func keepLogs(from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	logs, err := filepath.Glob(filepath.Join(from, "*.log"))
	if err != nil {
		return err
	}
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(filepath.Join(to, filepath.Base(path)), text, 0o644)
		}
		if err != nil {
			return err
		}
	}
	return nil
}
