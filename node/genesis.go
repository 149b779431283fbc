package node

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/peer"
	"google.golang.org/protobuf/proto"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/config"
	"github.com/ciro-network/ciro/node/meshpb"
)

// network is a founded network: the genesis as sent, its hash and, where it is
// closed, the join secret.
type network struct {
	raw    []byte
	id     [32]byte
	gen    *meshpb.Genesis
	secret string
}

// Bounds of a genesis.
const (
	maxShards  = 1024
	maxGenesis = 4096
)

// newNetwork checks genesis bytes.
func newNetwork(raw []byte, secret string) (*network, error) {
	g := &meshpb.Genesis{}
	if len(raw) > maxGenesis {
		return nil, fmt.Errorf("genesis of %d bytes is over %d", len(raw), maxGenesis)
	}
	if err := proto.Unmarshal(raw, g); err != nil {
		return nil, fmt.Errorf("genesis: %w", err)
	}
	if g.Shards < 1 || g.Shards > maxShards {
		return nil, fmt.Errorf("genesis: %d shards are outside 1..%d", g.Shards, maxShards)
	}
	if g.Replication%2 == 0 || g.Replication > 5 {
		return nil, fmt.Errorf("genesis: replication %d is none of 1, 3, 5", g.Replication)
	}
	if _, err := peer.Decode(g.Founder); err != nil {
		return nil, fmt.Errorf("genesis: founder: %w", err)
	}
	if g.Admission != "" && g.Admission != api.AdmissionOpen && g.Admission != api.AdmissionList {
		return nil, fmt.Errorf("genesis: the admission rule %q is none of open, list; a newer ciro may know it", g.Admission)
	}
	if g.Closed && secret == "" {
		return nil, errors.New("the network is closed: give the join address with its secret, as in ADDRESS#SECRET")
	}
	return &network{raw: raw, id: sha256.Sum256(raw), gen: g, secret: secret}, nil
}

// foundNetwork makes a new network.
func foundNetwork(c config.Network, founder, secret string) (*network, error) {
	nonce := make([]byte, 16)
	if _, err := rand.Read(nonce); err != nil {
		return nil, fmt.Errorf("read randomness: %w", err)
	}
	raw, err := proto.MarshalOptions{Deterministic: true}.Marshal(&meshpb.Genesis{
		Name: c.Name, Shards: uint32(c.Shards), Replication: uint32(c.Replication), Founder: founder, Admission: strings.TrimPrefix(c.Admission, "auto"),
		Created: time.Now().UnixMilli(), Nonce: nonce, Closed: secret != "",
	})
	if err != nil {
		return nil, fmt.Errorf("encode the genesis: %w", err)
	}
	return newNetwork(raw, secret)
}

// newSecret returns a fresh join secret of 128 bits.
func newSecret() (string, error) {
	b := make([]byte, 16)
	if _, err := rand.Read(b); err != nil {
		return "", fmt.Errorf("read randomness: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(b), nil
}

// String returns the network's id in its text form.
func (n *network) String() string { return hex.EncodeToString(n.id[:]) }

// prefix is the protocol prefix under which all of the network's protocols and
// topics live.
func (n *network) prefix() string { return "/ciro/" + hex.EncodeToString(n.id[:8]) }

// proof shows knowledge of the join secret in one direction between two peers.
// libp2p has authenticated both, so that a proof is worth nothing to a third.
func proof(secret, purpose, from, to string) []byte {
	if secret == "" {
		return nil
	}
	m := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(m, "ciro\x00%s\x00%s\x00%s", purpose, from, to)
	return m.Sum(nil)
}

// splitJoin takes MULTIADDR or MULTIADDR#SECRET apart.
func splitJoin(join string) (*peer.AddrInfo, string, error) {
	addr, secret, _ := strings.Cut(join, "#")
	info, err := peer.AddrInfoFromString(addr)
	if err != nil {
		return nil, "", fmt.Errorf("join address %q: %w; it looks like /ip4/192.0.2.1/tcp/4001/p2p/12D3Koo… and is printed by the node to join", addr, err)
	}
	if len(info.Addrs) == 0 {
		return nil, "", fmt.Errorf("join address %q names a peer but no address to dial; copy the whole line that the node to join prints", addr)
	}
	return info, secret, nil
}
