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
//	retry: failed -> pending | running | assembling, dead -> queued (the next round)
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
// How an attempt ended has a cause; what follows depends on the cause's class. A
// program that failed by its own doing would fail again on another worker, so
// that is only tried if the spec names the class in retryOn:
//
//	class      causes                                     counts against   tried again
//	failed     exit (a code other than 0 and 75)          retries          if retryOn names it
//	trapped    trap                                       retries          if retryOn names it
//	capped     memory, outBytes, outFiles                 retries          if retryOn names it
//	timeout    timeout                                    retries          if retryOn names it, which it does by default
//	module     module (no WASM, or it does not compile)   -                never
//	asked      retry (exit 75)                            retries          always
//	silent     lapsed, once it had started                retries          always
//	transient  refused, inputs, node, drained,            LostCap          always
//	           outputsLost, lapsed before it started
//
// Beyond the spec's retries, or LostCap losses, the task is a dead letter and
// keeps its attempts' errors (the newest MaxErrors; beyond MaxJobErrorText bytes
// in one job they are cut short). Unless the spec says failFast: false, a dead
// letter fails its job. Tasks that were not done then are dead as well, but no
// dead letters.
//
// # Rounds
//
// A failed job that is still kept can be retried: that opens its next round. Its
// dead tasks are queued again with nothing counted against them; attempt numbers
// and the kept errors go on, results that stand stay, and the deadline begins
// anew. The command names the round that it makes, so repeating it is safe. When
// only one task is retried the dead letters of others stay dead, and the job
// fails again once nothing else is left to do.
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
// 10 min, so what is forgotten has an offer that has expired, and a replay of it
// is answered "expired" and never runs twice. For seven days a tombstone tells who
// asks that there was such a job; when there are more than MaxTombstones the
// oldest go early, which costs no promise.
//
// # Encoding
//
// Specs, offers, commands and the state itself have one deterministic binary
// form each (package codec). A spec's encoding is the signed form; YAML and
// JSON documents are translated to it where they enter the mesh, so that the
// core parses no documents and every participant hashes the same bytes.
package job
