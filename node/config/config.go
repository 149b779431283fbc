package config

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Roles a node may have.
const (
	RoleWorker      = "worker"
	RoleCoordinator = "coordinator"
)

// DefaultProfile is the profile when nobody chooses one.
const DefaultProfile = "development"

// Config is everything a node can be told. A Config is a value; copies share the
// lists and maps, which nobody changes after Load.
type Config struct {
	Profile string   // development, staging, production or test
	DataDir string   // absolute, or relative to the working directory
	Name    string   // shown to people beside the peer id; "" is the host's name
	Roles   []string // worker, coordinator; empty: none, only a client's door

	Network   Network
	Scheduler Scheduler
	Worker    Worker
	Storage   Storage
	Chain     Chain
	API       API
	Metrics   Metrics
	Logging   Logging

	given map[string]bool
}

// Network is how this node meets others, and what it founds if it has to.
type Network struct {
	Listen    []string // multiaddresses
	Join      string   // MULTIADDR or MULTIADDR#SECRET of a member; "" founds a network or goes on with the stored one
	Bootstrap []string // further members' multiaddresses
	MDNS      bool     // look for members on the local network
	HighWater int      // connections kept before the least valued are closed

	Name        string // of a network founded here
	Shards      int    // of a network founded here: 1..1024
	Replication int    // voters per shard of a network founded here: 1, 3 or 5
	Open        bool   // found a network without a join secret
	Admission   string // of a network founded here: auto, open or list
}

// Scheduler is how this node coordinates.
type Scheduler struct {
	Tick          time.Duration // Raft tick
	ElectionTicks int           // ticks without a leader before a campaign
	Lease         time.Duration // silence after which a worker counts as gone
	Booking       time.Duration // how long a worker holds a place for an assignment
	MaxWorkers    int           // attached workers per led shard
	MaxTasks      int           // tasks per led shard of jobs that have not ended
	ClientJobs    int           // per led shard and client key, of those that have not ended; 0: no limit
	ClientTasks   int           // of those jobs; 0: no limit
	ClientRate    float64       // submissions per second, led shard and client key; 0: no limit
	Weights       Weights
}

// Weights rank the workers that can run a task; each 0..100.
type Weights struct{ FreeShare, Price, Reputation, Cached float64 }

// Worker is what this node offers. Zero means: all, or a share of, what the
// machine has.
type Worker struct {
	CPUs       float64           // cores; 0: all
	Memory     uint64            // bytes; 0: three quarters
	Disk       uint64            // bytes of all running tasks' files; 0: half of what is free
	Slots      int               // tasks at the same time; 0: by the number of cores
	GPUs       int               // devices, as their owner says; nothing is probed
	GPUMemory  uint64            // bytes of each device
	Executors  []string          // wasm
	Types      []string          // canonical job types taken; empty: all
	Labels     map[string]string // jobs may demand them
	Price      uint64            // micro-units per core-hour
	Warm       int               // sandbox processes kept ready
	CacheBytes int64             // bytes of compiled modules kept
	Grace      time.Duration     // how long running tasks may finish when the node stops

	AllowClients []string // keys of the clients whose jobs alone are taken, hexadecimal; empty: everybody's
	DenyClients  []string // keys of clients whose jobs are not taken
}

// Chain is how the records of this node's shards are batched and anchored.
type Chain struct {
	BatchRecords int           // records that fill a batch
	BatchAge     time.Duration // how long records wait for a batch to fill
	KeepBatches  int           // batches kept per shard for proofs; ledger entries are kept for ever
}

// Storage bounds what is kept on disk.
type Storage struct {
	BlobQuota int64 // bytes of content; 0: no limit
	// DiskReserve is how many bytes content and tasks leave free on the disk for
	// the node's own state; below an eighth of it the node stops. 0: no watch.
	DiskReserve uint64
	Retention   time.Duration // how long results of ended jobs are kept
}

// API is the local HTTP interface.
type API struct {
	Listen       []string // host:port
	Token        string   // bearer token; needed when a listener is not loopback
	AllowedHosts []string // Host headers taken beside the listeners' own
}

// Metrics is the Prometheus endpoint.
type Metrics struct{ Enabled bool }

// Logging is what the node writes to its standard error.
type Logging struct {
	Level  string // debug, info, warn or error
	Format string // text or json
}

// Profiles returns the known profiles.
func Profiles() []string { return []string{"development", "staging", "production", "test"} }

