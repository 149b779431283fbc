// Package p2p moves bytes between the peers of one mesh. It knows nothing of
// jobs: it finds peers, keeps connections to them, and carries three kinds of
// traffic, plus (in package blobs) content-addressed files.
//
//   - [Exchange]: datagram-like messages over one long-lived stream per peer,
//     protocol and direction. For everything frequent: Raft, bookings,
//     heartbeats. Best effort, in order, never twice, never torn.
//   - [Calls]: one request and a stream of replies over a stream of its own.
//     For rare or long things: submit, watch, logs, hello.
//   - [Topic]: gossip to whoever subscribes. A hint, never the truth.
//
// # Life of a host
//
//	h, err := p2p.New(cfg)        // identity, DHT, gossip; no socket, no dial
//	x := h.Exchange(...)          // register every protocol before Run: peers
//	t, err := h.Topic(...)        // learn what we speak when they connect
//	err = h.Listen()              // binds sockets; Addrs is valid from here on
//	err = h.Run(ctx)              // discovers peers, until ctx ends
//	err = h.Close()               // in the order that leaks nothing
//
// New starts no traffic, but libp2p keeps a few goroutines from the start, so
// Close must be called even if Run never was. A Host runs once.
//
// # One network per prefix
//
// Config.Protocol is the prefix of everything: DHT, gossip protocol and topics,
// streams, Bitswap. Two networks on one machine or LAN never mix, not even when
// they are told each other's addresses: they connect, find that they share no
// protocol, and ignore each other. Prefixes separate, they do not protect; who
// may take part is decided by Config.Admit, which is asked for each stream,
// each Exchange message and each gossip hop. Only Calls registered with Open
// answer strangers (that is how a stranger asks to be admitted).
//
// # Discovery
//
// A host that is told one address finds the others through the DHT: it
// announces itself under a rendezvous key derived from the prefix, asks who else
// did, and looks up random keys, at once and fast to begin with, then with
// back-off and jitter up to a minute, until it is connected to 32 peers. Hence
// the address it was told may go away. KnownPeers is what to write down for the
// next start: the peer store itself lives in memory.
//
// # Limits
//
// libp2p's defaults are made for a public network of strangers and bite a mesh
// in one data centre or behind one NAT (eight connections per IP, 64 streams
// per protocol and peer, gossip queues of 32 that lose bursts for good). All of
// them are set here, in limits.go and gossip.go, scaled by Config.HighWater.
// Every queue and table of this package is bounded; what does not fit is
// refused or dropped and counted, never waited for.
//
// # Restarts and partitions
//
// A peer that comes back opens a new connection; what is left of its old ones is
// closed then, so that nothing is sent into a dead one for the half minute that
// QUIC needs to notice. Exchanges open their stream again by themselves, with
// back-off from 50 ms to 2 s, and drop what is queued for a peer that has been
// unreachable for a minute. Calls end with [ErrPeerSilent] after 15 s.
//
// # What it does not do
//
// A connection says little about life: a peer that dies silently is noticed by
// QUIC after about 30 s. Liveness is the caller's heartbeat. An Exchange message
// may be lost whenever a connection breaks. Gossip is not replayed.
// A host behind NAT learns its public address from four observers at least,
// unless the router maps a port (Config.NAT).
package p2p
