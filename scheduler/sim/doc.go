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
// another: crashes with a restart, of one node or of most, now and then with the
// loss of a disk; partitions into halves, of one node, in one direction;
// standstills. At Config.Duration everything is healed, and the run ends when
// every job has ended and every client has its answer.
//
// A disk is lost only where the promises allow it: every group is complete and
// has been so for two seconds, and at most once in a run.
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
//   - G4: one accepted result per task until its outputs are lost, and it comes
//     from the very run that was assigned; a leader acknowledges only what the
//     log accepted.
//   - G7: a request to a replica that runs is answered within three seconds,
//     once.
//   - Moves are legal, attempts and fences grow, a term has one leader, reads see
//     what was acknowledged before them, and no worker promises what it has not
//     (worker.Check).
//
// Once a second replicas are hashed, all of a small world, a part of a large one
// in turn: equal indexes have equal states, which are what the log makes, and a
// leader can say of every job what it waits for.
// At the end (G8) every accepted job has ended, at most 90 s after the last
// fault. G5 and G6 are measured: Samples.
//
// # Mutations
//
// A check that cannot fail is worth nothing, so Config.Mutation plants a bug
// around the unchanged cores, in the shell, the disk or the network. Each of
// Mutations is found within 500 seeds; a test proves it.
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
// Workers do not lie, but for mutations. Streams keep no order and lose single
// messages, which is harsher than what the mesh runs on.
package sim
