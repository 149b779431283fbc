package job

import (
	"crypto/sha256"
	"fmt"
	"iter"
	"math"
	"slices"

	"github.com/ciro-network/ciro/scheduler/codec"
)

const stateVersion = 1

// Encode returns the state's one binary form: equal states give equal bytes.
// StartEncoding gives the same bytes in pieces.
func (s *State) Encode() []byte { return s.AppendTo(nil) }

// AppendTo is Encode behind what is in buf.
func (s *State) AppendTo(buf []byte) []byte {
	w := codec.NewWriter(buf)
	jobs := s.SortedJobs()
	s.putHead(&w, len(jobs))
	for _, j := range jobs {
		putJob(&w, j)
	}
	s.tail(s.Events, s.Anchoring).put(&w, math.MaxInt)
	return w.Data()
}

// putHead writes what stands before the jobs.
func (s *State) putHead(w *codec.Writer, jobs int) {
	w.Uint(stateVersion)
	w.Int(s.Time)
	w.Uint(s.Index)
	w.Uint(s.NextID)
	w.Uint(s.Noops)
	members := s.SortedMembers()
	w.Uint(uint64(len(members)))
	for _, m := range members {
		w.Uint(m.ID)
		w.String(m.Peer)
		w.Fixed(be64(m.Incarnation))
	}
	w.Uint(s.Recovery.Epoch)
	w.Uint(s.Recovery.Floor)
	w.Int(s.Recovery.At)
	w.Strings(s.Recovery.Fenced)
	w.Uint(uint64(jobs))
}

// tail is what stands behind the jobs, as it was at one moment: tombstones by
// the first byte of their ids, which are hashes, so that each group is short
// when it is sorted; and the events, of which none ever changes.
type tail struct {
	begun  bool
	count  int // of tombstones
	graves [256][]grave
	next   int // of graves
	events []Event

	anchoring *Anchoring // its lists only grow, or are replaced; nil once its head is written
	leaves    []Leaf
}

type grave struct {
	id    ID
	until int64
}

func (s *State) tail(events []Event, anchoring Anchoring) *tail {
	t := &tail{count: len(s.Tombstones), events: events, anchoring: &anchoring}
	// any order: sorted when they are written
	for id, until := range s.Tombstones {
		t.graves[id[0]] = append(t.graves[id[0]], grave{id, until})
	}
	return t
}

// put writes about limit bytes and says whether there is more.
func (t *tail) put(w *codec.Writer, limit int) bool {
	if !t.begun {
		w.Uint(uint64(t.count))
		t.begun = true
	}
	for ; t.next < len(t.graves); t.next++ {
		if len(w.Data()) >= limit {
			return true
		}
		slices.SortFunc(t.graves[t.next], func(a, b grave) int { return slices.Compare(a.id[:], b.id[:]) })
		for _, g := range t.graves[t.next] {
			w.Fixed(g.id[:])
			w.Int(g.until)
		}
		if t.graves[t.next] = nil; t.next == len(t.graves)-1 {
			w.Uint(uint64(len(t.events)))
		}
	}
	for len(t.events) > 0 && len(w.Data()) < limit {
		putEvent(w, &t.events[0])
		t.events = t.events[1:]
	}
	if len(t.events) > 0 {
		return true
	}
	if t.anchoring != nil {
		putAnchoring(w, t.anchoring)
		t.leaves, t.anchoring = t.anchoring.Leaves, nil
	}
	for len(t.leaves) > 0 && len(w.Data()) < limit {
		putLeaf(w, &t.leaves[0])
		t.leaves = t.leaves[1:]
	}
	return len(t.leaves) > 0
}

// DecodeState reads a state. A Decoder does the same in pieces.
func DecodeState(b []byte) (*State, error) {
	d := NewDecoder(b)
	for {
		if s, err := d.Next(len(b)); s != nil || err != nil {
			return s, err
		}
	}
}

// getHead reads what stands before the jobs and returns their number. Members,
// jobs and tombstones must ascend, so that a state has one form only.
func (s *State) getHead(r *codec.Reader) (jobs int) {
	s.Time, s.Index, s.NextID, s.Noops = r.Int(), r.Uint(), r.Uint(), r.Uint()
	for i, last := range counted(r, 1<<20) {
		m := Member{ID: r.Uint(), Peer: r.String(maxPeerText), Incarnation: fromBE64(r.Fixed(8))}
		if i > 0 && m.ID <= *last {
			r.Fail(fmt.Errorf("%w: members do not ascend", codec.ErrForm))
		}
		s.Members[m.ID], *last = m, m.ID
	}
	s.Recovery = Recovery{Epoch: r.Uint(), Floor: r.Uint(), At: r.Int(), Fenced: r.Strings(maxFenced, maxPeerText)}
	return r.Count(1 << 24)
}

// counted yields the places of a list, at most limit of them, until r fails,
// with a number that the loop's body may keep between them.
func counted(r *codec.Reader, limit int) iter.Seq2[int, *uint64] {
	return func(yield func(int, *uint64) bool) {
		var last uint64
		for i := range r.Count(limit) {
			if r.Err() != nil || !yield(i, &last) {
				return
			}
		}
	}
}

func be64(v uint64) []byte {
	return []byte{byte(v >> 56), byte(v >> 48), byte(v >> 40), byte(v >> 32), byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)}
}

