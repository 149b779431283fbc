package config

import "time"

// setting is one line of the table: the name, what it means, and the field.
type setting struct {
	key   string
	doc   string
	value value
}

// settings is the table of everything that can be set, bound to c's fields, in
// the order of the documentation.
func settings(c *Config) []setting {
	return append(nodeSettings(c), machineSettings(c)...)
}

func nodeSettings(c *Config) []setting {
	n, s, w := &c.Network, &c.Scheduler, &c.Scheduler.Weights
	return []setting{
		{"data_dir", "where the node keeps its identity, state and content", pathValue{&c.DataDir}},
		{"name", "shown to people; empty is the host's name", textValue{to: &c.Name, most: 64}},
		{"roles", "worker runs tasks, coordinator may lead shards; [] or none: only a client's door", listValue{to: &c.Roles, of: []string{RoleWorker, RoleCoordinator}}},

		{"network.listen", "multiaddresses; the default ports fall back to free ones", listValue{to: &n.Listen, check1: checkMultiaddr}},
		{"network.join", "MULTIADDR or MULTIADDR#SECRET of a member; empty founds a network or goes on with the stored one", joinValue{&n.Join}},
		{"network.bootstrap", "multiaddresses of further members", listValue{to: &n.Bootstrap, check1: checkMultiaddr}},
		{"network.mdns", "look for members on the local network", boolValue{&n.MDNS}},
		{"network.high_water", "connections kept before the least valued are closed", intValue{&n.HighWater, 16, 100_000}},
		{"network.name", "of a network founded here", textValue{to: &n.Name, least: 1, most: 64}},
		{"network.shards", "of a network founded here; fixed for ever", intValue{&n.Shards, 1, 1024}},
		{"network.replication", "voters per shard of a network founded here: 1, 3 or 5", intValue{&n.Replication, 1, 5}},
		{"network.open", "found a network that anyone may join who knows an address", boolValue{&n.Open}},
		{"network.admission", "which coordinators may vote in a network founded here: open (all), list (the founder's), auto (open with a secret, list without)", choiceValue{&n.Admission, []string{"auto", "open", "list"}}},

		{"scheduler.tick", "Raft tick", durationValue{&s.Tick, 10 * time.Millisecond, 10 * time.Second}},
		{"scheduler.election_ticks", "ticks without a leader before a campaign", intValue{&s.ElectionTicks, 3, 1000}},
		{"scheduler.lease", "silence after which a worker counts as gone", durationValue{&s.Lease, 2 * time.Second, time.Hour}},
		{"scheduler.booking", "how long a worker holds a place for an assignment", durationValue{&s.Booking, 100 * time.Millisecond, time.Minute}},
		{"scheduler.max_workers", "attached workers per led shard", intValue{&s.MaxWorkers, 1, 100_000}},
		{"scheduler.max_tasks", "tasks per led shard of jobs that have not ended", intValue{&s.MaxTasks, 1, 10_000_000}},
		{"scheduler.client_jobs", "jobs of one client that have not ended, per led shard; 0: no limit", intValue{&s.ClientJobs, 0, 10_000_000}},
		{"scheduler.client_tasks", "tasks of those jobs; 0: no limit", intValue{&s.ClientTasks, 0, 10_000_000}},
		{"scheduler.client_rate", "submissions of one client per second and led shard; 0: no limit", floatValue{&s.ClientRate, 0, 1e6}},
		{"scheduler.weights.free_share", "weight of what stays free on a worker", floatValue{&w.FreeShare, 0, 100}},
		{"scheduler.weights.price", "weight of a low price", floatValue{&w.Price, 0, 100}},
		{"scheduler.weights.reputation", "weight of a good record", floatValue{&w.Reputation, 0, 100}},
		{"scheduler.weights.cached", "weight of having the module already", floatValue{&w.Cached, 0, 100}},
	}
}

func machineSettings(c *Config) []setting {
	w := &c.Worker
	return []setting{
		{"worker.cpus", "cores offered; 0: all", floatValue{&w.CPUs, 0, 4096}},
		{"worker.memory", "offered; 0: three quarters of the machine's", sizeValue[uint64]{&w.Memory}},
		{"worker.disk", "for the files of running tasks; 0: half of what is free", sizeValue[uint64]{&w.Disk}},
		{"worker.slots", "tasks at the same time; 0: by the number of cores", intValue{&w.Slots, 0, 10_000}},
		{"worker.gpus", "devices offered; nothing is probed", intValue{&w.GPUs, 0, 1024}},
		{"worker.gpu_memory", "of each device", sizeValue[uint64]{&w.GPUMemory}},
		{"worker.executors", "what runs tasks", listValue{to: &w.Executors, of: []string{"wasm"}}},
		{"worker.types", "job types taken; empty: all", typesValue{&w.Types}},
		{"worker.labels", "jobs may demand them", labelsValue{&w.Labels}},
		{"worker.allow_clients", "keys of the clients whose jobs alone are taken, hexadecimal; empty: everybody's", listValue{to: &w.AllowClients, check1: checkClientKey, most: maxClients}},
		{"worker.deny_clients", "keys of clients whose jobs are not taken", listValue{to: &w.DenyClients, check1: checkClientKey, most: maxClients}},
		{"worker.price", "units per core-hour", priceValue{&w.Price}},
		{"worker.warm", "sandbox processes kept ready", intValue{&w.Warm, 0, 256}},
		{"worker.cache_bytes", "compiled modules kept", sizeValue[int64]{&w.CacheBytes}},
		{"worker.grace", "how long running tasks may finish when the node stops", durationValue{&w.Grace, 0, time.Hour}},

		{"storage.blob_quota", "content kept; 0: no limit", sizeValue[int64]{&c.Storage.BlobQuota}},
		{"storage.disk_reserve", "left free for the node's own state: with less it takes no content and no tasks, with an eighth of it it stops; 0: no watch", sizeValue[uint64]{&c.Storage.DiskReserve}},
		{"storage.retention", "how long results of ended jobs are kept", durationValue{&c.Storage.Retention, time.Minute, 10 * 365 * 24 * time.Hour}},

		{"blockchain.batch_records", "records that fill a batch for the anchor", intValue{&c.Chain.BatchRecords, 1, 16_384}},
		{"blockchain.batch_age", "how long records wait for a batch to fill", durationValue{&c.Chain.BatchAge, 100 * time.Millisecond, time.Hour}},
		{"blockchain.keep_batches", "newest batches kept per shard for proofs; the ledger itself is kept for ever", intValue{&c.Chain.KeepBatches, 16, 1_000_000}},

		{"api.listen", "host:port of the local HTTP interface; the default port falls back to a free one", listValue{to: &c.API.Listen}},
		{"api.token", "bearer token; needed when a listener is not loopback", textValue{to: &c.API.Token, most: 256}},
		{"api.allowed_hosts", "Host headers taken beside the listeners' own", listValue{to: &c.API.AllowedHosts}},
		{"metrics.enabled", "serve /metrics", boolValue{&c.Metrics.Enabled}},
		{"logging.level", "debug, info, warn or error", choiceValue{&c.Logging.Level, []string{"debug", "info", "warn", "error"}}},
		{"logging.format", "text or json", choiceValue{&c.Logging.Format, []string{"text", "json"}}},
	}
}
