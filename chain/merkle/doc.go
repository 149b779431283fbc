// Package merkle hashes records into Poseidon Merkle trees whose proofs a Cairo
// contract can check at the price of one builtin call per level.
//
// # The format is permanent
//
// A leaf is
//
//	PoseidonArray('leaf-v1', kind, shard, term, seq, job_hi, job_lo, task,
//	              attempt, worker_hash, spec_hash, result_hash)
//
// over the field of the Stark curve, with 'leaf-v1' as a Cairo short string.
// kind is 1 for an assignment, 2 for a completion; term is that of the log entry
// that made the record; seq is the fence: the log index of the assignment
// concerned; job_hi and job_lo are the halves of the job's id; task is the task's
// index plus one, 0 for the gather task; worker_hash is the first 31 bytes of
// SHA-256 over the worker's peer id as text; spec_hash the first 31 bytes of
// SHA-256 over the encoded spec; result_hash is 0 for an assignment, else the
// first 31 bytes of SHA-256 over
//
//	"ciro-result-v1" | exit (be32) | length of output (be32) | output CID as text | prints (32 bytes)
//
// where prints is SHA-256 over what was printed (package scheduler/job).
//
// Leaves stand in the order of their records. The row is filled up to the next
// power of two with PoseidonArray('pad-v1'), which is no record's leaf; the last
// leaf is never repeated, so two different lists never have one root. An inner
// node is Poseidon(left, right), whose sponge state differs from that of every
// PoseidonArray, so no leaf can pass for a node. A tree of one leaf is that leaf;
// an empty tree has no root. A path names the siblings from the leaf up; with the
// number of leaves known its length is, and an index says on which side each
// sibling stands. Golden vectors are in testdata.
//
// # Why the permutation is written here
//
// Juno's core/crypto has the same hash, but it links gnark's Pedersen package,
// whose init computes tables for 107 ms (measured: GODEBUG=inittrace=1) in every
// process, and a ciro starts one process per sandbox. The field arithmetic is
// gnark's; the permutation on top is a page, its round keys follow from their
// published rule, and the tests hold every function against Juno's.
package merkle
