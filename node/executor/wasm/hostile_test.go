package wasm_test

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode"

	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/node/executor/executortest"
	"github.com/ciro-network/ciro/node/executor/wasm"
)

// hostile is a program that means harm, and what must come of it.
type hostile struct {
	class, name string
	module      []byte   // nil: the guest in testdata/hostile
	args        []string // the deed and its arguments
	timeout     time.Duration
	env         []string
	causes      []executor.Cause // any of them is right
	detail      string           // is part of the outcome's detail
	says        string           // is what it prints
	refused     bool             // Run refuses the task itself
}

// Quotas of every hostile program.
const (
	hostileMemory = 128 << 20
	hostileBytes  = 1 << 20
	hostileFiles  = 20
)

// stage is where a hostile program runs: its own folders with links that lead
// out of them, and around them what it must not touch.
type stage struct {
	dir    string
	task   executor.Task
	secret string
	before string
	stdout bytes.Buffer
	flood  int // bytes of stdout that were not kept
	shown  []string
}

// Write implements io.Writer: what the program prints, its beginning kept.
func (s *stage) Write(b []byte) (int, error) {
	keep := min(len(b), 64<<10-min(s.stdout.Len(), 64<<10))
	s.stdout.Write(b[:keep])
	s.flood += len(b) - keep
	return len(b), nil
}

func setStage(t *testing.T, guest string, h hostile) *stage {
	t.Helper()
	s := &stage{dir: t.TempDir(), secret: "secret-" + rand.Text()}
	in, out := filepath.Join(s.dir, "in"), filepath.Join(s.dir, "out")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, dir := range []string{in, out} {
		must(os.MkdirAll(filepath.Join(dir, "sub"), 0o755))
		must(os.WriteFile(filepath.Join(dir, "regular"), []byte("fine"), 0o644))
		for link, to := range map[string]string{ // any order: independent links
			"link": "../secret", "dirlink": "..", "inner": "regular", "chain": "link", "loop": "loop", "procroot": "/proc/self/root",
		} {
			must(os.Symlink(to, filepath.Join(dir, link)))
		}
	}
	must(os.WriteFile(filepath.Join(s.dir, "secret"), []byte(s.secret), 0o644))
	must(syscall.Mkfifo(filepath.Join(in, "fifo"), 0o644))
	if l, err := net.Listen("unix", filepath.Join(in, "socket")); err == nil {
		l.(*net.UnixListener).SetUnlinkOnClose(false)
		must(l.Close())
	}
	_ = syscall.Mknod(filepath.Join(in, "device"), syscall.S_IFCHR|0o666, 1<<8|5) // /dev/zero, if we may
	module := guest
	if h.module != nil {
		module = filepath.Join(s.dir, "module.wasm")
		must(os.WriteFile(module, h.module, 0o644))
	}
	s.task = executor.Task{
		Job: "job", Type: "custom", Count: 1, Attempt: 1, Module: module, Args: h.args, Env: h.env, In: in, Out: out, Deterministic: true,
		Limits: executor.Limits{Memory: hostileMemory, OutBytes: hostileBytes, OutFiles: hostileFiles, Timeout: h.timeout},
		Sinks:  executor.Sinks{Stdout: s, Stderr: io.Discard, Progress: func(_ float64, m string) { s.show(m) }},
	}
	if s.task.Limits.Timeout == 0 {
		s.task.Limits.Timeout = 20 * time.Second
	}
	s.before = s.surroundings(t)
	return s
}

// show keeps a few of the messages that the program has others see.
func (s *stage) show(message string) {
	if len(s.shown) < 100 {
		s.shown = append(s.shown, message)
	}
}

