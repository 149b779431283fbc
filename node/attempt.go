package node

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/ipfs/go-cid"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/work"
	"github.com/ciro-network/ciro/scheduler/worker"
)

// inputTimeout bounds fetching one input from its holders.
const inputTimeout = 60 * time.Second

// attempt is one attempt from its assignment to its report.
type attempt struct {
	n      *Node
	r      *runner
	assign work.Assign
	need   job.Resources
	dir    string
	log    *attemptLog
	spec   *job.Spec
}

// failure is an attempt's end that is no result.
type failure struct {
	cause   job.Cause
	missing []work.TaskOutput
	err     error
}

func (f *failure) Error() string { return f.err.Error() }

func failed(c job.Cause, format string, args ...any) error {
	return &failure{cause: c, err: fmt.Errorf(format, args...)}
}

// execute runs the attempt and returns its report.
func (a *attempt) execute(ctx context.Context) work.Report {
	report := work.Report{Key: a.assign.Key}
	result, err := a.try(ctx)
	if err == nil {
		report.Result = result
		return report
	}
	report.Cause, report.Detail = job.CauseNode, job.Clip(err.Error())
	var f *failure
	switch {
	case ctx.Err() != nil:
		report.Cause, report.Detail = job.CauseDrained, job.Clip(fmt.Sprint(context.Cause(ctx)))
	case errors.As(err, &f):
		report.Cause, report.Missing = f.cause, f.missing
	}
	a.n.log.Info("attempt ended without a result", "job", a.assign.Key.Job.Short(), "task", a.assign.Key.Task,
		"attempt", a.assign.Key.Attempt, "cause", report.Cause.String(), "detail", report.Detail)
	return report
}

func (a *attempt) try(ctx context.Context) (*job.Result, error) {
	offer, err := a.n.net.checkAssigned(a.assign.Offer)
	if err != nil {
		return nil, err
	}
	if a.spec, err = job.DecodeSpec(offer.Spec); err != nil {
		return nil, err
	}
	ex := a.r.executors[a.spec.Executor]
	if ex == nil {
		return nil, failed(job.CauseRefused, "this worker has no executor %q", a.spec.Executor)
	}
	in, out := filepath.Join(a.dir, "in"), filepath.Join(a.dir, "out")
	for _, d := range []string{in, out} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, err
		}
	}
	defer func() { // what was printed stays for a while
		_ = os.RemoveAll(in)
		_ = os.RemoveAll(out)
	}()
	module, err := a.prepare(ctx, in)
	if err != nil {
		return nil, err
	}
	if err := a.n.engine.push(ctx, input{worker: worker.Started{Key: a.assign.Key}}); err != nil {
		return nil, err
	}
	outcome, err := ex.Run(ctx, a.task(module, in, out))
	if err != nil {
		return nil, failed(job.CauseNode, "sandbox: %w", err)
	}
	if !outcome.OK() {
		return nil, a.failureOf(outcome)
	}
	return a.collect(ctx, out, outcome)
}

// checkAssigned decodes an offer that a coordinator sends with an assignment.
// Its time is past judging: it was accepted.
func (n *network) checkAssigned(raw []byte) (*job.Offer, error) {
	o, err := job.DecodeOffer(raw)
	if err != nil {
		return nil, err
	}
	if o.Network != n.id {
		return nil, errors.New("the assignment is of another network")
	}
	return o, nil
}

// prepare brings module and inputs into place.
func (a *attempt) prepare(ctx context.Context, in string) (module string, err error) {
	holders := peers(a.assign.Holders)
	if module, err = a.r.module(ctx, a.spec.Module, holders); err != nil {
		return "", failed(job.CauseInputs, "module: %w", err)
	}
	root, err := os.OpenRoot(in)
	if err != nil {
		return "", err
	}
	defer root.Close()
	for _, i := range a.spec.Inputs {
		if err := a.bring(ctx, root, i.CID, i.Name, holders); err != nil {
			return "", failed(job.CauseInputs, "input %s: %w", i.Name, err)
		}
	}
	if a.assign.Key.Task != job.GatherIndex {
		return module, nil
	}
	return module, a.bringOutputs(ctx, root)
}

// bring fetches a blob and lays it under root.
func (a *attempt) bring(ctx context.Context, root *os.Root, text, name string, holders []peer.ID) error {
	c, err := cid.Decode(text)
	if err != nil {
		return fmt.Errorf("CID %q: %w", text, err)
	}
	ctx, cancel := context.WithTimeout(ctx, inputTimeout)
	defer cancel()
	limit := blobs.FetchLimit{Bytes: maxBlobBytes}
	if _, err := a.n.blobs.Fetch(ctx, c, holders, limit); err != nil {
		return err
	}
	return a.n.blobs.Export(ctx, c, root, name, limit)
}

