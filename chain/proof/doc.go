// Package proof is the proof file: what anybody needs, beside the network's id,
// to check that a job's records stand in its shard's ledger.
//
// # What a file holds
//
// The genesis, whose SHA-256 is the network's id and which names the founder; the
// job's records, each with its place in a batch and the Merkle path to the
// batch's root; the ledger's entries from the first of those batches to the
// ledger's head when the file was made, chained by hash and each signed by the
// node that led the shard; and, before them, the entries that lead from the
// founder to those signers, since each names the replicas of its time.
//
// The file is JSON in one canonical form: any change to it, of a byte, is found
// either as another form or as something that does not fit.
//
// # What it proves
//
// That nodes which the founder's network admitted to the shard signed exactly
// these records, in this order, and everything up to the head after them: who was
// given which attempt, and which result was taken for good. A majority of the
// shard cut the batches, and every voter that kept the protocol holds the same.
//
// # What it does not prove
//
// It proves the shard's consistency, not its honesty: a replica, even a former
// one, whose key is misused can sign another history. It does not prove that the
// result is right, that a record has no successor after the head, or that there
// are no other records of the job. Two files that disagree about one entry prove
// that a signer lied; an external anchor's root settles which is older.
package proof
