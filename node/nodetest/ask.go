package nodetest

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"

	"github.com/ciro-network/ciro/p2p"
)

// ask is p2p.AskOpen on the simulated network.
func (c *Cluster) ask(ctx context.Context, key crypto.PrivKey, to peer.AddrInfo, req p2p.OpenRequest) ([]byte, error) {
	var cfg p2p.Config
	c.place(key, &cfg)
	opts := append([]libp2p.Option{libp2p.Identity(key), libp2p.ListenAddrStrings(cfg.Listen...), libp2p.DisableRelay(), libp2p.DisableMetrics()}, cfg.Options...)
	h, err := libp2p.New(opts...)
	if err != nil {
		return nil, err
	}
	defer h.Close()
	if err := h.Connect(ctx, to); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	s, err := h.NewStream(ctx, to.ID, protocol.ID(req.Protocol))
	if err != nil {
		return nil, err
	}
	defer s.Close()
	if _, err := s.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(req.Body))), req.Body...)); err != nil {
		return nil, err
	}
	var size [4]byte
	if _, err := io.ReadFull(s, size[:]); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(s, int64(binary.BigEndian.Uint32(size[:]))))
}
