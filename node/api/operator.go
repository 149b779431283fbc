package api

import "context"

// Offering is what a worker offers; an empty field of a change leaves what is
// offered as it is.
type Offering struct {
	CPUs      *float64           `json:"cpus,omitempty" minimum:"0" maximum:"4096" doc:"Cores; 0: all of the machine's"`
	Memory    *int64             `json:"memory,omitempty" minimum:"0" doc:"Bytes; 0: three quarters of the machine's"`
	Disk      *int64             `json:"disk,omitempty" minimum:"0" doc:"Bytes for the files of running tasks; 0: half of what is free"`
	Slots     *int               `json:"slots,omitempty" minimum:"0" maximum:"10000" doc:"Tasks at the same time; 0: by the number of cores"`
	GPUs      *int               `json:"gpus,omitempty" minimum:"0" maximum:"1024" doc:"Devices"`
	GPUMemory *int64             `json:"gpuMemory,omitempty" minimum:"0" doc:"Bytes of each device"`
	Types     *[]string          `json:"types,omitempty" maxItems:"64" doc:"Job types taken; empty: all"`
	Labels    *map[string]string `json:"labels,omitempty" doc:"Labels that jobs may demand"`
	Price     *float64           `json:"price,omitempty" minimum:"0" doc:"Units per core-hour"`
	Allow     *[]string          `json:"allow,omitempty" maxItems:"64" doc:"Client keys (hexadecimal) whose jobs alone are taken; empty: everybody's"`
	Deny      *[]string          `json:"deny,omitempty" maxItems:"64" doc:"Client keys (hexadecimal) whose jobs are not taken"`
}

// BlobUsage is what content takes on this node.
type BlobUsage struct {
	Bytes  int64 `json:"bytes" doc:"Stored"`
	Blocks int64 `json:"blocks" doc:"Number of blocks"`
	Quota  int64 `json:"quota,omitempty" doc:"Bytes allowed; 0 is no limit"`
	Pins   int   `json:"pins" doc:"Contents that are kept for jobs"`
	Freed  int64 `json:"freed,omitempty" doc:"Bytes that a collection has just freed"`
}

// Operator is what the owner of this node may do with it. Everything concerns
// the answering node alone.
type Operator interface {
	// Drain begins (on) or ends draining: what runs goes on, nothing new is
	// taken, also after a restart. CodeConflict on a node that is no worker.
	Drain(ctx context.Context, on bool) (Worker, error)
	// Offer changes what this worker offers, durably; a nil change goes back to
	// the configuration.
	Offer(ctx context.Context, change *Offering) (Worker, error)
	// Usage counts stored content; with collect it first removes what no job
	// needs.
	Usage(ctx context.Context, collect bool) (BlobUsage, error)
}
