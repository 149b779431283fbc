package proof

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/ciro-network/ciro/chain/ledger"
	"github.com/ciro-network/ciro/chain/merkle"
)

// Rules say what a proof is held against.
type Rules struct {
	Network string // id in hexadecimal; "" takes the file's own, which the caller has to compare
	// Genesis reads who founded a network, and its name, from its genesis.
	Genesis func(raw []byte) (founder, name string, err error)
	Verify  ledger.Verify
	Trust   []string // peers whose signatures count beside what follows from the founder
}

// Verdict is what a good proof shows.
type Verdict struct {
	Network ID       `json:"network"`
	Name    string   `json:"name"`
	Founder string   `json:"founder"`
	Shard   uint32   `json:"shard"`
	Job     ID       `json:"job"`
	Records []Record `json:"records"`
	Batches []uint64 `json:"batches"`
	Signers []string `json:"signers"` // of the entries from the first batch to the head
	Through []uint64 `json:"through"` // earlier entries that lead from the founder to them
	Head    uint64   `json:"head"`
	HeadAt  int64    `json:"headAt"` // unix milliseconds
	Given   bool     `json:"networkGiven"`
}

// Verify checks a proof file. The error is a sentence that names what does not
// fit.
func Verify(data []byte, r Rules) (*Verdict, error) {
	f, err := Decode(data)
	if err != nil {
		return nil, err
	}
	v := &Verdict{Network: f.Network, Shard: f.Shard, Job: f.Job, Records: f.Records, Given: r.Network != ""}
	if err := f.checkNetwork(r, v); err != nil {
		return nil, err
	}
	if len(f.Records) == 0 || len(f.Entries) == 0 {
		return nil, errors.New("the file proves nothing: it has no records or no ledger entries")
	}
	if len(f.Records) > MaxRecords || len(f.Entries) > 2*MaxEntries {
		return nil, fmt.Errorf("the file has %d records and %d entries, more than a proof may have", len(f.Records), len(f.Entries))
	}
	if err := f.checkEntries(r, v); err != nil {
		return nil, err
	}
	if err := f.checkRecords(v); err != nil {
		return nil, err
	}
	return v, f.checkChain(v)
}

func (f *File) checkNetwork(r Rules, v *Verdict) error {
	if sha256.Sum256(f.Genesis) != f.Network {
		return fmt.Errorf("the genesis in the file is not that of network %v: its hash is another", f.Network)
	}
	if r.Network != "" && r.Network != f.Network.String() {
		return fmt.Errorf("the file is about network %v, not about %s", f.Network, r.Network)
	}
	var err error
	if v.Founder, v.Name, err = r.Genesis(f.Genesis); err != nil {
		return fmt.Errorf("the genesis in the file cannot be read: %w", err)
	}
	return nil
}

// checkEntries checks every signature, and that each signer was named by an
// earlier entry or by the genesis.
func (f *File) checkEntries(r Rules, v *Verdict) error {
	known := map[string]bool{v.Founder: true}
	for _, p := range r.Trust {
		known[p] = true
	}
	last := uint64(0)
	for i := range f.Entries {
		e := &f.Entries[i]
		if e.Seq <= last {
			return fmt.Errorf("entry %d of the ledger does not follow entry %d in the file", e.Seq, last)
		}
		last = e.Seq
		if len(e.Members) > ledger.MaxMembers {
			return fmt.Errorf("entry %d of the ledger names %d members, more than an entry may", e.Seq, len(e.Members))
		}
		if err := r.Verify(e.Signer, ledger.Message(e.entry(f).Hash(), e.Reference), e.Signature); err != nil {
			return fmt.Errorf("entry %d of the ledger is not what %.80q signed: %w", e.Seq, e.Signer, err)
		}
		if !known[e.Signer] {
			return fmt.Errorf("entry %d of the ledger is signed by %s, whom neither the genesis nor an earlier entry in the file names", e.Seq, e.Signer)
		}
		for _, m := range e.Members {
			known[m] = true
		}
	}
	return nil
}

// checkRecords follows every record's path to the root of its batch.
func (f *File) checkRecords(v *Verdict) error {
	type place struct{ batch, index uint64 }
	seen := map[place]bool{}
	completed := map[int32]bool{}
	for i := range f.Records {
		rec := &f.Records[i]
		name := fmt.Sprintf("record %d (%.12s of task %d, attempt %d)", i, rec.Kind, rec.Task, rec.Attempt)
		at, ok := slices.BinarySearchFunc(f.Entries, rec.Batch, func(e Entry, seq uint64) int {
			switch {
			case e.Seq < seq:
				return -1
			case e.Seq > seq:
				return 1
			}
			return 0
		})
		if !ok {
			return fmt.Errorf("%s names batch %d, which is not in the file", name, rec.Batch)
		}
		e := &f.Entries[at]
		leaf, err := rec.leaf(f)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		if err := merkle.Verify(e.Root, e.Count, rec.Index, leaf.Hash(), rec.Path); err != nil {
			return fmt.Errorf("%s does not stand in batch %d: %w", name, rec.Batch, err)
		}
		if seen[place{rec.Batch, rec.Index}] {
			return fmt.Errorf("%s is in the file twice", name)
		}
		seen[place{rec.Batch, rec.Index}] = true
		if rec.Result != nil && completed[rec.Task] {
			return fmt.Errorf("%s: the task completes twice; a shard that did that is broken", name)
		}
		completed[rec.Task] = completed[rec.Task] || rec.Result != nil
		if !slices.Contains(v.Batches, rec.Batch) {
			v.Batches = append(v.Batches, rec.Batch)
		}
	}
	slices.Sort(v.Batches)
	return nil
}

// checkChain checks that the entries from the first batch to the head are
// chained without a gap.
func (f *File) checkChain(v *Verdict) error {
	for i := range f.Entries {
		e := &f.Entries[i]
		if i > 0 && f.Entries[i-1].Seq+1 == e.Seq {
			before := &f.Entries[i-1]
			switch {
			case ID(before.entry(f).Hash()) != e.Previous:
				return fmt.Errorf("entry %d of the ledger does not name entry %d as the one before it", e.Seq, before.Seq)
			case before.First+before.Count != e.First || before.Term > e.Term:
				return fmt.Errorf("entry %d of the ledger does not go on where entry %d ended", e.Seq, before.Seq)
			}
		} else if e.Seq > v.Batches[0] {
			return fmt.Errorf("entry %d of the ledger is missing between the job's batches and the head", e.Seq-1)
		}
		if e.Seq < v.Batches[0] {
			v.Through = append(v.Through, e.Seq)
		} else if !slices.Contains(v.Signers, e.Signer) {
			v.Signers = append(v.Signers, e.Signer)
		}
		v.Head, v.HeadAt = e.Seq, e.At
	}
	slices.Sort(v.Signers)
	return nil
}
