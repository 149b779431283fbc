package job

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ciro-network/ciro/scheduler/codec"
)

// Limits of one spec. They bound what an untrusted client can make a
// coordinator keep.
const (
	MaxSpecBytes   = 16 << 10 // encoded spec
	MaxTasks       = 10_000   // tasks of one job, without the gather task
	MaxInputs      = 256      // named inputs
	MaxArgs        = 256      // arguments, and as many environment entries
	MaxText        = 4 << 10  // one argument, environment value or label
	MaxName        = 128      // job, input and label names
	MaxRetries     = 100      // retries per task
	MaxConstraints = 1 << 10  // bytes of the constraint expression
	MaxTimeout     = 24 * time.Hour
	MaxAhead       = 24 * time.Hour // how far an offer's notAfter may lie ahead
)

// specVersion is the version of the encoded Spec.
const specVersion = 1

// Pair is one key with its value: a label or an environment entry.
type Pair struct{ Key, Value string }

// Input is one named input of a job; the guest sees it as /in/<Name>.
type Input struct {
	Name string // one path element
	CID  string // UnixFS CID of a file or directory
	Size uint64 // bytes, as the client measured them
}

// Resources is what one task of a job needs, or what a worker has.
type Resources struct {
	CPU    uint32 // thousandths of a core
	GPUs   uint32 // devices
	Memory uint64 // bytes
	Disk   uint64 // bytes of /out and /tmp
	GPUMem uint64 // bytes per device
}

// Fits says whether need fits into r.
func (r Resources) Fits(need Resources) bool {
	return need.CPU <= r.CPU && need.Memory <= r.Memory && need.Disk <= r.Disk &&
		need.GPUs <= r.GPUs && (need.GPUs == 0 || need.GPUMem <= r.GPUMem)
}

// Sub returns r less need, never below zero. GPUMem is a property of each
// device and stays.
func (r Resources) Sub(need Resources) Resources {
	r.CPU -= min(r.CPU, need.CPU)
	r.Memory -= min(r.Memory, need.Memory)
	r.Disk -= min(r.Disk, need.Disk)
	r.GPUs -= min(r.GPUs, need.GPUs)
	return r
}

// Add returns the sum of r and more.
func (r Resources) Add(more Resources) Resources {
	r.CPU += more.CPU
	r.Memory += more.Memory
	r.Disk += more.Disk
	r.GPUs += more.GPUs
	return r
}

// Policy is how a job's tasks are treated in time and after failures.
type Policy struct {
	Timeout   time.Duration // of one attempt; 0 in a document means one hour
	Deadline  time.Duration // of the whole job from its acceptance; 0: none
	Retries   uint32        // failures of a task that are tried again
	RetryOn   Classes       // the classes of failure that are tried again, of those that a spec may choose
	KeepGoing bool          // a dead task does not end the job's other tasks (failFast: false)
}

// Spec is a job's specification as every participant sees it. Its encoding is
// what the client signs and what the job's id is made of; documents in YAML or
// JSON are only a way to write one.
type Spec struct {
	Name        string
	Type        string // one of the known job types, canonical form
	Executor    string // "wasm"
	Module      string // CID of the module
	ModuleLen   uint64 // bytes of the module
	Args        []string
	Env         []Pair // sorted by key
	Tasks       uint32 // 1..MaxTasks
	Gather      *Gather
	Inputs      []Input
	Need        Resources // per task
	Labels      []Pair    // a worker must carry them all; sorted by key
	Constraints string    // an expression that a worker must satisfy; "": none
	Policy      Policy
	Priority    uint8  // 1..10
	PriceMax    uint64 // highest accepted worker price, micro-units per core-hour; 0: any
	Varying     bool   // deterministic: false
	Client      string // client_address, payload for settlement

	// Owner is the key of the client that signed the offer, hexadecimal. It comes
	// from there and is no part of the encoding.
	Owner string
}

// Gather is the task that runs when all others are done. It uses the job's
// module; nil Args and zero Need mean the job's own.
type Gather struct {
	Args []string
	Need Resources
}

// GatherNeed returns what the gather task needs.
func (s *Spec) GatherNeed() Resources {
	if s.Gather != nil && s.Gather.Need != (Resources{}) {
		return s.Gather.Need
	}
	return s.Need
}

