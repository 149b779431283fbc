package proof

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/ciro-network/ciro/chain"
	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/chain/merkle"
)

// Format names the form of a proof file.
const Format = "ciro-proof-1"

// Bounds of a proof file.
const (
	MaxFile    = 64 << 20
	MaxEntries = 4096   // from the first batch to the head, and again as many before
	MaxRecords = 50_000 // of one job
)

// The names of the kinds of records.
const (
	KindAssignment = "assignment"
	KindCompletion = "completion"
)

// ID is 32 bytes as 64 lower-case hexadecimal digits.
type ID [32]byte

// String returns the text form.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// MarshalText implements encoding.TextMarshaler.
func (id ID) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, id[:]), nil }

// UnmarshalText reads the text form.
func (id *ID) UnmarshalText(text []byte) error {
	if len(text) != 64 {
		return fmt.Errorf("%.70q: need 64 hexadecimal digits", text)
	}
	if _, err := hex.Decode(id[:], text); err != nil {
		return fmt.Errorf("%.70q: %w", text, err)
	}
	return nil
}

// File is a proof file.
type File struct {
	Format  string   `json:"format"`
	Network ID       `json:"network"`
	Genesis []byte   `json:"genesis"`
	Shard   uint32   `json:"shard"`
	Job     ID       `json:"job"`
	Records []Record `json:"records"`
	Entries []Entry  `json:"entries"`
}

// Record is one record of the job and its place.
type Record struct {
	Kind    string        `json:"kind"`
	Task    int32         `json:"task"` // -1 is the gather task
	Attempt uint32        `json:"attempt"`
	Worker  string        `json:"worker"`
	Term    uint64        `json:"term"`
	Fence   uint64        `json:"fence"`
	Spec    merkle.Digest `json:"spec"`
	Result  *Result       `json:"result,omitempty"` // of a completion
	Batch   uint64        `json:"batch"`
	Index   uint64        `json:"index"`
	Path    []merkle.Hash `json:"path"`
}

// Result is what a completion is about.
type Result struct {
	Exit   uint32 `json:"exit"`
	Output string `json:"output"`
	Prints ID     `json:"prints"`
}

// Entry is one entry of the shard's ledger.
type Entry struct {
	Seq       uint64      `json:"seq"`
	Term      uint64      `json:"term"`
	First     uint64      `json:"first"`
	Count     uint64      `json:"count"`
	Root      merkle.Hash `json:"root"`
	Previous  ID          `json:"previous"`
	At        int64       `json:"at"` // unix milliseconds
	Members   []string    `json:"members"`
	Signer    string      `json:"signer"`
	Signature []byte      `json:"signature"`
	Reference string      `json:"reference"`
}

// FromLeaf makes a record of a leaf at a place.
func FromLeaf(l *merkle.Leaf, batch, index uint64, path []merkle.Hash) Record {
	r := Record{
		Kind: KindAssignment, Task: l.Task, Attempt: l.Attempt, Worker: l.Worker, Term: l.Term, Fence: l.Seq, Spec: l.Spec,
		Batch: batch, Index: index, Path: path,
	}
	if r.Path == nil {
		r.Path = []merkle.Hash{}
	}
	if l.Kind == merkle.Completion {
		r.Kind, r.Result = KindCompletion, &Result{Exit: l.Exit, Output: l.Output, Prints: l.Prints}
	}
	return r
}

// leaf is the record as it was hashed.
func (r *Record) leaf(f *File) (*merkle.Leaf, error) {
	l := &merkle.Leaf{
		Kind: merkle.Assignment, Shard: f.Shard, Term: r.Term, Seq: r.Fence, Job: f.Job, Task: r.Task, Attempt: r.Attempt,
		Worker: r.Worker, Spec: r.Spec,
	}
	switch {
	case r.Kind == KindCompletion && r.Result != nil:
		l.Kind, l.Exit, l.Output, l.Prints = merkle.Completion, r.Result.Exit, r.Result.Output, r.Result.Prints
	case r.Kind != KindAssignment || r.Result != nil:
		return nil, fmt.Errorf("its kind %.20q does not fit", r.Kind)
	}
	return l, nil
}

// FromSigned makes an entry of the ledger's.
func FromSigned(s *ledger.Signed) Entry {
	e := Entry{
		Seq: s.Seq, Term: s.Term, First: s.First, Count: s.Count, Root: s.Root, Previous: s.Previous, At: s.At,
		Members: s.Members, Signer: s.Signer, Signature: s.Signature, Reference: s.Reference,
	}
	if e.Members == nil {
		e.Members = []string{}
	}
	return e
}

// entry is the entry as it was hashed.
func (e *Entry) entry(f *File) *ledger.Entry {
	return &ledger.Entry{
		Batch: chain.Batch{
			Network: f.Network, Shard: f.Shard, Seq: e.Seq, Term: e.Term, First: e.First, Count: e.Count, Root: e.Root, At: e.At, Members: e.Members,
		},
		Previous: e.Previous,
	}
}

// Encode returns the file's one canonical form.
func (f *File) Encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", " ")
	if err := enc.Encode(f); err != nil {
		return nil, fmt.Errorf("encode the proof: %w", err)
	}
	return b.Bytes(), nil
}

// Decode reads a file in its canonical form, and nothing else.
func Decode(data []byte) (*File, error) {
	if len(data) > MaxFile {
		return nil, fmt.Errorf("the file has %d bytes, a proof at most %d", len(data), MaxFile)
	}
	f := &File{}
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(f); err != nil {
		return nil, fmt.Errorf("the file is no proof: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("something follows the proof in the file")
	}
	if f.Format != Format {
		return nil, fmt.Errorf("the file's format is %.40q; this program reads %s", f.Format, Format)
	}
	again, err := f.Encode()
	if err != nil {
		return nil, err
	}
	if at := differ(data, again); at >= 0 {
		return nil, fmt.Errorf("the file was changed: at byte %d it is not in the one form that a proof has", at)
	}
	return f, nil
}

// differ is the first place at which two byte strings differ, -1 if they do not.
func differ(a, b []byte) int {
	for i := range min(len(a), len(b)) {
		if a[i] != b[i] {
			return i
		}
	}
	if len(a) != len(b) {
		return min(len(a), len(b))
	}
	return -1
}