func fromBE64(b []byte) (v uint64) {
	for _, c := range b {
		v = v<<8 | uint64(c)
	}
	return v
}

func putJob(w *codec.Writer, j *Job) {
	w.Bytes(j.Offer)
	w.Uint(j.Term)
	w.Uint(j.Index)
	w.Int(j.Accepted)
	w.Int(j.Begun)
	w.Int(j.Ended)
	w.Uint(uint64(j.Round))
	w.Int(j.Opened)
	w.Uint(uint64(j.State))
	w.String(j.Reason)
	w.Uint(uint64(j.Cause))
	w.Strings(j.Holders)
	for i := range j.Tasks {
		putTask(w, &j.Tasks[i])
	}
}

func getJob(r *codec.Reader) (*Job, error) {
	j := &Job{Offer: r.Bytes(MaxSpecBytes + 1024), Term: r.Uint(), Index: r.Uint(), Accepted: r.Int(), Begun: r.Int(), Ended: r.Int()}
	j.Round, j.Opened = r.Uint32(), r.Int()
	st := r.Uint()
	j.Reason, j.Cause, j.Holders = r.String(MaxErrorText+256), getCause(r), r.Strings(MaxHolders, maxPeerText)
	if err := r.Err(); err != nil {
		return nil, err
	}
	if st > uint64(Cancelled) {
		return nil, fmt.Errorf("job state %d is not known", st)
	}
	offer, err := DecodeOffer(j.Offer)
	if err != nil {
		return nil, err
	}
	if j.Spec, err = offer.decodeSpec(); err != nil {
		return nil, err
	}
	j.ID, j.ClientKey, j.NotAfter, j.State = offer.ID(), offer.ClientKey, offer.NotAfter, JobState(st)
	j.specHash = sha256.Sum256(offer.Spec)
	n := int(j.Spec.Tasks)
	if j.Spec.Gather != nil {
		n++
	}
	j.Tasks = make([]Task, n)
	for i := range j.Tasks {
		getTask(r, &j.Tasks[i])
		for _, e := range j.Tasks[i].Errors {
			j.text += len(e.Detail)
		}
		if i < int(j.Spec.Tasks) {
			j.counts[j.Tasks[i].State]++
		}
	}
	return j, r.Err()
}

func putTask(w *codec.Writer, t *Task) {
	w.Uint(uint64(t.State))
	w.Uint(uint64(t.Attempt))
	w.Uint(uint64(t.Failures))
	w.Uint(uint64(t.Lost))
	w.Int(t.NotBefore)
	w.Uint(t.Fence)
	w.String(t.Worker)
	w.Int(t.Assigned)
	w.Int(t.Started)
	w.Int(t.Ended)
	w.Bool(t.DeadLetter)
	w.Bool(t.Result != nil)
	if t.Result != nil {
		putResult(w, t.Result)
	}
	w.Uint(uint64(len(t.Errors)))
	for _, e := range t.Errors {
		w.Uint(uint64(e.Attempt))
		w.String(e.Worker)
		w.Uint(uint64(e.Cause))
		w.String(e.Detail)
		w.Int(e.At)
	}
}

func getTask(r *codec.Reader, t *Task) {
	st := r.Uint()
	if st > uint64(Dead) {
		r.Fail(fmt.Errorf("task state %d is not known", st))
		st = 0
	}
	t.State = TaskState(st)
	t.Attempt, t.Failures, t.Lost, t.NotBefore = r.Uint32(), r.Uint32(), r.Uint32(), r.Int()
	t.Fence, t.Worker, t.Assigned, t.Started, t.Ended = r.Uint(), r.String(maxPeerText), r.Int(), r.Int(), r.Int()
	t.DeadLetter = r.Bool()
	if r.Bool() {
		t.Result = getResult(r)
	}
	for range r.Count(MaxErrors) {
		t.Errors = append(t.Errors, AttemptError{
			Attempt: r.Uint32(), Worker: r.String(maxPeerText), Cause: getCause(r), Detail: r.String(MaxErrorText), At: r.Int(),
		})
	}
}

func putEvent(w *codec.Writer, e *Event) {
	w.Uint(e.Index)
	w.Uint(uint64(e.N))
	w.Fixed(e.Job[:])
	w.Uint(uint64(e.Kind))
	w.Int(int64(e.Task))
	w.Uint(uint64(e.Attempt))
	w.String(e.Worker)
	w.Uint(uint64(e.Cause))
	w.String(e.Detail)
	w.Int(e.At)
}

func getEvent(r *codec.Reader) Event {
	e := Event{Index: r.Uint(), N: r.Uint32()}
	copy(e.Job[:], r.Fixed(32))
	k := r.Uint()
	if k >= uint64(len(kindNames)) {
		r.Fail(fmt.Errorf("event kind %d is not known", k))
		k = 0
	}
	e.Kind, e.Task, e.Attempt, e.Worker = Kind(k), getIndex(r), r.Uint32(), r.String(maxPeerText)
	e.Cause, e.Detail, e.At = getCause(r), r.String(MaxErrorText+256), r.Int()
	return e
}

// PutEvent appends an event, for messages of other packages.
func PutEvent(w *codec.Writer, e *Event) { putEvent(w, e) }

// GetEvent reads what PutEvent wrote.
func GetEvent(r *codec.Reader) Event { return getEvent(r) }
