package node

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
)

// TestSelectJobsPages: pages of any size, put together from several shards as List
// does it, give every job once and in order, however many were accepted at once
// and although others come meanwhile.
func TestSelectJobsPages(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		shards := make([][]*job.Job, 1+rng.IntN(4))
		at, made := int64(1000), 0
		add := func() {
			at += int64(rng.IntN(2)) * int64(rng.IntN(3))
			j := &job.Job{Accepted: at, Spec: &job.Spec{Name: fmt.Sprint("job ", made), Type: "custom"}}
			for i := range j.ID {
				j.ID[i] = byte(rng.Uint32())
			}
			shards[made%len(shards)] = append(shards[made%len(shards)], j)
			made++
		}
		for range 2 + rng.IntN(120) {
			add()
		}
		want := slices.Concat(shards...)
		slices.SortFunc(want, func(x, y *job.Job) int {
			return cmp.Or(cmp.Compare(y.Accepted, x.Accepted), strings.Compare(x.ID.String(), y.ID.String()))
		})
		limit := 1 + rng.IntN(12)
		var got []string
		for cursor := ""; ; at++ {
			after, err := parsePlace(cursor)
			if err != nil {
				t.Fatal(err)
			}
			l := &meshpb.List{Before: after.at}
			l.BeforeId, _ = hex.DecodeString(after.id)
			var page []api.JobSummary
			for on, jobs := range shards {
				part := []api.JobSummary{}
				for _, j := range selectJobs(jobs, l, limit+1) {
					part = append(part, summarise(j, uint32(on)))
				}
				sortSummaries(part)
				page = append(page, part[:min(len(part), limit+1)]...)
			}
			sortSummaries(page)
			if len(page) <= limit {
				for _, s := range page {
					got = append(got, s.ID)
				}
				break
			}
			for _, s := range page[:limit] {
				got = append(got, s.ID)
			}
			cursor = placeOf(&page[limit-1]).cursor()
			at += 5 // later than all so far: not on a page to come
			add()
		}
		if len(got) != len(want) {
			t.Fatalf("seed %d: %d jobs on all pages of %d, want %d", seed, len(got), limit, len(want))
		}
		for i := range got {
			if got[i] != want[i].ID.String() {
				t.Fatalf("seed %d: job %d of the list is %s, want %s", seed, i, got[i], want[i].ID)
			}
		}
	}
}

// TestSelectJobsFilters: state, type and text narrow the list.
func TestSelectJobsFilters(t *testing.T) {
	jobs := []*job.Job{
		{ID: job.ID{0xab, 0xcd}, Accepted: 1, State: job.Failed, Spec: &job.Spec{Name: "Night Render", Type: "render3d"}},
		{ID: job.ID{0x12}, Accepted: 2, State: job.Running, Spec: &job.Spec{Name: "words", Type: "custom"}},
		{ID: job.ID{0x13}, Accepted: 3, State: job.Running, Spec: &job.Spec{Name: "Étude", Type: "audio"}},
	}
	for _, tt := range []struct {
		list *meshpb.List
		want string
	}{
		{&meshpb.List{}, "Étude,words,Night Render"},
		{&meshpb.List{State: "running"}, "Étude,words"},
		{&meshpb.List{Type: "custom"}, "words"},
		{&meshpb.List{Text: "RENDER"}, "Night Render"},
		{&meshpb.List{Text: "der3"}, "Night Render"},
		{&meshpb.List{Text: "éTUDE"}, "Étude"},
		{&meshpb.List{Text: "abCD"}, "Night Render"},
		{&meshpb.List{Text: "bcd"}, ""},
		{&meshpb.List{Text: "1", State: "failed"}, ""},
	} {
		var got []string
		for _, j := range selectJobs(jobs, tt.list, 10) {
			got = append(got, j.Spec.Name)
		}
		if strings.Join(got, ",") != tt.want {
			t.Errorf("%v: %q, want %q", tt.list, got, tt.want)
		}
	}
}

func TestParsePlace(t *testing.T) {
	id := strings.Repeat("ab", len(job.ID{}))
	if p, err := parsePlace("1700000000000." + id); err != nil || p.cursor() != "1700000000000."+id {
		t.Errorf("%v, %v", p, err)
	}
	for _, bad := range []string{"100", ".", "x." + id, "-1." + id, "1." + id[2:], "1." + id + "00", "1.zz" + id[2:]} {
		if _, err := parsePlace(bad); err == nil {
			t.Errorf("%q is taken for a cursor", bad)
		}
	}
}

// TestShardReasons: a shard that is not complete says why, one that is says nothing.
func TestShardReasons(t *testing.T) {
	for _, tt := range []struct {
		voters, wanted, live int
		leader               string
		age                  time.Duration
		want                 string
	}{
		{voters: 3, wanted: 3, live: 3, leader: "a"},
		{voters: 5, wanted: 3, live: 3, leader: "a"},
		{voters: 3, wanted: 3, live: 3, leader: "a", age: staleAfter + 1, want: "unheard"},
		{voters: 3, wanted: 3, live: 3, want: "no_leader"},
		{voters: 3, live: 3, leader: "a", want: "no_report"},
		{voters: 1, wanted: 3, live: 1, leader: "a", want: "few_voters"},
		{voters: 2, wanted: 3, live: 1, leader: "a", want: "few_voters silent_voters"},
		{voters: 3, wanted: 3, live: 2, leader: "a", want: "silent_voters"},
	} {
		k := &known{ShardReport: &meshpb.ShardReport{Leader: tt.leader, Wanted: uint32(tt.wanted), Live: uint32(tt.live),
			Voters: []string{"a", "b", "c", "d", "e"}[:tt.voters], Behind: []uint64{0, 7, 0, 0, 0, 9}}}
		s := viewShard(k, tt.age)
		var codes []string
		for _, r := range s.Reasons {
			codes = append(codes, r.Code)
			if r.Sentence == "" {
				t.Errorf("%s has no sentence", r.Code)
			}
		}
		if got := strings.Join(codes, " "); got != tt.want || s.Complete != (tt.want == "") || len(s.Voters) != tt.voters {
			t.Errorf("%+v: reasons %q, complete %v, %d voters", tt, got, s.Complete, len(s.Voters))
		}
		if tt.voters > 1 && s.Voters[1].Behind != 7 {
			t.Errorf("voter b is %d behind", s.Voters[1].Behind)
		}
	}
}