// surroundings are everything on the stage but /out: names, kinds and contents.
func (s *stage) surroundings(t *testing.T) string {
	t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(s.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || p == s.task.Out {
			return cmp.Or(err, fs.SkipDir)
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(&all, p, info.Mode(), info.Size()*int64(boolByte(!d.IsDir())))
		if d.Type().IsRegular() && info.Size() < 1000 {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			all.Write(b)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

// check looks for traces of an escape.
func (s *stage) check(t *testing.T, h hostile) {
	t.Helper()
	printed := s.stdout.String()
	if strings.Contains(printed, "escaped") || strings.Contains(printed, s.secret) {
		t.Errorf("%s: it got out:\n%.2000s", h.name, printed)
	}
	if h.says != "" && !strings.Contains(printed, h.says) {
		t.Errorf("%s: it prints %.300q, not %q", h.name, printed, h.says)
	}
	if after := s.surroundings(t); after != s.before {
		t.Errorf("%s: its surroundings were\n%s\nand are\n%s", h.name, s.before, after)
	}
	if len(printed)+s.flood > executor.MaxStream+200 {
		t.Errorf("%s: %d bytes of stdout", h.name, len(printed)+s.flood)
	}
	for _, m := range s.shown {
		if strings.ContainsFunc(m, notShown) || len(m) > 600 {
			t.Errorf("%s: people are shown %.100q", h.name, m)
		}
	}
	size, files := int64(0), -8 // what was there before: the folder, sub and six links are not charged
	if err := filepath.WalkDir(s.task.Out, func(_ string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		files++
		if info, err := d.Info(); err == nil && d.Type().IsRegular() {
			size += info.Size()
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
	if size > hostileBytes+4 || files > hostileFiles+1 {
		t.Errorf("%s: it left %d bytes in %d files", h.name, size, files)
	}
}

// notShown tells what moves a reader's cursor or reorders what they read.
func notShown(r rune) bool {
	return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// pulse measures what a daemon does all the time, while something else goes on:
// how late a timer is, and how long a word to another goroutine and back takes.
type pulse struct {
	stop chan struct{}
	done sync.WaitGroup

	mu   sync.Mutex
	late []time.Duration
}

func startPulse() *pulse {
	p := &pulse{stop: make(chan struct{})}
	asked, answered := make(chan int), make(chan int)
	p.done.Go(func() {
		for n := range asked {
			answered <- len(make([]byte, n))
		}
	})
	p.done.Go(func() {
		defer close(asked)
		const every = 2 * time.Millisecond
		tick := time.NewTimer(every)
		defer tick.Stop()
		for {
			began := time.Now()
			tick.Reset(every)
			select {
			case <-p.stop:
				return
			case <-tick.C:
			}
			asked <- 4096
			<-answered
			p.mu.Lock()
			p.late = append(p.late, time.Since(began)-every)
			p.mu.Unlock()
		}
	})
	return p
}

// take returns what was measured since the last call.
func (p *pulse) take() []time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	late := p.late
	p.late = nil
	return late
}

func (p *pulse) end() {
	close(p.stop)
	p.done.Wait()
}

// spread is the median, the 99th percentile and the largest of durations.
func spread(d []time.Duration) string {
	if len(d) == 0 {
		return "none"
	}
	slices.Sort(d)
	at := func(q float64) time.Duration { return d[int(q*float64(len(d)-1))].Round(10 * time.Microsecond) }
	return fmt.Sprintf("p50 %v p99 %v max %v", at(0.5), at(0.99), at(1))
}

// classReport counts what came of the programs of one class.
type classReport struct {
	programs int
	outcomes map[executor.Cause]int
	control  []time.Duration
	late     []time.Duration
}

// TestHostilePrograms runs every program that means harm, each beside a job that
// means none. None gets out, each ends for the cause that it should, within its
// time; the other job is done, the daemon's memory does not grow, and nothing is
// left behind. // What the daemon notices in time is printed, not judged: the machine
// may be busy with other things. A short run takes every third program.
func TestHostilePrograms(t *testing.T) {
	guest := filepath.Join(scratchDir, "hostile.wasm")
	cmd := exec.Command("go", "build", "-trimpath", "-o", guest, "./testdata/hostile")
	cmd.Env = append(os.Environ(), "GOOS=wasip1", "GOARCH=wasm", "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build the hostile guest: %v: %s", err, text)
	}
	cache := filepath.Join(scratchDir, "hostile-cache")
	e := serve(t, wasm.Config{Command: command(t), CacheDir: cache, Warm: 2, MaxMemory: 1 << 30, Log: slog.New(slog.DiscardHandler)})
	if err := e.Check(context.Background(), guest); err != nil {
		t.Fatal(err)
	}
	p := startPulse()
	defer p.end()
	quiet := &classReport{outcomes: map[executor.Cause]int{}}
	for range 10 {
		quiet.control = append(quiet.control, controlJob(t, e))
	}
	quiet.late = p.take()
	heap := heapInUse()
	reports, classes, total := map[string]*classReport{}, []string{}, 0
	for i, h := range hostilePrograms() {
		if testing.Short() && i%3 != 0 {
			continue
		}
		r := reports[h.class]
		if r == nil {
			r = &classReport{outcomes: map[executor.Cause]int{}}
			reports[h.class] = r
			classes = append(classes, h.class)
		}
		total++
		r.run(t, e, guest, h)
		r.late = append(r.late, p.take()...)
	}
	reports["all at once"] = together(t, e, guest)
	reports["all at once"].late = p.take()
	classes = append(classes, "all at once")
	if grown := int64(heapInUse()) - int64(heap); grown > 64<<20 {
		t.Errorf("the daemon's memory grew by %d MiB", grown>>20)
	}
	eventually(t, "only warm children are left", func() bool { return wasm.Warm(e) == 2 && len(children(t)) == 2 })
	if left, err := os.ReadDir(filepath.Join(cache, "scratch")); err != nil || len(left) > 0 {
		t.Errorf("scratch space left behind: %v, %v", left, err)
	}
	t.Logf("%-12s %8s  %-64s control %s", "quiet", "", "timers late "+spread(quiet.late), spread(quiet.control))
	for _, class := range classes {
		r := reports[class]
		t.Logf("%-12s %8d  %-64s control %s  %v", class, r.programs, "timers late "+spread(r.late), spread(r.control), r.outcomes)
	}
	t.Logf("%d hostile programs in %d classes", total, len(classes))
	if total < 40 {
		t.Errorf("only %d hostile programs", total)
	}
}

func (r *classReport) run(t *testing.T, e *wasm.Executor, guest string, h hostile) {
	t.Helper()
	s := setStage(t, guest, h)
	var o executor.Outcome
	var err error
	var ended sync.WaitGroup
	ended.Go(func() { o, err = e.Run(context.Background(), s.task) })
	r.control = append(r.control, controlJob(t, e))
	ended.Wait()
	r.programs++
	if h.refused {
		if err == nil {
			t.Errorf("%s: it is not refused: %q %.200s", h.name, o.Cause, o.Detail)
		}
		return
	}
	if err != nil {
		t.Errorf("%s: %v", h.name, err)
		return
	}
	r.outcomes[o.Cause]++
	if !slices.Contains(h.causes, o.Cause) || !strings.Contains(o.Detail, h.detail) {
		t.Errorf("%s: %q, want %q with %q; exit %d: %.500s\n%.300s", h.name, o.Cause, h.causes, h.detail, o.Exit, o.Detail, s.stdout.String())
	}
	if o.Wall > s.task.Limits.Timeout+killCap {
		t.Errorf("%s: it took %v of %v", h.name, o.Wall, s.task.Limits.Timeout)
	}
	if strings.ContainsFunc(o.Detail, notShown) || len(o.Detail) > 5<<10 {
		t.Errorf("%s: people are told %.100q, %d bytes", h.name, o.Detail, len(o.Detail))
	}
	s.check(t, h)
	t.Logf("%-10s %-28s %-10q %6.2fs, CPU %5.2fs, %4d MiB  %.90q", h.class, h.name, o.Cause, o.Wall.Seconds(), o.CPU.Seconds(), o.PeakMemory>>20, o.Detail)
}

// together runs the most greedy programs at the same time, as a worker with many
// places would, and jobs that mean no harm one after the other beside them.
func together(t *testing.T, e *wasm.Executor, guest string) *classReport {
	t.Helper()
	r := &classReport{outcomes: map[executor.Cause]int{}}
	var mu sync.Mutex
	var running sync.WaitGroup
	ended := make(chan struct{})
	for _, h := range hostilePrograms() {
		if !slices.Contains([]string{"endless loop", "memory filled for ever", "randomness for ever", "flood of stdout", "flood of progress",
			"loops and branches", "blocks in blocks", "folder handles", "fill /tmp", "poll of 200,000 clocks"}, h.name) {
			continue
		}
		s := setStage(t, guest, h)
		s.task.Limits.Timeout = 2 * time.Second
		r.programs++
		running.Go(func() {
			o, err := e.Run(context.Background(), s.task)
			mu.Lock()
			defer mu.Unlock()
			r.outcomes[o.Cause]++
			if err != nil || o.OK() || o.Wall > s.task.Limits.Timeout+killCap {
				t.Errorf("%s among others: %v, %v", h.name, o, err)
			}
			s.check(t, h)
		})
	}
	go func() {
		running.Wait()
		close(ended)
	}()
	for {
		select {
		case <-ended:
			return r
		default:
			r.control = append(r.control, controlJob(t, e))
		}
	}
}

// controlJob runs a module that does nothing and means no harm.
func controlJob(t *testing.T, e *wasm.Executor) time.Duration {
	t.Helper()
	o, err := e.Run(context.Background(), executortest.Task(t, noop.file(t)))
	if err != nil || !o.OK() {
		t.Errorf("the job beside it: %v, %v", o, err)
	}
	return o.Wall
}

func heapInUse() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapInuse
}
