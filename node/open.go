package node

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/store"
	"github.com/ciro-network/ciro/p2p"
	"github.com/ciro-network/ciro/p2p/blobs"
	"github.com/ciro-network/ciro/scheduler/match"
	"github.com/ciro-network/ciro/scheduler/placement"
	"github.com/ciro-network/ciro/scheduler/shard"
)

func (n *Node) has(role string) bool { return slices.Contains(n.cfg.Roles, role) }

func (n *Node) openStore(context.Context) error {
	n.disk = &disk{dir: n.cfg.DataDir, reserve: n.cfg.Storage.DiskReserve, free: n.parts.FreeDisk}
	if err := os.MkdirAll(n.cfg.DataDir, 0o700); err != nil {
		return fmt.Errorf("make the data directory: %w", err)
	}
	if err := n.disk.full(); err != nil {
		return err
	}
	n.disk.look()
	st, err := store.Open(n.cfg.DataDir, store.Options{Log: n.log, Fail: n.parts.Fail})
	if err != nil {
		return err
	}
	n.store = st
	if n.key, err = p2p.LoadOrCreateIdentity(filepath.Join(n.cfg.DataDir, identityFile)); err != nil {
		return err
	}
	client, err := p2p.LoadOrCreateIdentity(filepath.Join(n.cfg.DataDir, clientFile))
	if err != nil {
		return fmt.Errorf("client key: %w", err)
	}
	raw, err := client.Raw()
	if err != nil {
		return fmt.Errorf("client key: %w", err)
	}
	n.client = ed25519.PrivateKey(raw)
	id, err := peer.IDFromPrivateKey(n.key)
	if err != nil {
		return fmt.Errorf("identity: %w", err)
	}
	n.self = id.String()
	return os.RemoveAll(n.scratch()) // what a killed process left
}

func (n *Node) scratch() string { return filepath.Join(n.cfg.DataDir, "tmp") }

// openNetwork takes the stored network, or joins or founds one.
func (n *Node) openNetwork(ctx context.Context) error {
	raw, secret, ok, err := n.store.Genesis()
	if err != nil {
		return err
	}
	if !ok {
		return n.enterNetwork(ctx)
	}
	if n.net, err = newNetwork(raw, secret); err != nil {
		return fmt.Errorf("stored network: %w", err)
	}
	if n.cfg.Network.Join == "" {
		return nil
	}
	// Already a member: the address is one more to dial, if it is ours.
	info, given, err := splitJoin(n.cfg.Network.Join)
	if err != nil {
		return err
	}
	other, err := n.fetchGenesis(ctx, info, cmp.Or(given, secret))
	switch {
	case err != nil:
		n.log.Warn("the join address does not answer; starting with the peers known before", "address", info, "error", err)
	case other.id != n.net.id:
		return fmt.Errorf("%s belongs to network %s, but this data directory to %s; use another --data-dir to join that network", info.ID, other, n.net)
	}
	return nil
}

func (n *Node) enterNetwork(ctx context.Context) error {
	if n.cfg.Network.Join != "" {
		info, secret, err := splitJoin(n.cfg.Network.Join)
		if err != nil {
			return err
		}
		if n.net, err = n.fetchGenesis(ctx, info, secret); err != nil {
			return fmt.Errorf("join %s: %w", info.ID, err)
		}
		return n.store.PutGenesis(n.net.raw, n.net.secret, nil)
	}
	if !n.has(roleCoordinator) {
		return errors.New("there is no network in this data directory, and a node without the coordinator role cannot found one; name a member with --join ADDRESS")
	}
	secret := ""
	if !n.cfg.Network.Open {
		s, err := newSecret()
		if err != nil {
			return err
		}
		secret = s
	}
	var err error
	n.net, err = foundNetwork(n.cfg.Network, n.self, secret)
	if err != nil {
		return err
	}
	return n.store.PutGenesis(n.net.raw, n.net.secret, n.foundShards)
}

// foundShards bootstraps every shard in the same write as the genesis.
func (n *Node) foundShards(b *store.Batch) error {
	for id := range n.net.gen.Shards {
		inc, err := randomID()
		if err != nil {
			return err
		}
		b.PutReplica(id, 1, inc)
		p := shard.Found(n.self, inc)
		for _, c := range p.Chunks {
			b.PutChunk(id, c.Index, c.N, c.Data)
		}
		b.PutSnapshot(id, p.SnapshotIndex, p.Snapshot)
	}
	return nil
}

func randomID() (uint64, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return 0, fmt.Errorf("read randomness: %w", err)
	}
	return binary.BigEndian.Uint64(b[:]) | 1, nil
}

