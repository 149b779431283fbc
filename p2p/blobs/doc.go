// Package blobs keeps content-addressed files and directories and exchanges
// them with other peers: UnixFS over Bitswap, exactly as IPFS does, so a result's
// CID is an ordinary one (`ipfs add --cid-version=1`, 256 KiB chunks, raw leaves).
//
//	b, err := blobs.NewBlobs(host, store, blobs.BlobsConfig{Quota: 10 << 30}) // before host.Run
//	go b.Run(ctx)                                 // collects garbage now and then
//	c, n, err := b.Add(ctx, reader)               // or AddDir
//	n, err = b.Fetch(ctx, c, holders, limit)      // the whole DAG, from whoever has it
//	err = b.Pin(ctx, "job/1234", c)               // until Unpin(ctx, "job/1234")
//	b.Close()                                     // before the host
//
// # What is kept
//
// Content stays while somebody pins it, and for a grace time after it was added,
// fetched or asked for. Collect removes the rest; it never removes what an Add
// or Fetch that is under way needs. Bytes and blocks are counted, and a quota
// makes writes fail with ErrFull instead of filling the disk. What Add, AddDir
// and Fetch return is synced to disk.
//
// # Untrusted content
//
// Blocks are checked against their CID. A DAG is only ever walked with limits:
// on bytes, on directory entries, on depth, and on what it unfolds to when it is
// exported or listed (a small DAG can name the same chunk a million times). Only
// files and directories exist here: symbolic links and other kinds are refused by
// name when they are added, and again when they are listed or exported. Names
// with separators, control characters or dots only never reach the disk.
//
// Peers that are not admitted to the network get no blocks.
package blobs
