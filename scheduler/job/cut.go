package job

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/ciro-network/ciro/scheduler/codec"
)

// Bounds of what waits for the anchor.
const (
	MaxLeaves    = 50_000  // leaves in the state after which offers are answered busy
	MaxCuts      = 64      // batches that are cut and not anchored; no more are cut
	MaxBatch     = 1 << 14 // leaves of one batch
	maxAllLeaves = 1 << 21 // of a decoded state: accepted jobs may go on beyond MaxLeaves
	maxNamed     = 64      // members named by a cut
	maxSignature = 128
	maxReference = 256
)

// LeafKind says what a leaf records.
type LeafKind uint8

// The kinds of leaves. Numbers are permanent: they are hashed.
const (
	LeafAssignment LeafKind = 1 // an attempt was given to a worker
	LeafCompletion LeafKind = 2 // an attempt's result is the task's for good
)

var leafKindNames = [...]string{"", "assignment", "completion"}

// String returns the name that users see.
func (k LeafKind) String() string { return leafKindNames[k] }

// Leaf is one record for the anchor. There is one for every assignment. A
// task's completion is recorded when nothing can follow it any more: with the
// completion of its job or, if the job failed or was cancelled, when the job is
// forgotten. So a shard never records two completions of one task, and whoever
// settles by completions settles each task at most once (G3).
type Leaf struct {
	Kind    LeafKind
	Term    uint64 // of the log entry that made it
	Seq     uint64 // the fence: log index of the assignment that was made or that completed
	Job     ID
	Task    int32 // wire index
	Attempt uint32
	Worker  string
	Spec    [32]byte // SHA-256 of the encoded spec
	Exit    uint32   // the rest is a completion's
	Output  string   // CID, "" if there is none
	Prints  [32]byte // SHA-256 of what was printed: see printsOf
}

// Cut is one batch of leaves, numbered First to First+Count-1, that was cut off
// for the anchor. Batches count from 1 and leaves from 0, both without a gap.
type Cut struct {
	Seq     uint64
	First   uint64
	Count   uint64 // 0: the batch only names the members
	Term    uint64 // of the log entry that cut it
	At      int64  // shard time of the same
	Members []string
}

// CutOrder is what an OpCut asks for.
type CutOrder struct {
	Seq     uint64   // must be the next
	UpTo    uint64   // number of the first leaf that stays
	Members []string // peers of the group's replicas, sorted
}

// Anchor is what an OpAnchored records: the batch's anchor is final. The core
// does not compute roots; every replica's owner compares Root and Hash with its
// own.
type Anchor struct {
	Seq       uint64
	Root      [32]byte // of the batch's tree
	Hash      [32]byte // of the batch's ledger entry
	Signer    string   // peer
	Signature []byte
	Reference string // where the anchor holds it
}

// Head is the last batch that was anchored.
type Head struct {
	Seq  uint64 // 0: none
	Hash [32]byte
}

// Anchoring is the part of a state that waits for the anchor.
type Anchoring struct {
	First  uint64 // number of Leaves[0]
	Leaves []Leaf // of the batches in Cuts, then the open ones
	Cuts   []Cut  // not anchored, in order
	Seq    uint64 // of the last batch that was cut
	Named  []string
	Head   Head
}

// Batch is a cut with its leaves.
type Batch struct {
	Cut
	Leaves []Leaf
}

// Next returns the number that the next leaf gets.
func (c *Anchoring) Next() uint64 { return c.First + uint64(len(c.Leaves)) }

// OpenFrom returns the number of the first leaf that is in no batch.
func (c *Anchoring) OpenFrom() uint64 {
	if n := len(c.Cuts); n > 0 {
		return c.Cuts[n-1].First + c.Cuts[n-1].Count
	}
	return c.First
}

// Open returns how many leaves are in no batch.
func (c *Anchoring) Open() int { return int(c.Next() - c.OpenFrom()) }

// Batch returns the batch of a cut that is not anchored. The leaves are the
// state's own: nobody may change them.
func (c *Anchoring) Batch(cut Cut) Batch {
	from := cut.First - c.First
	return Batch{Cut: cut, Leaves: c.Leaves[from : from+cut.Count : from+cut.Count]}
}

