// Package job is what the mesh agrees on: offers, jobs, tasks and attempts,
// with one table of legal moves and one pure function, State.Apply, that every
// replica of a shard runs over the same log.
//
// # Life of a job
//
// A client signs an Offer; its hash is the job's ID. Once the offer is in the
// shard's log the job is accepted (pending). Its tasks are queued and assigned
// one attempt at a time; a job is running from its first assignment, assembling
// while its gather task is due, and ends completed, failed or cancelled.
//
//	job:  pending -> running -> assembling -> completed | failed | cancelled
//	task: queued -> assigned -> running -> done
//	      assigned|running -> queued (next attempt) | dead
//	      done -> queued (its outputs are lost)
//
// # Commands
//
// Every move is one Command in the log. A command names the state that it
// expects (task, attempt, fence); Apply is the only judge and turns a mismatch
// into a counted no-op with a reason, so that a proposal from a stale leader, a
// repeated proposal or a late report can never do harm. Attempt numbers grow
// with every assignment and are never used again; the fence of an assignment is
// the log index of its command: unique in the shard, growing, and independent
// of who leads.
//
// # Failures
//
// A started attempt that fails, runs out of time or whose worker falls silent
// counts against the spec's retries. What is nobody's fault (a worker refused,
// an assignment that never started, inputs that could not be fetched) counts
// against LostCap. Beyond either the task is dead and keeps every attempt's
// error; unless the spec says failFast: false, a dead task fails its job.
//
// # Records for the anchor
//
// Every assignment leaves a Leaf in the state, and every task's completion one
// more once nothing can follow it (see Leaf). OpCut moves leaves into numbered
// batches, OpAnchored lets a batch go once its Merkle root is anchored. Apply
// judges both: a repeated or overtaken order is a no-op, so batches have neither
// gaps nor repetitions and are the same on every replica. The state is bounded:
// while more than MaxLeaves wait, offers are answered busy. Roots are computed by
// the replicas' owners, which compare them; nothing here knows how.
//
// # Time
//
// Commands carry shard time in unix milliseconds; Apply uses the larger of the
// state's and the command's, so shard time never runs backwards. Back-off,
// deadlines and retention are shard times. Terminal jobs stay until notAfter +
// 10 min, then leave a tombstone for seven days, so that a replayed offer is
// answered "expired" and never runs twice.
//
// # Encoding
//
// Specs, offers, commands and the state itself have one deterministic binary
// form each (package codec). A spec's encoding is the signed form; YAML and
// JSON documents are translated to it where they enter the mesh, so that the
// core parses no documents and every participant hashes the same bytes.
package job