// bringOutputs lays the other tasks' outputs under tasks/<index> for a gather
// task. What can be fetched nowhere is reported by name, so that it is made
// again.
func (a *attempt) bringOutputs(ctx context.Context, root *os.Root) error {
	if err := root.Mkdir("tasks", 0o700); err != nil {
		return err
	}
	lost := &failure{cause: job.CauseOutputs}
	for _, o := range a.assign.Inputs {
		name := filepath.Join("tasks", strconv.Itoa(int(o.Task)))
		if o.CID == "" {
			if err := root.Mkdir(name, 0o700); err != nil {
				return err
			}
			continue
		}
		short, cancel := context.WithTimeout(ctx, outputTimeout)
		err := a.bring(short, root, o.CID, name, peers(o.Holders))
		cancel()
		if err != nil {
			lost.missing = append(lost.missing, o)
			lost.err = fmt.Errorf("the output of task %d is with none of its holders: %w", o.Task, err)
		}
	}
	if len(lost.missing) > 0 {
		return lost
	}
	return nil
}

// outputTimeout bounds fetching one task's output for a gather task.
const outputTimeout = 15 * time.Second

func peers(texts []string) []peer.ID {
	var out []peer.ID
	for _, t := range texts {
		if p, err := peer.Decode(t); err == nil {
			out = append(out, p)
		}
	}
	return out
}

// task is the attempt as the executor sees it. Randomness of a deterministic
// task depends on job and task alone, so that every attempt sees the same.
func (a *attempt) task(module, in, out string) executor.Task {
	k := a.assign.Key
	index := uint32(k.Task)
	if k.Task == job.GatherIndex {
		index = a.spec.Tasks
	}
	t := executor.Task{
		Job: k.Job.String(), Index: index, Count: a.spec.Tasks, Attempt: k.Attempt, Type: a.spec.Type, Gather: k.Task == job.GatherIndex,
		Module: module, ModuleHash: a.spec.Module, Args: a.spec.Args, In: in, Out: out,
		Limits:        executor.Limits{Memory: a.need.Memory, OutBytes: a.need.Disk, Timeout: a.spec.Policy.Timeout},
		Deterministic: !a.spec.Varying, Seed: binary.BigEndian.Uint64(k.Job[8:16]) ^ uint64(k.Task), Clock: time.UnixMilli(a.assign.Accepted),
		Sinks: executor.Sinks{Stdout: a.log.stdout, Stderr: a.log.stderr, Progress: a.r.progress(k)},
	}
	if t.Gather && len(a.spec.Gather.Args) > 0 {
		t.Args = a.spec.Gather.Args
	}
	for _, e := range a.spec.Env {
		t.Env = append(t.Env, e.Key+"="+e.Value)
	}
	return t
}

// failureOf says why an attempt did not do, with the end of what it printed.
func (a *attempt) failureOf(o executor.Outcome) error {
	c := job.ParseCause(string(o.Cause))
	switch {
	case o.Retry:
		c = job.CauseRetry
	case o.Cause == executor.Sandbox:
		c = job.CauseNode
	}
	text := o.Detail
	if text == "" {
		text = o.String()
	}
	if tail := strings.TrimSpace(a.log.stderr.tail(400)); tail != "" && !strings.Contains(text, tail) {
		text += "; stderr ends: " + tail
	}
	return &failure{cause: c, err: errors.New(text)}
}

// collect stores what the attempt left and has it held by a second node.
func (a *attempt) collect(ctx context.Context, out string, o executor.Outcome) (*job.Result, error) {
	res := &job.Result{Exit: o.Exit, Holders: []string{a.n.self}, WallTime: o.Wall, CPUTime: o.CPU}
	root, err := os.OpenRoot(out)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	var cids []string
	if entries, err := os.ReadDir(out); err != nil {
		return nil, err
	} else if len(entries) > 0 {
		c, size, err := a.n.blobs.AddDir(ctx, root)
		if err != nil {
			return nil, failed(job.CauseNode, "store outputs: %w", err)
		}
		res.Output, res.Size = c.String(), uint64(size)
		cids = append(cids, res.Output)
	}
	inline, ok := a.log.stdout.inline()
	if res.Inline = inline; !ok {
		if res.Stdout, err = a.addStream(ctx, a.log.stdout); err != nil {
			return nil, err
		}
		cids = append(cids, res.Stdout)
	}
	if size, _, _ := a.log.stderr.look(); size > 0 {
		if res.Stderr, err = a.addStream(ctx, a.log.stderr); err != nil {
			return nil, err
		}
		cids = append(cids, res.Stderr)
	}
	if len(cids) == 0 {
		return res, nil
	}
	if err := a.n.hold(ctx, a.n.keepUntil(a.spec), cids, nil); err != nil {
		return nil, failed(job.CauseNode, "store outputs: %w", err)
	}
	if second := a.n.holdElsewhere(ctx, a.assign.Key.Job, a.n.keepUntil(a.spec), cids); second != "" {
		res.Holders = append(res.Holders, second)
	} else if len(a.n.dir.members(true)) > 0 {
		return nil, failed(job.CauseNode, "no second node took the outputs")
	}
	return res, nil
}

func (a *attempt) addStream(ctx context.Context, s *spool) (string, error) {
	f, err := os.Open(s.path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	c, _, err := a.n.blobs.Add(ctx, f)
	if err != nil {
		return "", failed(job.CauseNode, "store what was printed: %w", err)
	}
	return c.String(), nil
}
