// Package node is the shell around the core and the only composition root: it
// owns the sockets, the disk, the clock and the goroutines, and gives the values
// of package scheduler their events.
//
// # Parts
//
// The engine is one goroutine that steps all cores of the node: the replicas of
// its shards and its worker. Inputs arrive in one bounded queue; what must be
// durable is written once per batch, with one fsync for all shards, before any
// message, answer or event of that batch leaves. Cores of the same node talk to
// each other inside the engine, again durably first.
//
// The links carry messages between engines over long-lived streams (raft, work,
// group). They are lossy by contract: the cores repeat. The job protocol carries
// requests of any node to a shard's leader, with streams of replies for watching
// and logs.
//
// A snapshot's chunks are fetched one at a time over calls of their own and are
// served from disk, past the engine.
//
// The directory is hearsay about who belongs and who leads which shard, from
// hello, gossip and redirects. A stale entry costs a redirect, nothing else.
//
// The runner executes attempts: it fetches module and inputs by CID, runs the
// executor, stores outputs, has them held by a second node, and only then tells
// the worker core that the attempt has ended.
//
// # Belonging
//
// Two connected nodes first say hello: network, roles, and, in a closed network,
// a proof that they know the join secret, bound to both peer ids. Whoever does
// not is disconnected; until then no other stream or gossip of it is accepted.
//
// Which members may hold replicas is decided by the genesis (Genesis.admission):
// open, or a list that the founder signs and that travels with every hello. The
// node offers to its leaders, as candidates, only coordinators that are connected,
// admitted, and whose clock is within ten seconds of the median of all it knows;
// a node that finds its own clock outside neither campaigns nor keeps a leadership,
// and says so in its log and in /health. Clocks are compared by hello: again when
// one was set, which its node sees against the monotonic clock, and every five
// minutes.
// A node that leaves for good says so in its hello; leaders then replace its
// replicas or shrink their groups.
//
// # Recovery
//
// A shard that lost a majority of its voters is begun anew on an operator's
// word alone. The node that is asked surveys all coordinators, refuses while a
// leader is known or a majority of the voters answers, chooses the replica that
// knows most, and has its node begin (package scheduler/shard, Recover) in one
// durable write.
//
// # Offers
//
// The daemon signs offers of those who use its API with a client key of its own.
// An offer is sent to the shard's leader and gossiped in the shard's topic, with
// back-off, until it is accepted; both arriving is normal, since a job's id is a
// hash of its offer. Before a leader lets an offer into its log it holds module
// and inputs itself and knows a second node that does.
//
// # Ledgers
//
// What the shards' logs cut into batches (package scheduler/shard) is stored by
// the engine in the same write as the log. A goroutine of its own computes the
// batches' Merkle roots, appends to the shards' ledgers (package chain/ledger) and
// compares what leaders anchored with it, and what is on disk with what the log
// names; a difference is an error in the log, a failing check in /health and a
// metric, and nothing is anchored on top of it: another voter has to lead. Where this node leads, it has the oldest
// batch anchored and signs for it. A voter that joined by a snapshot fetches older
// entries and batches from other voters, as does one that has lost some, so that a proof survives every node that
// had a part in it. The newest blockchain.keep_batches batches of a shard are kept
// for proofs, ledger entries for ever: about 500 bytes per batch.
//
// # Stopping
//
// When the context of Run ends, the worker takes nothing more, attempts get a
// grace time and are then handed back, leaderships are transferred, and the data
// directory is closed last. SIGKILL at any moment is as good: identity, genesis,
// logs, reports and blobs come back from disk.
//
// # Want of room
//
// A log that cannot be written ends the process, so the node watches the room on
// its data directory's disk once a second. Below storage.disk_reserve it takes
// neither content nor tasks, gives the shards that it leads to others and says so
// in /health; a quarter above it, it is as before. Below an eighth of the reserve
// it hands over, stops with a [DiskFullError], and does not start again until
// there is room. Where a write fails nevertheless, [Parts].Fail ends the process
// with the cause; what was acknowledged is there on the next start.
package node
