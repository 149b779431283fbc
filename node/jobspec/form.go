package jobspec

import (
	"encoding/json"
	"fmt"

	"github.com/ciro-network/ciro/scheduler/job"
)

// The JSON form, in the order of the documentation. Sizes are bytes, durations
// text, cpu and price decimal numbers.
type (
	formGPU struct {
		Count  uint32 `json:"count"`
		Memory uint64 `json:"memory,omitempty"`
	}
	formResources struct {
		CPU    json.Number `json:"cpu"`
		Memory uint64      `json:"memory"`
		Disk   uint64      `json:"disk"`
		GPU    *formGPU    `json:"gpu,omitempty"`
	}
	formGather struct {
		Args      []string       `json:"args,omitempty"`
		Resources *formResources `json:"resources,omitempty"`
	}
	formInput struct {
		Name string  `json:"name"`
		Path string  `json:"path,omitempty"`
		CID  string  `json:"cid,omitempty"`
		Text *string `json:"text,omitempty"`
		Size uint64  `json:"size,omitempty"`
	}
	formPrice struct {
		Max json.Number `json:"max"`
	}
	formRules struct {
		Timeout       string     `json:"timeout"`
		Deadline      string     `json:"deadline,omitempty"`
		Retries       uint32     `json:"retries"`
		RetryOn       []string   `json:"retryOn"`
		FailFast      bool       `json:"failFast"`
		Deterministic bool       `json:"deterministic"`
		Priority      uint8      `json:"priority"`
		Price         *formPrice `json:"price,omitempty"`
		Client        string     `json:"client_address,omitempty"`
	}
	form struct {
		Name        string            `json:"name"`
		Type        string            `json:"type"`
		Executor    string            `json:"executor"`
		Module      string            `json:"module"`
		ModuleSize  uint64            `json:"moduleSize,omitempty"`
		Args        []string          `json:"args,omitempty"`
		Env         map[string]string `json:"env,omitempty"`
		Tasks       uint32            `json:"tasks"`
		Gather      *formGather       `json:"gather,omitempty"`
		Inputs      []formInput       `json:"inputs,omitempty"`
		Resources   *formResources    `json:"resources"`
		Labels      map[string]string `json:"labels,omitempty"`
		Constraints string            `json:"constraints,omitempty"`
		formRules
	}
)

// JSON returns the document in its canonical JSON form, defaults written out,
// in the schema that Parse reads. Content that is not stored yet stays what it
// was, path or text.
func (d *Document) JSON() []byte {
	s := &d.spec
	f := form{
		Name: s.Name, Type: s.Type, Executor: s.Executor, Module: s.Module, ModuleSize: s.ModuleLen,
		Args: s.Args, Env: asMap(s.Env), Tasks: s.Tasks, Resources: formOf(s.Need), Labels: asMap(s.Labels), Constraints: s.Constraints,
		formRules: formRules{
			Timeout: s.Policy.Timeout.String(), Retries: s.Policy.Retries, RetryOn: s.Policy.RetryOn.Names(),
			FailFast: !s.Policy.KeepGoing, Deterministic: !s.Varying, Priority: s.Priority, Client: s.Client,
		},
	}
	if f.Module == "" {
		f.Module = d.module
	}
	if s.Policy.Deadline > 0 {
		f.Deadline = s.Policy.Deadline.String()
	}
	if s.PriceMax > 0 {
		f.Price = &formPrice{Max: json.Number(FormatPrice(s.PriceMax))}
	}
	if s.Gather != nil {
		f.Gather = &formGather{Args: s.Gather.Args}
		if s.Gather.Need != (job.Resources{}) {
			f.Gather.Resources = formOf(s.Gather.Need)
		}
	}
	for i, in := range s.Inputs {
		fi := formInput{Name: in.Name, CID: in.CID, Size: in.Size, Path: d.sources[i].path}
		if d.sources[i].inline {
			fi.Text = &d.sources[i].text
		}
		f.Inputs = append(f.Inputs, fi)
	}
	out, err := json.MarshalIndent(f, "", "  ")
	if err != nil { // no type in form can fail
		panic(fmt.Sprintf("jobspec: %v", err))
	}
	return append(out, '\n')
}

func formOf(r job.Resources) *formResources {
	f := &formResources{CPU: json.Number(formatDecimal(uint64(r.CPU), 3)), Memory: r.Memory, Disk: r.Disk}
	if r.GPUs > 0 || r.GPUMem > 0 {
		f.GPU = &formGPU{Count: r.GPUs, Memory: r.GPUMem}
	}
	return f
}

func asMap(pairs []job.Pair) map[string]string {
	if len(pairs) == 0 {
		return nil
	}
	m := make(map[string]string, len(pairs))
	for _, p := range pairs {
		m[p.Key] = p.Value
	}
	return m
}
