package job

import (
	"fmt"
	"iter"
	"slices"

	"github.com/ciro-network/ciro/scheduler/codec"
)

const stateVersion = 1

// Encode returns the state's one binary form: equal states give equal bytes.
func (s *State) Encode() []byte {
	var w codec.Writer
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
	jobs := s.SortedJobs()
	w.Uint(uint64(len(jobs)))
	for _, j := range jobs {
		putJob(&w, j)
	}
	ids := make([]ID, 0, len(s.Tombstones))
	// any order: sorted below
	for id := range s.Tombstones {
		ids = append(ids, id)
	}
	slices.SortFunc(ids, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	w.Uint(uint64(len(ids)))
	for _, id := range ids {
		w.Fixed(id[:])
		w.Int(s.Tombstones[id])
	}
	w.Uint(uint64(len(s.Events)))
	for i := range s.Events {
		putEvent(&w, &s.Events[i])
	}
	return w.Data()
}

// DecodeState reads a state.
func DecodeState(b []byte) (*State, error) {
	r := codec.NewReader(b)
	if v := r.Uint(); v != stateVersion && r.Err() == nil {
		return nil, fmt.Errorf("state version %d is not known here; this node speaks %d, update it", v, stateVersion)
	}
	s := NewState(Member{})
	s.Members = map[uint64]Member{}
	s.Time, s.Index, s.NextID, s.Noops = r.Int(), r.Uint(), r.Uint(), r.Uint()
	if err := s.getTables(r); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	for range r.Count(MaxEvents) {
		s.Events = append(s.Events, getEvent(r))
	}
	if err := r.Close(); err != nil {
		return nil, fmt.Errorf("state: %w", err)
	}
	return s, nil
}

// getTables reads members, jobs and tombstones, each of which must ascend, so
// that a state has one form only.
func (s *State) getTables(r *codec.Reader) error {
	for i, last := range counted(r, 1<<20) {
		m := Member{ID: r.Uint(), Peer: r.String(maxPeerText), Incarnation: fromBE64(r.Fixed(8))}
		if i > 0 && m.ID <= *last {
			r.Fail(fmt.Errorf("%w: members do not ascend", codec.ErrForm))
		}
		s.Members[m.ID], *last = m, m.ID
	}
	for i, last := range counted(r, 1<<24) {
		j, err := getJob(r)
		if err != nil {
			return err
		}
		if _, twice := s.Jobs[j.ID]; twice || i > 0 && j.Index <= *last {
			r.Fail(fmt.Errorf("%w: jobs do not ascend", codec.ErrForm))
		}
		s.Jobs[j.ID], *last = j, j.Index
		s.Bytes += j.size()
	}
	var last ID
	for i := range counted(r, 1<<24) {
		var id ID
		copy(id[:], r.Fixed(32))
		if i > 0 && slices.Compare(id[:], last[:]) <= 0 {
			r.Fail(fmt.Errorf("%w: tombstones do not ascend", codec.ErrForm))
		}
		s.Tombstones[id], last = r.Int(), id
	}
	return r.Err()
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
	w.Uint(uint64(j.State))
	w.String(j.Reason)
	w.Strings(j.Holders)
	for i := range j.Tasks {
		putTask(w, &j.Tasks[i])
	}
}

func getJob(r *codec.Reader) (*Job, error) {
	j := &Job{Offer: r.Bytes(MaxSpecBytes + 1024), Term: r.Uint(), Index: r.Uint(), Accepted: r.Int(), Begun: r.Int(), Ended: r.Int()}
	st := r.Uint()
	j.Reason, j.Holders = r.String(MaxErrorText+256), r.Strings(MaxHolders, maxPeerText)
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
	if j.Spec, err = DecodeSpec(offer.Spec); err != nil {
		return nil, err
	}
	j.ID, j.ClientKey, j.NotAfter, j.State = offer.ID(), offer.ClientKey, offer.NotAfter, JobState(st)
	n := int(j.Spec.Tasks)
	if j.Spec.Gather != nil {
		n++
	}
	j.Tasks = make([]Task, n)
	for i := range j.Tasks {
		getTask(r, &j.Tasks[i])
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
