// Package meshpb holds the protocol buffers that nodes send each other. What
// the core itself means (offers, commands, work messages) has its own
// deterministic encoding (package scheduler/codec) and travels inside these
// messages as bytes, so that this package only says how things travel.
package meshpb

//go:generate protoc --go_out=. --go_opt=paths=source_relative mesh.proto
