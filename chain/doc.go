// Package chain makes what a shard decided checkable by others: batches of
// records get a Merkle root (package merkle), an entry in a hash-chained, signed
// ledger (package ledger), and an [Anchor] that holds the root where the shard
// cannot take it back. A proof file (package proof) shows that a job's records
// stand in that ledger, to anybody who has the file and the network's id.
//
// The package knows neither jobs nor peers: records are plain values, signatures
// are checked by a function that it is given.
//
// # Anchors
//
// The default anchor is the embedded ledger itself. A contract on Starknet is
// another. Both pass the suite in package chaintest, which states what a leader
// may rely on: batches of a shard are taken in order and once; the same batch
// again is no error, since leaders die and their successors try again; another
// batch under a number that was taken is refused, and so is one of an older term
// than the last.
//
// # Settlement
//
// A shard records at most one completion per task (see scheduler/job, Leaf).
// Whoever settles by a completion's proof and remembers (job, task) settles each
// task at most once, whatever was reassigned before (promise G3).
package chain
