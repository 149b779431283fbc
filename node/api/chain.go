package api

import "context"

// ShardChain is how far one shard's ledger is.
type ShardChain struct {
	Shard      int    `json:"shard"`
	Open       int    `json:"open" doc:"Records that are in no batch yet"`
	Cut        uint64 `json:"cut" doc:"Batches cut so far"`
	Anchored   uint64 `json:"anchored" doc:"Batches whose anchor is final"`
	Pending    int    `json:"pending" doc:"Batches that are cut and wait for the anchor"`
	Records    uint64 `json:"records" doc:"Records in all batches that are anchored"`
	Head       string `json:"head,omitempty" doc:"Hash of the newest ledger entry"`
	HeadAt     Time   `json:"headAt,omitzero" doc:"When its batch was cut"`
	From       uint64 `json:"from,omitempty" doc:"Oldest ledger entry at the node that answered; 1 is complete"`
	Mismatches int    `json:"mismatches" doc:"Entries at which that node disagrees with what was anchored: an alarm"`
}

// ChainStatus is the ledgers of all shards.
type ChainStatus struct {
	Network    string       `json:"network" doc:"Network id: what a proof is verified against"`
	Anchor     string       `json:"anchor" doc:"Where roots are anchored: ledger is the embedded one"`
	Shards     []ShardChain `json:"shards"`
	Unanswered []int        `json:"unanswered,omitempty" doc:"Shards whose leader did not answer"`
	Local      int          `json:"localMismatches" doc:"Mismatches that this node has seen in all its shards"`
	// The shards of those mismatches.
	LocalShards []int `json:"localMismatchShards,omitempty" doc:"Shards of which this node's ledger is not what was anchored"`
	AsOf        Time  `json:"asOf,omitzero"`
}

// LedgerEntry is one entry of a shard's ledger.
type LedgerEntry struct {
	Shard     int      `json:"shard"`
	Seq       uint64   `json:"seq" doc:"Number of the batch"`
	Term      uint64   `json:"term"`
	Records   uint64   `json:"records"`
	Root      string   `json:"root,omitempty" doc:"Merkle root; none for a batch that only names members"`
	Hash      string   `json:"hash" doc:"Of the entry; the next one names it"`
	Members   []string `json:"members"`
	Signer    string   `json:"signer,omitempty" doc:"Peer that had it anchored; none while it waits"`
	Reference string   `json:"reference,omitempty" doc:"Where the anchor holds it"`
	At        Time     `json:"at"`
}

// LedgerEntries is a page of a shard's ledger, newest first.
type LedgerEntries struct {
	Entries []LedgerEntry `json:"entries"`
	Next    uint64        `json:"next,omitempty" doc:"before of the next page; none at the end"`
}

// ChainMetrics is the status in a few numbers.
type ChainMetrics struct {
	Batches    uint64 `json:"batches" doc:"Batches anchored, over all shards that answered"`
	Records    uint64 `json:"records" doc:"Records in them"`
	Pending    int    `json:"pending" doc:"Batches that wait for the anchor"`
	Open       int    `json:"open" doc:"Records that are in no batch yet"`
	Mismatches int    `json:"mismatches"`
}

// EntryQuery selects a page of a shard's ledger.
type EntryQuery struct {
	Shard  int
	Before uint64 // entries with lower numbers; 0: from the newest on
	Limit  int    // 1 to MaxListLimit
}

// Chain is the ledgers of the mesh.
type Chain interface {
	// ChainStatus asks all leaders how far their ledgers are.
	ChainStatus(ctx context.Context) (ChainStatus, error)
	// LedgerEntries reads a page of a shard's ledger from its leader.
	LedgerEntries(ctx context.Context, q EntryQuery) (LedgerEntries, error)
	// Proof makes the proof file of a job; CodeNotAnchored while records of it
	// wait for their anchor.
	Proof(ctx context.Context, id string) ([]byte, error)
}
