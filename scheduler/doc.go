// Package scheduler is the core of the mesh: it decides who runs what, and it
// is a value. Its packages have no goroutine, channel, clock, socket, disk,
// logger or global randomness (a test in this folder reads them all and fails on
// any); what they cannot do themselves comes in as an event with the time beside
// it and goes out as a list of actions, to be performed in order:
//
//	Step(now, event) -> actions        Wake() -> when the next Tick is wanted
//
// So the same code runs in a daemon, where a shell owns one goroutine per core,
// the disk, the timers and the network, and in a simulator, where a seed decides
// every delay, loss and crash and can be replayed.
//
// # Packages
//
//	codec      one deterministic binary form for everything that is kept or sent
//	job        offers, jobs, tasks, attempts; the table of legal moves; Apply
//	match      which worker fits, which fits best, which job is next
//	placement  which nodes should vote, lead and attach, by rendezvous hashing
//	work       the messages between a shard's leader and a worker
//	shard      one replica of one shard: Raft group, job state, leader's duties
//	worker     the worker's side: bookings, fences, reports kept until acknowledged
//	sim        many cores, a virtual network and its faults; checks the promises
//
// # A job's way
//
// A client's signed offer reaches the leader of the shard that the job's hash
// falls into. The leader commits it, and only then signs an acceptance. It
// matches queued tasks with attached workers, books a place, commits the
// assignment, and only then sends it; the assignment's log index is the
// attempt's fence. The worker runs it, stores its report, and repeats it until a
// leader has it in the log. Every move is a conditional command, judged by Apply
// on every replica alike; what no longer matches is a counted no-op.
//
// # What is promised
//
// G1. An accepted job is never lost. Condition: no replica votes after losing
// state that it had synced, and a majority of the current configuration
// survives. Kept by: acceptances are given for committed offers only; a Persist
// action precedes whatever it vouches for (shard); replica ids carry an
// incarnation and never return (shard, job.Member); terminal jobs outlive their
// offers and leave a tombstone (job).
//
// G2. There is at most one assignment per (job, task, attempt), whatever the
// timing. Condition: every voter follows the protocol and keeps what it synced;
// clients, workers, observers and relays may lie. Kept by: Apply takes an
// assignment only for attempt+1 of a queued task, and the log is one; attempt
// numbers are never used again; fences are log indices, unique and growing.
//
// G3. There is at most one settlement per task. Condition: the anchor contract
// is correct: it pays a task's completion once. Kept by: a completion is recorded
// only when nothing can follow it, which is when its job has completed or, if it
// failed or was cancelled, is forgotten, so that no round of retries comes after
// (job, Leaf); records are cut into batches in the log, without gap or
// repetition, so every voter computes the same roots and sees it when a leader
// anchors another (node). Tested: random logs (job, TestBatchesHaveNoGap), the
// simulator's oracle, nodes whose leader dies between cut and anchor.
//
// G4. Tasks run at least once; their effect is the one result that Apply
// accepts. Condition: a sink that a task writes to by itself is idempotent by
// (job, task) and refuses a lower fence. Kept by: reports are durable before
// they are sent and repeated until acknowledged (worker); a report must name the
// current attempt and fence (job). Running exactly once is not promised.
//
// G5. A dead coordinator is replaced: half the time within 2.5 s, 99.9 % within
// 8 s. Condition: the group is fully replicated; a majority is connected with at
// most 250 ms one way, 1 % loss and 50 ms per fsync, and no pauses; outside the
// condition, eventually. Kept by: Raft with PreVote and CheckQuorum, ticks of
// 100 ms, elections after ten; a new leader decides again from applied state
// and learns bookings and attempts from the workers.
//
// G6. A dead worker's tasks move: 99 % within 5 s of its silence. Condition:
// heartbeats every second and a stable coordinator (else within G5's bound and
// five seconds more). Kept by: leases of four seconds that count only time in
// which the leader was itself listening (shard); lapsed attempts are queued with
// no back-off (job).
//
// G7. In a partition the majority side of each shard goes on. The minority
// answers "unavailable", which means unknown and asks to repeat with the same
// id, with its reason within 3 s; what runs there goes on to its own end and is
// reported when it can be, and all have caught up within 10 s of healing. Kept
// by: CheckQuorum; the answer's deadline (shard); ids that are hashes of offers;
// workers never stop anything for a leader's silence and attach anew every few
// seconds (worker).
//
// G8. Nothing stalls silently. A shard without a leader says so, with its
// voters, the last contact and the last known state marked as stale; every job
// that has not ended can say what it waits for, with a stable code. Kept by:
// shard.Replica's views; match.Explain, which judges every worker by every condition; back-off,
// deadlines and retention, which are all times in the state (job).
//
// # How each is tested
//
// The simulator (sim) holds every promise against what replicas, disks, workers
// and clients see, after every step, while everything goes wrong that its script
// says: `make sim` plays 2,000 seeds, and shows of sixteen planted bugs that a
// rule finds each. Scripted groups (shard/testdata, one transcript per case) show
// the same mechanisms one at a time, whole nodes in virtual time and real processes
// under faults (make chaos) the shells around them.
//
//	G1  rules G1, quorum, ack, vote, identity (what is committed, acknowledged or
//	    voted is on the disks it has to be on), replicas, and linear (clients'
//	    histories); transcripts failover, wiped, snapshot, compaction, recover
//	G2  rules G2, booking, fence; transcript fencing; lying workers and hostile peers
//	G3  rules G3 and batches; transcript anchor
//	G4  rules G4, gather, moves; transcripts fencing, late, retries; liars
//	G5  TestBounds of sim, which measures under the condition, from the leader's
//	    death to the next committed assignment; transcripts failover, transfer
//	G6  TestBounds; rule lease (nobody is given up who could not have been heard);
//	    transcript lapse; pauses, slow disks and links, clocks that drift
//	G7  rule G7 (every request is answered within 3 s) under eight kinds of
//	    partitions; transcripts minority, partition
//	G8  rule G8: every job can say what it waits for, and all have ended at most
//	    90 s after the last fault; rule storm: no two cores keep each other busy
//
// # Bounds
//
// Every table has one: tasks, inputs and bytes of a spec, errors and bytes of
// each, events, tombstones and bytes of a shard's state (job), attached workers,
// waiting clients, tasks under way, remembered clients and reservations (shard), places, fences and reports of a worker (worker).
// Beyond its bound a shard answers "busy" and a worker refuses; neither forgets
// what it has promised.
package scheduler