func (n *Node) openHost(ctx context.Context) error {
	n.dir = newDirectory(n.net.gen.Shards)
	var err error
	if n.ages, err = newAges(n.store); err != nil {
		return err
	}
	if err := n.openAdmission(); err != nil {
		return err
	}
	n.hub = newHub()
	known, err := n.knownPeers()
	if err != nil {
		return err
	}
	cfg := p2p.Config{
		Key: n.key, Protocol: n.net.prefix(), Listen: n.cfg.Network.Listen, FallbackPorts: !n.cfg.Given("network.listen"),
		Bootstrap: known, Datastore: n.store.Blobs(), MDNS: n.cfg.Network.MDNS, Admit: n.dir.admitted,
		HighWater: n.cfg.Network.HighWater, Registerer: n.reg, Log: n.log,
	}
	n.parts.P2P(&cfg)
	n.host, err = p2p.New(cfg)
	if err != nil {
		return err
	}
	n.host.OnPeer(n.onPeer)
	if err := n.serveGenesis(); err != nil {
		return err
	}
	n.links = newLinks(n)
	if n.gossip, err = newGossip(n); err != nil {
		return err
	}
	n.blobs, err = blobs.NewBlobs(n.host, n.store.Blobs(), blobs.BlobsConfig{Quota: n.cfg.Storage.BlobQuota, Room: n.disk.room, Log: n.log})
	if err != nil {
		return err
	}
	return n.host.Listen()
}

// knownPeers are the addresses to dial at first: those of the configuration and
// those stored by the last run.
func (n *Node) knownPeers() ([]peer.AddrInfo, error) {
	out := n.store.Peers()
	for _, s := range append(slices.Clone(n.cfg.Network.Bootstrap), n.cfg.Network.Join) {
		if s == "" {
			continue
		}
		info, _, err := splitJoin(s)
		if err != nil {
			return nil, err
		}
		out = append(out, *info)
	}
	return out, nil
}

func (n *Node) openCores(context.Context) error {
	n.engine = newEngine(n.self, n.store, n, n.log)
	n.engine.wall = n.wall
	n.chain = newLedgers(n)
	stored, err := n.store.LoadReplicas()
	if err != nil {
		return err
	}
	for _, d := range stored {
		if err := n.engine.restore(n, d); err != nil {
			return err
		}
	}
	if n.has(roleWorker) {
		if n.runner, err = newRunner(n); err != nil {
			return err
		}
		n.serves = placement.Attach(n.net.String(), n.self, n.net.gen.Shards)
		slices.Sort(n.serves)
		n.engine.worker, err = n.restoreWorker()
	}
	return err
}

// params are the shard parameters of this network and configuration.
func (n *Node) params() shard.Params {
	s := n.cfg.Scheduler
	return shard.Params{
		CutCount: n.cfg.Chain.BatchRecords, CutAge: n.cfg.Chain.BatchAge,
		Weights: match.Weights(s.Weights), TickEvery: s.Tick, ElectionTicks: s.ElectionTicks, Lease: s.Lease, MaxWorkers: s.MaxWorkers,
		MaxTasks: s.MaxTasks, Client: shard.Limits{Jobs: s.ClientJobs, Tasks: s.ClientTasks, Rate: s.ClientRate},
		Replication: int(n.net.gen.Replication), Seed: binary.BigEndian.Uint64(n.net.id[:8]) ^ uint64(time.Now().UnixNano()),
	}
}

func (n *Node) openAPI(context.Context) error {
	if len(n.cfg.API.Listen) == 0 {
		return nil
	}
	var shown prometheus.Gatherer // of /metrics; nil is an empty page
	if n.cfg.Metrics.Enabled {
		shown = n.reg
	}
	n.reg.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newMetrics(n))
	a := &adapter{n: n}
	srv, err := api.New(api.Config{
		Jobs: a, Logs: a, Blobs: a, Mesh: a, Operator: a, Network: a, Advice: a, Rounds: a, Chain: a, Listen: n.cfg.API.Listen, FallbackPort: !n.cfg.Given("api.listen"),
		Token: n.cfg.API.Token, AllowedHosts: n.cfg.API.AllowedHosts, Gatherer: shown, Log: n.log, Version: n.parts.Version,
	})
	if err != nil {
		return err
	}
	if err := srv.Listen(); err != nil {
		return err
	}
	n.api = srv
	return os.WriteFile(filepath.Join(n.cfg.DataDir, "api.addr"), []byte(srv.Addr()+"\n"), 0o644)
}
