// Package store is what a node keeps on its disk: one data directory with one
// owner, a database for state whose writes are synced, and another for content.
//
// # The data directory
//
//	STARTS         how often the directory was opened
//	VERSION        format of the directory; a newer one is refused by name
//	lock           held while a ciro uses the directory; contains its pid
//	state/         pebble: Raft, genesis, reports, offers, peers (this package)
//	blobs/         pebble: content, as an IPFS datastore ([Store.Blobs])
//	cache/ tmp/    compiled modules; scratch of running tasks
//	identity.key, client.key, api.addr    other packages' files
//
// State and content are separate databases, so that a compaction of gigabytes of
// content never delays a Raft commit. [Open] takes the lock first; a second ciro on
// the directory is refused with the first one's pid. The lock is the kernel's: it
// ends with its process, however that ends.
//
// # Batches
//
// A [Batch] collects writes and commits them all or none, with one fsync. The
// node's engine steps many cores, collects what they want persisted in one
// batch, commits it, and only then lets their messages out:
//
//	b := s.NewBatch()
//	b.PutHardState(shard, hs)
//	b.PutEntries(shard, first, entries)
//	err := b.Commit(true)          // durable from here on
//
// The Put methods return nothing; the first error is kept and Commit reports it
// and writes nothing. A Batch belongs to one goroutine. Commit ends it; a batch
// that will not be committed is ended by Close. Two batches that are open at the same time must not touch
// the same shard. Everything else of a Store may be used concurrently.
//
// # Keys
//
//	r/<shard be32>/hs            encoded raftpb.HardState
//	r/<shard be32>/snap          encoded raftpb.Snapshot
//	r/<shard be32>/chunk/<be64>/<be32>  part of the state at that index
//	r/<shard be32>/log/<be64>    encoded raftpb.Entry at that index
//	r/<shard be32>/id            replica id and incarnation
//	r/<shard be32>/inv           incarnation that this node offered to a leader
//	r/<shard be32>/tomb          highest replica id that ended here
//	w/<job, task, attempt, fence>  a worker's report that is not acknowledged
//	o/<sha-256 of a key>         the offer made for an idempotency key
//	c/b/<shard be32><be64>       a batch of records; the newest are kept
//	c/a/<shard be32><be64>       a batch's anchor, until the ledger has taken it
//	c/j/<job><be64>              that the batch has records of the job
//	c/l/…                        the ledger's entries (package chain/ledger)
//	g/raw  g/secret  p/list      genesis, join secret, peers of the last run
//	g/root  g/starts             made at the first start; how often it was opened
//	s/<peer id>                  root, starts and run of another node's directory
//	g/condemned                  why it must not be used any more
//
// # Raft logs
//
// PutEntries replaces the stored log from its first index on. PutSnapshot drops
// the log up to the snapshot's index; what lies behind is kept only when the
// stored log had that very entry, same index and term. Otherwise the snapshot
// came from a leader and the rest of the log belongs to another history: a replica that kept
// it would, after a restart, compare candidates with entries it has given up.
// A snapshot names the chunks of its state by their hashes. They are written
// before it, a batch at a time, so that no commit waits for a whole state; what a
// crash leaves of an unfinished one goes with the first chunk of the next.
// A replica's id is never used again: DropReplica leaves a tombstone in the same
// write that removes the state, and PutReplica refuses ids up to it.
//
// # Damage
//
// Every value carries a CRC-32C over key and value. A value that does not match
// is a [*DamageError] that names the key and says what to do, and so is a gap in a
// log. A torn end of the write-ahead log, as a crash leaves it, is no damage:
// what was not synced was never promised.
//
// A directory that has forgotten is an [*OutdatedError]. The number of starts is
// kept twice, in the state and in the file STARTS, and counting is the first
// write of every start: a state whose newest files were deleted, or that was
// restored alone from an older copy, is behind the file. When all of the
// directory is an older copy, only others can tell; the node that is told calls
// [Store.Condemn], and no later start gets past that.
//
// The first change on the disk that fails under a database, for whatever reason,
// ends the process: Options.Fail is told a [*DiskError]. What had been
// acknowledged is there on the next start. A node watches the room that is left
// and stops before it comes to that (package node).
package store
