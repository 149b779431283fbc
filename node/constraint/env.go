package constraint

import (
	"math"

	"github.com/ciro-network/ciro/scheduler/work"
)

// env is a worker as expressions see it; names are the tags.
type env struct {
	CPU       float64           `expr:"cpu"`
	Memory    int               `expr:"memory"`
	Disk      int               `expr:"disk"`
	GPU       gpu               `expr:"gpu"`
	Labels    map[string]string `expr:"labels"`
	OS        string            `expr:"os"`
	Arch      string            `expr:"arch"`
	Region    string            `expr:"region"`
	Country   string            `expr:"country"`
	Name      string            `expr:"name"`
	Peer      string            `expr:"peer"`
	Version   string            `expr:"version"`
	Price     float64           `expr:"price"`
	Slots     int               `expr:"slots"`
	Executors []string          `expr:"executors"`
	Types     []string          `expr:"types"`
	Units
}

type gpu struct {
	Count  int    `expr:"count"`
	Memory int    `expr:"memory"`
	Model  string `expr:"model"`
}

// Units are the sizes that expressions may name.
type Units struct {
	KiB int `expr:"KiB"`
	MiB int `expr:"MiB"`
	GiB int `expr:"GiB"`
	TiB int `expr:"TiB"`
	KB  int `expr:"kB"`
	MB  int `expr:"MB"`
	GB  int `expr:"GB"`
	TB  int `expr:"TB"`
}

var units = Units{KiB: 1 << 10, MiB: 1 << 20, GiB: 1 << 30, TiB: 1 << 40, KB: 1e3, MB: 1e6, GB: 1e9, TB: 1e12}

// names are the tags of env in the order of the documentation.
var names = []string{"cpu", "memory", "disk", "gpu", "labels", "os", "arch", "region", "country", "name", "peer", "version", "price", "slots",
	"executors", "types", "KiB", "MiB", "GiB", "TiB", "kB", "MB", "GB", "TB"}

var gpuNames = []string{"count", "memory", "model"}

// fill makes env that of a worker.
func (e *env) fill(peer string, c *work.Capability) {
	labels := make(map[string]string, len(c.Labels))
	for _, p := range c.Labels {
		labels[p.Key] = p.Value
	}
	t := &c.Total
	*e = env{
		CPU: float64(t.CPU) / 1000, Memory: whole(t.Memory), Disk: whole(t.Disk),
		GPU:    gpu{Count: int(t.GPUs), Memory: whole(t.GPUMem), Model: labels["gpu.model"]},
		Labels: labels, OS: labels["os"], Arch: labels["arch"], Region: labels["region"], Country: labels["country"], Name: labels["name"],
		Peer: peer, Version: c.Version, Price: float64(c.Price) / 1e6, Slots: int(c.Slots), Executors: c.Executors, Types: c.Types, Units: units,
	}
}

func whole(v uint64) int { return int(min(v, math.MaxInt64)) }
