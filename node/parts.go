package node

import (
	"context"
	"log/slog"
	"time"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/executor"
	"github.com/ciro-network/ciro/p2p"
)

// Parts are what a program that embeds a node may put in place of the node's
// own. The zero value of every field is the node's own.
type Parts struct {
	// Version is what the node says it is.
	Version string
	// Log takes what the node reports; nil discards it.
	Log *slog.Logger
	// Executor runs the attempts in place of the sandbox, under its own name and
	// whatever the configuration lists. It may be called concurrently.
	Executor executor.Executor
	// Sandbox is the program of sandboxes, which the node lays out in its data
	// directory; nil: sandboxes are the node's own program started again.
	Sandbox []byte
	// Wall is the wall clock; nil is time.Now. Durations are measured without it.
	Wall func() time.Time
	// P2P changes the configuration of the host before it is made: transports,
	// addresses. It is called once, by NewWith.
	P2P func(*p2p.Config)
	// Anchor holds the roots of the shards' batches in place of the embedded
	// ledger alone; see package chain for what it must do.
	Anchor chain.Anchor
	// FreeDisk says how many bytes the file system of a folder has free; nil asks
	// the kernel. It may be called concurrently.
	FreeDisk func(dir string) (uint64, error)
	// Fail is told why the node cannot go on, from any goroutine, when a database
	// meets a disk that fails, or when the node's end hangs for want of room. It
	// must end the process: what was acknowledged is there on the next start. nil
	// panics.
	Fail func(error)
	// Ask replaces p2p.AskOpen, which asks a member for the network's genesis.
	Ask func(context.Context, crypto.PrivKey, peer.AddrInfo, p2p.OpenRequest) ([]byte, error)
}

func (p Parts) withDefaults() Parts {
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	if p.P2P == nil {
		p.P2P = func(*p2p.Config) {}
	}
	if p.Wall == nil {
		p.Wall = time.Now
	}
	if p.FreeDisk == nil {
		p.FreeDisk = freeDisk
	}
	if p.Fail == nil {
		p.Fail = func(err error) { panic(err) }
	}
	if p.Ask == nil {
		p.Ask = p2p.AskOpen
	}
	return p
}

// Jobs is what the HTTP interface serves under /jobs, for programs that embed
// the node. It answers while Run runs, from any goroutine.
func (n *Node) Jobs() api.Jobs { return &adapter{n: n} }

// Logs gives what tasks print; see Jobs.
func (n *Node) Logs() api.Logs { return &adapter{n: n} }

// Blobs is the node's content, and through it the mesh's; see Jobs.
func (n *Node) Blobs() api.Blobs { return &adapter{n: n} }

// Mesh is what the node knows of itself and the others; see Jobs.
func (n *Node) Mesh() api.Mesh { return &adapter{n: n} }

// Operator is what the node's owner may do with it.
func (n *Node) Operator() api.Operator { return &adapter{n: n} }

// Advice says what would become of a job; see Jobs.
func (n *Node) Advice() api.Advice { return &adapter{n: n} }

// Rounds gives failed jobs another chance; see Jobs.
func (n *Node) Rounds() api.Rounds { return &adapter{n: n} }

// Network is what an operator may do about who coordinates; see Jobs.
func (n *Node) Network() api.Network { return &adapter{n: n} }