// Validate checks every bound; the error names the field and the range.
func (s *Spec) Validate() error {
	switch {
	case s.Name == "" || len(s.Name) > MaxName:
		return fmt.Errorf("name: need 1 to %d characters", MaxName)
	case s.Type == "" || len(s.Type) > MaxName:
		return errors.New("type: missing")
	case s.Executor == "":
		return errors.New("executor: missing; use wasm")
	case s.Module == "":
		return errors.New("module: missing; name a .wasm file or its CID")
	case s.Tasks < 1 || s.Tasks > MaxTasks:
		return fmt.Errorf("tasks: %d is outside 1..%d", s.Tasks, MaxTasks)
	case s.Priority < 1 || s.Priority > 10:
		return fmt.Errorf("priority: %d is outside 1..10", s.Priority)
	case s.Policy.Timeout <= 0 || s.Policy.Timeout > MaxTimeout:
		return fmt.Errorf("timeout: %v is outside 1ns..%v", s.Policy.Timeout, MaxTimeout)
	case s.Policy.Deadline < 0:
		return errors.New("deadline: negative")
	case s.Policy.Retries > MaxRetries:
		return fmt.Errorf("retries: %d is over %d", s.Policy.Retries, MaxRetries)
	case s.Policy.RetryOn&^AllClasses != 0:
		return errors.New("retryOn: names a class that is not known here")
	case len(s.Constraints) > MaxConstraints:
		return fmt.Errorf("constraints: %d bytes are over %d", len(s.Constraints), MaxConstraints)
	case len(s.Inputs) > MaxInputs:
		return fmt.Errorf("inputs: %d are over %d", len(s.Inputs), MaxInputs)
	case len(s.Args) > MaxArgs || len(s.Env) > MaxArgs:
		return fmt.Errorf("args, env: more than %d", MaxArgs)
	}
	return s.validateNames()
}

func (s *Spec) validateNames() error {
	seen := make(map[string]bool, len(s.Inputs))
	for _, in := range s.Inputs {
		if err := checkElement(in.Name); err != nil {
			return fmt.Errorf("inputs: %q: %w", in.Name, err)
		}
		if seen[in.Name] {
			return fmt.Errorf("inputs: %q appears twice", in.Name)
		}
		if in.Name == "tasks" && s.Gather != nil {
			return errors.New("inputs: the name tasks is the gather task's folder; choose another")
		}
		if in.CID == "" {
			return fmt.Errorf("inputs: %q has no content", in.Name)
		}
		seen[in.Name] = true
	}
	for _, e := range s.Env {
		if e.Key == "" || strings.ContainsAny(e.Key, "=\x00") {
			return fmt.Errorf("env: %q is no name", e.Key)
		}
		if strings.HasPrefix(e.Key, "CIRO_") {
			return fmt.Errorf("env: %s: names that begin with CIRO_ are the mesh's", e.Key)
		}
	}
	byKey := func(a, b Pair) int { return strings.Compare(a.Key, b.Key) }
	if !slices.IsSortedFunc(s.Env, byKey) || !slices.IsSortedFunc(s.Labels, byKey) {
		return errors.New("env, labels: must be sorted by key")
	}
	if n := len(s.Encode()); n > MaxSpecBytes {
		return fmt.Errorf("spec: %d bytes encoded are over %d; move long texts into an input file", n, MaxSpecBytes)
	}
	return nil
}

// checkElement says whether name is one plain path element.
func checkElement(name string) error {
	switch {
	case name == "" || len(name) > MaxName:
		return fmt.Errorf("need 1 to %d characters", MaxName)
	case name == "." || name == ".." || strings.ContainsAny(name, "/\\\x00"):
		return errors.New("must be a plain file name")
	}
	return nil
}

func putResources(w *codec.Writer, r Resources) {
	w.Uint(uint64(r.CPU))
	w.Uint(uint64(r.GPUs))
	w.Uint(r.Memory)
	w.Uint(r.Disk)
	w.Uint(r.GPUMem)
}

func getResources(r *codec.Reader) Resources {
	return Resources{CPU: r.Uint32(), GPUs: r.Uint32(), Memory: r.Uint(), Disk: r.Uint(), GPUMem: r.Uint()}
}