// cut moves open leaves into the next batch. A repeated order is stale, and so
// is one that would cut nothing.
func (a *applying) cut() string {
	o, c := a.cmd.Cut, &a.Anchoring
	if o == nil {
		return ReasonInvalid
	}
	from := c.OpenFrom()
	nothing := o.UpTo == from && slices.Equal(o.Members, c.Named)
	if o.Seq != c.Seq+1 || o.UpTo < from || o.UpTo > c.Next() || o.UpTo-from > MaxBatch || nothing || len(c.Cuts) >= MaxCuts {
		return ReasonStale
	}
	c.Seq = o.Seq
	c.Named = o.Members
	cut := Cut{Seq: o.Seq, First: from, Count: o.UpTo - from, Term: a.term, At: a.Time, Members: o.Members}
	c.Cuts = append(c.Cuts, cut)
	a.out.Cut = &cut
	return ""
}

// anchored lets the leaves of the oldest batch go.
func (a *applying) anchored() string {
	an, c := a.cmd.Anchor, &a.Anchoring
	if an == nil {
		return ReasonInvalid
	}
	if len(c.Cuts) == 0 || c.Cuts[0].Seq != an.Seq {
		return ReasonStale
	}
	n := c.Cuts[0].Count
	c.First += n
	c.Leaves = slices.Clone(c.Leaves[n:]) // what is gone must not be held by the array
	c.Cuts = slices.Clone(c.Cuts[1:])
	c.Head = Head{Seq: an.Seq, Hash: an.Hash}
	a.out.Anchored = an
	return ""
}

// record appends a leaf about a task's current attempt.
func (a *applying) record(j *Job, index int32, kind LeafKind) {
	t := j.Task(index)
	l := Leaf{Kind: kind, Term: a.term, Seq: t.Fence, Job: j.ID, Task: index, Attempt: t.Attempt, Worker: t.Worker, Spec: j.specHash}
	if kind == LeafCompletion {
		l.Exit, l.Output, l.Prints = t.Result.Exit, t.Result.Output, printsOf(t.Result)
	}
	a.Anchoring.Leaves = append(a.Anchoring.Leaves, l)
}

// settle records the completion of every task that is done. Nothing may follow.
func (a *applying) settle(j *Job) {
	for i := range j.Tasks {
		if t := &j.Tasks[i]; t.State == Done && t.Result != nil {
			a.record(j, j.WireIndex(i), LeafCompletion)
		}
	}
}

// printsOf hashes what an attempt printed: stdout's CID and inline bytes and
// stderr's CID, each with its length before it; zero if it printed nothing.
func printsOf(r *Result) [32]byte {
	if r.Stdout == "" && r.Stderr == "" && len(r.Inline) == 0 {
		return [32]byte{}
	}
	var w codec.Writer
	w.String(r.Stdout)
	w.Bytes(r.Inline)
	w.String(r.Stderr)
	return sha256.Sum256(w.Data())
}

const batchVersion = 1

// Encode returns the batch's one binary form.
func (b *Batch) Encode() []byte {
	var w codec.Writer
	w.Uint(batchVersion)
	putCut(&w, &b.Cut)
	for i := range b.Leaves {
		putLeaf(&w, &b.Leaves[i])
	}
	return w.Data()
}

// DecodeBatch reads a batch.
func DecodeBatch(raw []byte) (*Batch, error) {
	r := codec.NewReader(raw)
	if v := r.Uint(); v != batchVersion && r.Err() == nil {
		return nil, fmt.Errorf("batch version %d is not known here; this node speaks %d, update it", v, batchVersion)
	}
	b := &Batch{Cut: getCut(r)}
	for i := uint64(0); i < b.Count && r.Err() == nil; i++ {
		b.Leaves = append(b.Leaves, getLeaf(r))
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("batch: %w", err)
	}
	return b, nil
}

func putLeaf(w *codec.Writer, l *Leaf) {
	w.Uint(uint64(l.Kind))
	w.Uint(l.Term)
	w.Uint(l.Seq)
	w.Fixed(l.Job[:])
	w.Int(int64(l.Task))
	w.Uint(uint64(l.Attempt))
	w.String(l.Worker)
	w.Fixed(l.Spec[:])
	if l.Kind == LeafCompletion {
		w.Uint(uint64(l.Exit))
		w.String(l.Output)
		w.Fixed(l.Prints[:])
	}
}

func getLeaf(r *codec.Reader) Leaf {
	kind := r.Uint()
	if kind != uint64(LeafAssignment) && kind != uint64(LeafCompletion) {
		r.Fail(fmt.Errorf("leaf kind %d is not known", kind))
		return Leaf{}
	}
	l := Leaf{Kind: LeafKind(kind), Term: r.Uint(), Seq: r.Uint()}
	copy(l.Job[:], r.Fixed(32))
	l.Task, l.Attempt, l.Worker = getIndex(r), r.Uint32(), r.String(maxPeerText)
	copy(l.Spec[:], r.Fixed(32))
	if l.Kind == LeafCompletion {
		l.Exit, l.Output = r.Uint32(), r.String(MaxName)
		copy(l.Prints[:], r.Fixed(32))
	}
	return l
}

