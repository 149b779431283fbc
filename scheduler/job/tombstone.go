package job

import (
	"cmp"
	"slices"
)

// bury leaves tombstones of jobs that are forgotten and lets those go that had
// their time. When the table is full the oldest go early: nothing depends on
// them, since a job is forgotten only after its offer has expired, and an expired
// offer is refused whether or not its id is remembered. A tombstone only tells
// who asks that there was such a job.
func (s *State) bury(ids []ID) {
	if len(s.graves) != len(s.Tombstones) {
		s.graves = make([]ID, 0, len(s.Tombstones))
		// any order: sorted below
		for id := range s.Tombstones {
			s.graves = append(s.graves, id)
		}
		slices.SortFunc(s.graves, s.byAge)
	}
	until := s.Time + TombstoneLife.Milliseconds() // never less than that of those before
	same := len(s.graves)
	for same > 0 && s.Tombstones[s.graves[same-1]] == until {
		same--
	}
	for _, id := range ids {
		s.Tombstones[id] = until
		s.graves = append(s.graves, id)
	}
	slices.SortFunc(s.graves[same:], s.byAge)
	for len(s.graves) > 0 && (s.Time > s.Tombstones[s.graves[0]] || len(s.graves) > MaxTombstones) {
		delete(s.Tombstones, s.graves[0])
		s.graves = s.graves[1:]
	}
}

// byAge is one order on all replicas, also on those that read a snapshot.
func (s *State) byAge(a, b ID) int {
	return cmp.Or(cmp.Compare(s.Tombstones[a], s.Tombstones[b]), slices.Compare(a[:], b[:]))
}