// PutResources appends r to w, for messages of other packages of the core.
func PutResources(w *codec.Writer, r Resources) { putResources(w, r) }

// GetResources reads what PutResources wrote.
func GetResources(r *codec.Reader) Resources { return getResources(r) }

// PutPairs appends a list of pairs.
func PutPairs(w *codec.Writer, ps []Pair) {
	w.Uint(uint64(len(ps)))
	for _, p := range ps {
		w.String(p.Key)
		w.String(p.Value)
	}
}

// GetPairs reads at most MaxArgs pairs.
func GetPairs(r *codec.Reader) []Pair {
	n := r.Count(MaxArgs)
	var ps []Pair
	for range n {
		ps = append(ps, Pair{Key: r.String(MaxText), Value: r.String(MaxText)})
	}
	return ps
}

// Encode returns the spec's one binary form.
func (s *Spec) Encode() []byte {
	var w codec.Writer
	w.Uint(specVersion)
	w.String(s.Name)
	w.String(s.Type)
	w.String(s.Executor)
	w.String(s.Module)
	w.Uint(s.ModuleLen)
	w.Strings(s.Args)
	PutPairs(&w, s.Env)
	w.Uint(uint64(s.Tasks))
	w.Bool(s.Gather != nil)
	if s.Gather != nil {
		w.Strings(s.Gather.Args)
		putResources(&w, s.Gather.Need)
	}
	w.Uint(uint64(len(s.Inputs)))
	for _, in := range s.Inputs {
		w.String(in.Name)
		w.String(in.CID)
		w.Uint(in.Size)
	}
	putResources(&w, s.Need)
	PutPairs(&w, s.Labels)
	w.String(s.Constraints)
	w.Int(int64(s.Policy.Timeout))
	w.Int(int64(s.Policy.Deadline))
	w.Uint(uint64(s.Policy.Retries))
	w.Uint(uint64(s.Policy.RetryOn))
	w.Bool(s.Policy.KeepGoing)
	w.Uint(uint64(s.Priority))
	w.Uint(s.PriceMax)
	w.Bool(s.Varying)
	w.String(s.Client)
	return w.Data()
}

// DecodeSpec reads and validates an encoded spec. Bytes that are not the one
// form of a valid spec are an error.
func DecodeSpec(b []byte) (*Spec, error) {
	if len(b) > MaxSpecBytes {
		return nil, fmt.Errorf("spec of %d bytes is over %d", len(b), MaxSpecBytes)
	}
	r := codec.NewReader(b)
	if v := r.Uint(); v != specVersion && r.Err() == nil {
		return nil, fmt.Errorf("spec version %d is not known here; this node speaks %d, update it", v, specVersion)
	}
	s := &Spec{
		Name: r.String(MaxName), Type: r.String(MaxName), Executor: r.String(MaxName),
		Module: r.String(MaxName), ModuleLen: r.Uint(),
		Args: r.Strings(MaxArgs, MaxText), Env: GetPairs(r), Tasks: r.Uint32(),
	}
	if r.Bool() {
		s.Gather = &Gather{Args: r.Strings(MaxArgs, MaxText), Need: getResources(r)}
	}
	for range r.Count(MaxInputs) {
		s.Inputs = append(s.Inputs, Input{Name: r.String(MaxName), CID: r.String(MaxName), Size: r.Uint()})
	}
	s.Need, s.Labels, s.Constraints = getResources(r), GetPairs(r), r.String(MaxConstraints)
	s.Policy = Policy{
		Timeout: time.Duration(r.Int()), Deadline: time.Duration(r.Int()), Retries: r.Uint32(),
	}
	on := r.Uint()
	if on > AllClasses {
		r.Fail(fmt.Errorf("retryOn: %#x names classes that are not known here", on))
	}
	s.Policy.RetryOn, s.Policy.KeepGoing = Classes(on), r.Bool()
	prio := r.Uint()
	if prio > 10 {
		r.Fail(fmt.Errorf("priority: %d is outside 1..10", prio))
	}
	s.Priority, s.PriceMax, s.Varying, s.Client = uint8(prio), r.Uint(), r.Bool(), r.String(MaxText)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	if err := s.Validate(); err != nil {
		return nil, fmt.Errorf("spec: %w", err)
	}
	return s, nil
}