func putCut(w *codec.Writer, c *Cut) {
	w.Uint(c.Seq)
	w.Uint(c.First)
	w.Uint(c.Count)
	w.Uint(c.Term)
	w.Int(c.At)
	w.Strings(c.Members)
}

func getCut(r *codec.Reader) Cut {
	c := Cut{Seq: r.Uint(), First: r.Uint(), Count: r.Uint(), Term: r.Uint(), At: r.Int(), Members: r.Strings(maxNamed, maxPeerText)}
	if c.Count > MaxBatch || c.Seq == 0 || c.First > 1<<62 {
		r.Fail(fmt.Errorf("%w: batch %d of %d leaves from %d", codec.ErrForm, c.Seq, c.Count, c.First))
	}
	return c
}

func putCutOrder(w *codec.Writer, o *CutOrder) {
	w.Bool(o != nil)
	if o != nil {
		w.Uint(o.Seq)
		w.Uint(o.UpTo)
		w.Strings(o.Members[:min(len(o.Members), maxNamed)])
	}
}

func getCutOrder(r *codec.Reader) *CutOrder {
	if !r.Bool() {
		return nil
	}
	return &CutOrder{Seq: r.Uint(), UpTo: r.Uint(), Members: r.Strings(maxNamed, maxPeerText)}
}

func putAnchor(w *codec.Writer, a *Anchor) {
	w.Bool(a != nil)
	if a != nil {
		w.Uint(a.Seq)
		w.Fixed(a.Root[:])
		w.Fixed(a.Hash[:])
		w.String(a.Signer)
		w.Bytes(a.Signature)
		w.String(a.Reference)
	}
}

func getAnchor(r *codec.Reader) *Anchor {
	if !r.Bool() {
		return nil
	}
	a := &Anchor{Seq: r.Uint()}
	copy(a.Root[:], r.Fixed(32))
	copy(a.Hash[:], r.Fixed(32))
	a.Signer, a.Signature, a.Reference = r.String(maxPeerText), r.Bytes(maxSignature), r.String(maxReference)
	return a
}

// Encode returns the anchor's one binary form.
func (a *Anchor) Encode() []byte {
	var w codec.Writer
	putAnchor(&w, a)
	return w.Data()
}

// DecodeAnchor reads an anchor.
func DecodeAnchor(raw []byte) (*Anchor, error) {
	r := codec.NewReader(raw)
	a := getAnchor(r)
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("anchor: %w", err)
	}
	if a == nil {
		return nil, fmt.Errorf("anchor: %w: there is none", codec.ErrForm)
	}
	return a, nil
}

// putAnchoring writes all but the leaves themselves.
func putAnchoring(w *codec.Writer, c *Anchoring) {
	w.Uint(c.First)
	w.Uint(c.Seq)
	w.Strings(c.Named)
	w.Uint(c.Head.Seq)
	w.Fixed(c.Head.Hash[:])
	w.Uint(uint64(len(c.Cuts)))
	for i := range c.Cuts {
		putCut(w, &c.Cuts[i])
	}
	w.Uint(uint64(len(c.Leaves)))
}

// getAnchoring reads what putAnchoring wrote and how many leaves follow.
func getAnchoring(r *codec.Reader) (c Anchoring, leaves int) {
	c = Anchoring{First: r.Uint(), Seq: r.Uint(), Named: r.Strings(maxNamed, maxPeerText), Head: Head{Seq: r.Uint()}}
	copy(c.Head.Hash[:], r.Fixed(32))
	for range r.Count(MaxCuts) {
		c.Cuts = append(c.Cuts, getCut(r))
	}
	return c, r.Count(maxAllLeaves)
}

// checkAnchoring refuses batches that leave a gap or do not fit the leaves.
func checkAnchoring(r *codec.Reader, c *Anchoring) {
	seq, at := c.Head.Seq, c.First
	for i := range c.Cuts {
		if c.Cuts[i].Seq != seq+1 || c.Cuts[i].First != at {
			r.Fail(fmt.Errorf("%w: batches leave a gap", codec.ErrForm))
		}
		seq, at = c.Cuts[i].Seq, at+c.Cuts[i].Count
	}
	if r.Err() == nil && (seq != c.Seq || at > c.Next() || c.First > 1<<62) {
		r.Fail(fmt.Errorf("%w: batches do not fit the leaves", codec.ErrForm))
	}
}