// Default returns the defaults with a profile's differences. An unknown profile
// gives the plain defaults, and Validate refuses them by name.
func Default(profile string) Config {
	c := Config{
		Profile: profile, DataDir: expandHome("~/.ciro"), Roles: []string{RoleWorker, RoleCoordinator},
		Network: Network{
			Listen: []string{"/ip4/0.0.0.0/tcp/4001", "/ip4/0.0.0.0/udp/4001/quic-v1"}, MDNS: true, HighWater: 400,
			Name: "ciro", Shards: 16, Replication: 3, Admission: "auto",
		},
		Scheduler: Scheduler{
			Tick: 100 * time.Millisecond, ElectionTicks: 10, Lease: 4 * time.Second, Booking: 2 * time.Second, MaxWorkers: 1000,
			MaxTasks: 100_000, ClientJobs: 10_000, ClientTasks: 50_000, ClientRate: 500,
			Weights: Weights{FreeShare: 1, Price: 0.5, Reputation: 1, Cached: 0.5},
		},
		Worker:  Worker{Executors: []string{"wasm"}, Warm: 2, CacheBytes: 1 << 30, Grace: 20 * time.Second},
		Storage: Storage{BlobQuota: 20 << 30, DiskReserve: 256 << 20, Retention: 7 * 24 * time.Hour},
		Chain:   Chain{BatchRecords: 1024, BatchAge: 10 * time.Second, KeepBatches: 1024},
		API:     API{Listen: []string{"127.0.0.1:8080"}},
		Metrics: Metrics{Enabled: true}, Logging: Logging{Level: "info", Format: "text"},
	}
	switch profile {
	case "staging":
		c.Logging.Format = "json"
	case "production":
		c.Logging.Format, c.Network.MDNS, c.Network.HighWater, c.Worker.Warm = "json", false, 1000, 4
		c.Storage.BlobQuota = 100 << 30
	case "test":
		c.Network.Listen, c.Network.MDNS = []string{"/ip4/127.0.0.1/tcp/0"}, false
		c.API.Listen, c.Logging.Level = []string{"127.0.0.1:0"}, "debug"
		c.Worker.Grace, c.Storage.BlobQuota = 2*time.Second, 1<<30
	}
	return c
}

// Given says whether a setting, named as in "api.listen", came from a file, the
// environment or a flag rather than from the defaults or a profile.
func (c Config) Given(key string) bool { return c.given[key] }

// WithGiven returns a copy that counts the keys as given, for a Config that is
// put together by a program.
func (c Config) WithGiven(keys ...string) Config {
	c.given = maps.Clone(c.given)
	if c.given == nil {
		c.given = make(map[string]bool, len(keys))
	}
	for _, k := range keys {
		c.given[k] = true
	}
	return c
}

// Validate checks every setting; the error names the setting, its value and
// what it may be.
func (c Config) Validate() error {
	if !slices.Contains(Profiles(), c.Profile) {
		return fmt.Errorf("profile: %q is none of %s", c.Profile, strings.Join(Profiles(), ", "))
	}
	for _, s := range settings(&c) {
		if err := s.value.check(); err != nil {
			return fmt.Errorf("%s: %w", s.key, err)
		}
	}
	if c.DataDir == "" {
		return errors.New("data_dir: is empty; name a directory")
	}
	if c.Network.Replication%2 == 0 {
		return fmt.Errorf("network.replication: %d is even; use 1, 3 or 5", c.Network.Replication)
	}
	if c.Scheduler.Lease < 2*time.Second || c.Scheduler.Booking >= c.Scheduler.Lease {
		return fmt.Errorf("scheduler.lease: %v must be at least 2s and longer than scheduler.booking, %v", c.Scheduler.Lease, c.Scheduler.Booking)
	}
	return c.validateAPI()
}

// Validate checks what a worker offers, as Config.Validate does.
func (w Worker) Validate() error {
	for _, s := range machineSettings(&Config{Worker: w}) {
		if !strings.HasPrefix(s.key, "worker.") {
			continue
		}
		if err := s.value.check(); err != nil {
			return fmt.Errorf("%s: %w", s.key, err)
		}
	}
	return nil
}

// validateAPI demands a token for whoever can be reached from outside.
func (c Config) validateAPI() error {
	if len(c.API.Listen) == 0 {
		return errors.New("api.listen: is empty; the command line needs one, as in 127.0.0.1:8080")
	}
	for _, l := range c.API.Listen {
		host, _, err := net.SplitHostPort(l)
		if err != nil {
			return fmt.Errorf("api.listen: %q is no host:port: %w", l, err)
		}
		ip := net.ParseIP(host)
		if host != "localhost" && (ip == nil || !ip.IsLoopback()) && c.API.Token == "" {
			return fmt.Errorf("api.listen: %s can be reached from other machines; set api.token, or listen on 127.0.0.1", l)
		}
	}
	return nil
}

// expandHome replaces a leading ~ by the home directory, where there is one.
func expandHome(path string) string {
	rest, ok := strings.CutPrefix(path, "~")
	if !ok || (rest != "" && rest[0] != '/' && rest[0] != filepath.Separator) {
		return path
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(".", rest)
	}
	return filepath.Join(home, rest)
}
