// Package shard is one replica of one shard: a Raft group's member, the job
// state that its log makes, and, while it leads, the leader's duties: taking
// offers, giving queued tasks to workers, judging leases and reports, and
// keeping the group at its size. It is a value without goroutine, clock, disk
// or socket.
//
// # Stepping
//
// The owner calls Step with the time and one event and performs the returned
// actions in their order. A Persist action must be on disk (synced) before any
// later action of the same list is performed; the owner may batch the Persist
// actions of many replicas into one write, as long as that write comes before
// all their other actions. A replica assumes that the actions of a Step are
// performed before its next Step; an owner that cannot persist stops the
// replica for good. This is etcd/raft's Ready contract with the waiting moved to
// the owner: everything that a Step computed vanishes with the process unless it
// was persisted, and nothing of it was visible before. Each batch costs one
// fsync, whatever the number of shards and commands in it.
//
// Wake says when the next Step is wanted at the latest; Step with Tick. At most
// one Raft tick happens per Step however late it comes, so that a process that
// was paused does not depose itself or anybody else on waking.
//
// # Contradictions
//
// A message or a committed entry that can never be (its bytes are no command, a
// change of the group is impossible) stops this one replica, which says [Broken]
// and does nothing any more; nothing of that Step leaves it. Only members can
// bring that about. What a node that is no member claims to have committed is
// passed by.
//
// # Leadership
//
// A replica acts as leader only after an entry of its own term is applied
// (ready). On gaining or losing leadership all bookings, in-flight proposals and
// waiting clients are dropped and decided again from applied state: clients hear
// "unavailable", which means unknown, and repeat with the same id. Proposals are
// conditional commands (package job), so one that is committed by a later leader
// is either still right or a no-op.
//
// # Assigning
//
// Eligible tasks in queue order are matched with attached workers, booked at
// the worker, committed, and only then sent. Bookings and workers are soft
// state of the leader; a new leader learns them from the workers' Attach
// messages. A worker's silence is counted from the last time that the leader was
// itself stepping without a gap of more than a second: a gap renews all leases.
//
// A task that fits nowhere is overtaken by others that do. When none of its kind
// was assigned for Params.Reserve, the leader keeps the worker for it where it
// will fit soonest (match.Hold); there are at most 16 such reservations, and they
// end with the leadership. Shards do not know of each other's: a worker that many
// shards share is kept free of this shard's tasks only, and the turns that the
// worker gives the leaders that it has refused do the rest. The leader that had a
// place is the first to hear that it is free, so a leader to which all workers
// look full for Params.Turn asks some of them all the same: whom a worker refuses
// for want of room hears first of the next place. A refused booking costs a round
// trip, no attempt and no log entry.
//
// # Limits
//
// A submission is refused, with a stable code, when the shard has as many
// unfinished tasks as it takes or its state is full, or too many requests wait
// ("busy"), when its client has as much under way as it may ("client_limit"), or
// submits too fast ("client_rate"). Repeating an offer that was accepted is never
// refused. The limits are the leader's, not the log's: they may differ between
// nodes and be changed at any time.
//
// # Group
//
// Replica ids count up and are never used again; (id, incarnation) names a
// replica, and the incarnation is made by the node that is asked. The leader
// probes a candidate, commits it as a learner, invites it under the committed
// id, and promotes learners when the result has an odd number of voters: one
// voter while there are one or two coordinators, then three (five where the
// network asks for five). A voter is replaced after the leader has not heard it
// for DeadAfter and a caught-up learner is there; silence alone never shrinks a
// group. A replica that lost its state refuses the old incarnation's messages
// and is replaced under a new id.
//
// # Batches for the anchor
//
// The leader orders a batch of the state's records (package job) when CutCount of
// them are open, when some have been open for CutAge, and when the group's
// members changed: a new member is named by a batch before it can lead. Every
// replica hands each batch to its owner (Cut), who keeps it, computes its root
// and, at the leader, has it anchored and says so (Confirm); the leader then puts
// the anchor into the log (Anchored), which lets the records leave the state. A
// leader that dies in between loses nothing: its successor finds the batch in the
// state and begins with the anchor again, which takes a batch twice for once.
//
// A whole group moves towards the nodes that should hold it by rendezvous order,
// one replica in DriftAfter. A leader gives the leadership only to a voter that
// has replied just now. What a leader that died has left half done its successor
// finds in the configuration: a learner that is caught up becomes a voter where
// one is missing, takes the place of one on a worse node, or goes.
//
// A voter whose node leaves (Directory) is replaced like a dead one; when nobody
// can take its place the group falls to the largest odd number that is left,
// which silence never does.
//
// When a majority of the voters is lost for good, Recover begins the group anew
// with one replica that is left, under an id that no replica had, in terms far
// ahead, with the recovery counted in the state. The new leader dismisses what
// comes back of the old group.
//
// # Snapshots
//
// The log is cut every SnapshotEvery entries, or as many as there are jobs. A
// snapshot is the state at one index, written a piece per Step while commands go on being applied (job.Encoder),
// so that no Step takes long however large the state is; Wake asks for the next
// piece at once. What Raft knows as the snapshot is a manifest: the hashes of the
// chunks that hold the state. MsgSnap carries that alone. Its receiver fetches
// the chunks one after the other (Fetch) from the sender's disk, keeps each as it
// comes, asks again for what was lost, reads the state a piece per Step, and only
// then tells raft. It holds no more than the chunks that have come, whatever size
// the manifest tells, and drops a snapshot that does not add up. While a follower fetches, the leader makes no newer snapshot,
// unless the log grows too long or the group has changed: then the follower is
// sent the new manifest and begins again.
//
// # An older copy of a disk
//
// A leader's heartbeat names what a replica has acknowledged to it. A replica
// that does not have it stops for good and says [Outdated]: its disk was restored
// from an older copy, and its vote could undo what was committed. So that the
// leader is heard first, a replica that was restored from disk grants no vote for
// one election timeout, or until a leader has spoken. When the leader has changed
// since, nobody in the group knows any more what was acknowledged; then only the
// owner can tell, by its count of starts.
//
// # A wrong clock
//
// A replica whose owner finds its wall clock far off its peers' (Directory) gives
// a leadership to a voter whose clock is right, if there is one, asks for no vote,
// and takes none and no leadership that it is given. It votes for others.
//
// # Reads
//
// Read is answered after a ReadIndex round trip (ReadOnlySafe) once the state
// has been applied up to it; all reads that wait share one round.
package shard
