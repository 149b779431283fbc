package node

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"

	"github.com/ciro-network/ciro/p2p"
)

// Names of the key files in a data directory.
const (
	identityFile = "identity.key"
	clientFile   = "client.key"
)

// Identity is who a data directory makes a node: what it is known by, and the
// secrets behind that where they were asked for.
type Identity struct {
	Peer      string `json:"peer"`                // peer id of the node
	Client    string `json:"client"`              // public key that signs its users' offers, hexadecimal
	NodeKey   []byte `json:"nodeKey,omitempty"`   // secret
	ClientKey []byte `json:"clientKey,omitempty"` // secret
}

// ReadIdentity reads the identity in a data directory, with its secrets if
// wanted. The node may be running meanwhile.
func ReadIdentity(dir string, secrets bool) (Identity, error) {
	var keys [2]crypto.PrivKey
	for i, name := range []string{identityFile, clientFile} {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err != nil {
			return Identity{}, fmt.Errorf("there is no identity in %s: %w; a first `ciro start` makes one", dir, err)
		}
		key, err := p2p.LoadOrCreateIdentity(path)
		if err != nil {
			return Identity{}, err
		}
		keys[i] = key
	}
	return identityOf(keys, secrets)
}

// identityOf is the identity that two keys make: the node's and its client's.
func identityOf(keys [2]crypto.PrivKey, secrets bool) (Identity, error) {
	id, err := peer.IDFromPrivateKey(keys[0])
	if err != nil {
		return Identity{}, fmt.Errorf("identity: %w", err)
	}
	client, err := keys[1].GetPublic().Raw()
	if err != nil {
		return Identity{}, fmt.Errorf("client key: %w", err)
	}
	out := Identity{Peer: id.String(), Client: hex.EncodeToString(client)}
	if !secrets {
		return out, nil
	}
	if out.NodeKey, err = crypto.MarshalPrivateKey(keys[0]); err == nil {
		out.ClientKey, err = crypto.MarshalPrivateKey(keys[1])
	}
	if err != nil {
		return Identity{}, fmt.Errorf("identity: %w", err)
	}
	return out, nil
}

// WriteIdentity puts an exported identity into a data directory that has none.
// The public parts must be those of the secrets.
func WriteIdentity(dir string, id Identity) error {
	var keys [2]crypto.PrivKey
	for i, raw := range [][]byte{id.NodeKey, id.ClientKey} {
		key, err := crypto.UnmarshalPrivateKey(raw)
		if err != nil {
			return fmt.Errorf("exported identity: a key cannot be read: %w", err)
		}
		if raw, err = key.Raw(); err != nil || len(raw) != ed25519.PrivateKeySize {
			return errors.New("exported identity: a key is not of type Ed25519")
		}
		keys[i] = key
	}
	switch made, err := identityOf(keys, false); {
	case err != nil:
		return err
	case made.Peer != id.Peer || made.Client != id.Client:
		return fmt.Errorf("exported identity: its keys make peer %s, but it says %s; the file is damaged", made.Peer, id.Peer)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	for _, name := range []string{identityFile, clientFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return fmt.Errorf("%s has an identity already; it is never replaced: use another --data-dir", dir)
		}
	}
	return errors.Join(p2p.WriteIdentity(filepath.Join(dir, identityFile), keys[0]), p2p.WriteIdentity(filepath.Join(dir, clientFile), keys[1]))
}
