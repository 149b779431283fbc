package p2p

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/libp2p/go-libp2p/core/crypto"
)

// maxIdentityFile bounds what is read from an identity file, in bytes; a key
// takes 68.
const maxIdentityFile = 4096

// LoadOrCreateIdentity reads the Ed25519 key at path, or creates it with mode
// 0600 if there is no file. Creation is atomic and synced: after a crash there
// is either no file or a whole key, so a node never comes back as somebody else
// without saying so. A damaged file is an error, never a new identity. The
// folder must exist.
func LoadOrCreateIdentity(path string) (crypto.PrivKey, error) {
	raw, err := readIdentity(path)
	if errors.Is(err, fs.ErrNotExist) {
		return createIdentity(path)
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	key, err := crypto.UnmarshalPrivateKey(raw)
	if err != nil {
		return nil, fmt.Errorf("identity %s is damaged (%w): restore it from a copy, or remove it to join as a new node", path, err)
	}
	if key.Type() != crypto.Ed25519 {
		return nil, fmt.Errorf("identity %s holds a key of type %s, want Ed25519: restore it from a copy, or remove it to join as a new node", path, key.Type())
	}
	if !coherent(key) {
		return nil, fmt.Errorf("identity %s is damaged (its public half does not match): restore it from a copy, or remove it to join as a new node", path)
	}
	return key, nil
}

// coherent reports whether the public half stored with a key is the one that
// its secret half makes; libp2p takes the stored one without looking.
func coherent(key crypto.PrivKey) bool {
	raw, err := key.Raw()
	return err == nil && len(raw) == ed25519.PrivateKeySize &&
		bytes.Equal(raw, ed25519.NewKeyFromSeed(raw[:ed25519.SeedSize]))
}

func readIdentity(path string) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxIdentityFile {
		return nil, fmt.Errorf("%s is not a key file (%s, %d bytes)", path, info.Mode(), info.Size())
	}
	return os.ReadFile(path)
}

func createIdentity(path string) (crypto.PrivKey, error) {
	key, _, err := crypto.GenerateEd25519Key(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("create identity: %w", err)
	}
	if err := WriteIdentity(path, key); err != nil {
		if errors.Is(err, fs.ErrExist) { // another process was faster: its key counts
			return LoadOrCreateIdentity(path)
		}
		return nil, fmt.Errorf("create identity: %w", err)
	}
	return key, nil
}

// WriteIdentity stores a key at path as LoadOrCreateIdentity reads it. A file
// that is there is never replaced: the error is fs.ErrExist then.
func WriteIdentity(path string, key crypto.PrivKey) error {
	raw, err := crypto.MarshalPrivateKey(key)
	if err != nil {
		return fmt.Errorf("encode identity: %w", err)
	}
	return writeIdentity(path, raw)
}

// writeIdentity puts raw at path in one step. It links instead of renaming, so
// that it never replaces a key that appeared meanwhile.
func writeIdentity(path string, raw []byte) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".identity-*") // mode 0600
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.Remove(f.Name())) }()
	_, err = f.Write(raw)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil {
		return err
	}
	dir, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close())
}
