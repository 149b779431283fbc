// Package sim plays the mesh in one process, on one goroutine and a virtual
// clock: the same cores that a node runs (packages shard and worker), around
// them a shell like a node's, a network that loses, doubles, delays and
// reorders, disks that forget what was not synced, and clients that do not give
// up. One seed is one run, bit for bit, so a failure found at night is debugged
// in the morning with Replay.
//
// # A run
//
// Node n0 founds every shard; the others come within two seconds and the groups
// grow. Clients submit random jobs through random nodes, follow redirections,
// repeat with the same id when no answer comes, submit again after the
// acceptance, cancel some, and read. Guests run for random times and end in all
// the ways in which guests end. From the third second on faults happen one after
// another (below). At Config.Duration everything is healed, and the run ends when
// every job has ended and every client has its answer.
//
// # Faults
//
// What goes wrong is a script, a list of Fault: drawn from the seed (Plan), or
// given (ParseScript). Help describes each of Kinds:
//
//   - the network: halves, majority ring, bridge, one way, flapping, swizzle,
//     single nodes cut off, slow links, loss, duplicates, reordering;
//   - nodes: crashes that lose what was not synced, of one or of most, standstills
//     longer than every timeout, slow disks, full disks, clean leaves, churn, clocks
//     that jump and drift, leaves and crashes while a group is being changed;
//   - people: workers that lie, and peers that replay and flood.
//
// A disk is lost for good only where promise G1 allows it: every group has been
// complete for two seconds and every voter still has its state.
//
// A liar is a worker: it says what it likes about its own attempts and those of
// others. What it says of its own counts, since results are not verified; what it
// says of others' must not. A hostile node is no coordinator. Shells take Raft
// messages and a leader's words to workers from coordinators only, who may crash
// but do not lie; everything else that anybody may say reaches the cores.
//
// # Scripts and replay files
//
// A line of a script is a time, a kind, and what the kind needs: nodes (n3), for=
// (how long), by= and rate=, wipe. Lines that begin with the name of a setting
// (seed, nodes, shards, jobs, only, duration, minDelay, maxDelay, loss, duplicate,
// mutation) set that; "expect" names the rule and the hash of the run that wrote
// the file.
//
//	seed 17
//	nodes 5
//	3.2s halves n1 n4 for=2s
//	4s crash n0 for=1.5s wipe
//	5.1s slowdisk n2 for=3s by=400ms
//
// Shrink makes the least file that still breaks a rule. Files of bugs that were
// found and mended are in testdata and are played by a test.
//
// # The shell
//
// Each node performs the actions of its cores as package shard asks: a batch
// with a Persist is synced before anything behind it leaves, and a crash in
// between loses all of it or none. Messages go through their encodings, so that
// cores share nothing. A node answers a probe with a random incarnation that it has stored,
// makes a replica only on an invitation that names it, and leaves a tombstone
// where a replica was removed.
//
// # Gossip
//
// Topics have the subscribers that they have in the mesh: everybody hears who
// leads what, and only those who hold a replica of a shard hear its offers and
// its workers' capabilities. A node publishes one report a second at most on what
// it leads: changes at once, everything again after placement.RefreshEvery; a
// worker its capabilities every five minutes to the shards that it serves; the
// door of a submission its offer, beside the straight way to the leader. A node
// that starts asks three others who leads what.
//
// The router is not simulated but modelled, with these assumptions:
//
//   - an author sends to all subscribers that it is connected to, each of them to
//     seven more, and so on; a message takes as many hops to a subscriber, chosen
//     at random, as such a flood takes to reach that many, and each hop's delay is
//     drawn for that subscriber;
//   - a subscriber gets 0.8 copies of every message from each of its eight
//     neighbours in the topic's mesh, and sends as many, with 165 bytes of
//     envelope; it is offered the message's id 38 times and offers it as often. A
//     test of package p2p holds that against the real router on 200 hosts;
//   - who misses a message (Faults.Loss, for each subscriber) asks for it after
//     the next heartbeats of the router, four times at most;
//   - a partition severs author and subscriber whatever ways around there are;
//   - in a mesh of more than 301 nodes each is connected to 300 at random, and
//     those are the candidates that a leader knows. Connections are judged once a
//     second, and one that is silent for 3.5 s is lost.
//
// Messages to many are delivered in slices of five milliseconds.
//
// # The oracle
//
// After every step, as far as the step can have changed it:
//
//   - G1: what one replica commits at an index, every replica commits there; an
//     answer "accepted" names a job, term and index of the log, always the same
//     ones; an accepted job is never gone.
//   - G2: one assignment per (job, task, attempt); a worker never gets one that
//     is not in the log.
//   - G3: batches for the anchor follow each other without a gap, are the same on
//     every replica and hold the log's assignments; a task's completion is in one
//     batch at most; what is final is what was cut, in order. In the end every
//     completed job's completions are recorded once.
//   - G4: one accepted result per task until its outputs are lost, and it is what
//     the worker has said to whom the attempt was assigned; a leader acknowledges
//     only what the log accepted; a gather task comes when all tasks are done.
//   - G7: a request to a replica that runs is answered within three seconds,
//     once.
//   - Raft's promises, held against the disks: what is committed is on the disks
//     of a majority; what is acknowledged is stored; a vote is stored, the only one
//     of its term, and given to a log that has all that the voter had; a replica id
//     never comes back without its state.
//   - Nobody's attempts lapse before their leader has listened for a whole lease.
//     Nothing stands in the log that nobody wanted: a job without a client, an
//     assignment without a booking that this term's leader has heard of.
//   - A node whose wall clock is more than ten seconds off the median of its
//     peers' does not campaign.
//   - Moves are legal, attempts and fences grow, a term has one leader, reads see
//     what was acknowledged before them, and no worker promises what it has not
//     (worker.Check).
//
// Once a second replicas are hashed, all of a small world, a part of a large one
// in turn: equal indexes have equal states, which are what the log makes, and a
// leader can say of every job what it waits for.
// At the end (G8) every accepted job has ended, at most 90 s after the last
// fault, and what clients saw of each job (acceptances, cancellations, reads, with
// answers that never came) must fit into one order (Linearizable, by porcupine).
// G5 and G6 are measured: Samples.
//
// # Mutations
//
// A check that cannot fail is worth nothing, so Config.Mutation plants a bug
// around the unchanged cores: in messages, on disks, in how a core is stepped or
// in its state. Each of Mutations is found within 500 seeds of Campaign, by a rule;
// a test proves it.
//
// # Scale
//
// Config.Rate makes a steady load of jobs of one task, of which short offers let
// ended ones leave the state; Config.Bystanders are nodes without a role.
// Report.Traffic says what nodes of each class send and receive per second, by
// kind, and Report.Sizes how large logs and states are.
//
// # Limits
//
// Streams keep no order and lose single messages, which is harsher than what the
// mesh runs on. Whoever is admitted as a coordinator is taken to keep to the
// protocol.
package sim
