// Package ledger is the embedded anchor: an append-only ledger per shard whose
// entries are chained by hash, kept by every voter.
//
// # Entries
//
// An [Entry] says: batch Seq of a shard has Count records from number First on
// under this Root; it was cut in Term at a shard time, while the shard's replicas
// were on Members; and Previous is the hash of the entry before. All of that
// follows from the shard's log, so every voter makes the same entry by itself,
// byte for byte, whoever leads. The hash is SHA-256 over the entry's one binary
// form. A [Signed] entry carries the signature of the node that led when the
// entry was anchored, over the hash and the anchor's reference; it travels in the
// shard's log, so it too is the same everywhere, and each voter compares it with
// its own entry before it takes it: a difference is an [ErrMismatch], which is an
// alarm, never a state.
//
// # What a store holds
//
// Entries from Low to Tip are here without a gap. A voter that joined by a
// snapshot begins at the snapshot's tip ([Ledger.Base]) and fills in what is older
// from other voters ([Ledger.Want], [Ledger.Fill]), newest first, each entry
// checked against the hash that the one after it names. So what was signed by a
// leader survives it on every voter. An entry that was lost is wanted again
// ([Ledger.Forget]); [Ledger.Audit] finds what is lost or changed.
//
// # As an anchor
//
// [Ledger.Anchor] is final at once: its finality is the shard's log, into which
// the leader puts what it signed.
package ledger
