package node

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ciro-network/ciro/node/api"
	"github.com/ciro-network/ciro/node/meshpb"
	"github.com/ciro-network/ciro/scheduler/job"
	"github.com/ciro-network/ciro/scheduler/shard"
)

// place is where a job stands in a list: newest first, equals by id. The zero
// place is before all.
type place struct {
	at int64 // accepted, ms
	id string
}

func placeOf(s *api.JobSummary) place { return place{s.Submitted.UnixMilli(), s.ID} }

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(q.at, p.at), strings.Compare(p.id, q.id))
}

// cursor is the text form of the place; parsePlace reads it.
func (p place) cursor() string { return fmt.Sprintf("%d.%s", p.at, p.id) }

func parsePlace(cursor string) (place, error) {
	if cursor == "" {
		return place{}, nil
	}
	ms, id, _ := strings.Cut(cursor, ".")
	at, err := strconv.ParseInt(ms, 10, 64)
	if raw, bad := hex.DecodeString(id); err != nil || bad != nil || len(raw) != len(job.ID{}) || at < 0 {
		return place{}, api.Refuse(api.CodeInvalidRequest, "take it from the page before", "%q is no cursor", cursor)
	}
	return place{at, id}, nil
}

// List implements api.Jobs. Pages follow the submission time, newest first; the
// cursor is the last job's place, so jobs that come meanwhile move nothing.
func (a *adapter) List(ctx context.Context, q api.ListQuery) (api.JobList, error) {
	limit := q.Limit
	if limit <= 0 || limit > api.MaxListLimit {
		limit = 100
	}
	after, err := parsePlace(q.Cursor)
	if err != nil {
		return api.JobList{}, err
	}
	out := api.JobList{Jobs: []api.JobSummary{}, AsOf: api.At(time.Now())}
	seen := map[string]bool{}
	list := &meshpb.List{State: q.State, Type: q.Type, Text: q.Text, Limit: uint32(limit + 1)}
	if after.id != "" {
		list.Before = after.at
		list.BeforeId, _ = hex.DecodeString(after.id) // parsePlace has read it
	}
	req := &meshpb.JobRequest{What: &meshpb.JobRequest_List{List: list}}
	out.Unanswered = a.everyLeader(ctx, answerBy(), req, func(r *meshpb.JobReply) error {
		var part []api.JobSummary
		if err := json.Unmarshal(r.Json, &part); err != nil {
			return err
		}
		for _, s := range part {
			if !seen[s.ID] && (after.id == "" || placeOf(&s).compare(after) > 0) {
				seen[s.ID] = true
				out.Jobs = append(out.Jobs, s)
			}
		}
		return nil
	})
	sortSummaries(out.Jobs)
	if len(out.Jobs) > limit {
		out.Jobs = out.Jobs[:limit]
		out.Next = placeOf(&out.Jobs[limit-1]).cursor()
	}
	return out, nil
}

func sortSummaries(list []api.JobSummary) {
	slices.SortFunc(list, func(x, y api.JobSummary) int { return placeOf(&x).compare(placeOf(&y)) })
}

func (n *Node) serveList(ctx context.Context, l *meshpb.List) *meshpb.JobReply {
	limit := min(int(l.Limit), api.MaxListLimit+1) // one more than a page says whether there is another
	list := []api.JobSummary{}
	shards := n.led(ctx, func(on uint32, r *shard.Replica) {
		for _, j := range selectJobs(r.State().SortedJobs(), l, limit) {
			list = append(list, summarise(j, on))
		}
	})
	sortSummaries(list)
	r := jsonReply(list[:min(limit, len(list))])
	r.Shards = shards
	return r
}

// selectJobs picks from a shard's jobs, which are in the order in which they were
// accepted, the first limit ones of the list that l asks for, and whatever was
// accepted in the same millisecond as the last of them.
func selectJobs(jobs []*job.Job, l *meshpb.List, limit int) []*job.Job {
	var out []*job.Job
	text := strings.ToLower(l.Text)
	for i := len(jobs) - 1; i >= 0; i-- {
		j := jobs[i]
		if len(out) >= limit && j.Accepted != out[len(out)-1].Accepted {
			break
		}
		behind := len(l.BeforeId) == 0 || j.Accepted < l.Before || j.Accepted == l.Before && bytes.Compare(j.ID[:], l.BeforeId) > 0
		if !behind || l.State != "" && j.State.String() != l.State || l.Type != "" && j.Spec.Type != l.Type || !mentions(j, text) {
			continue
		}
		out = append(out, j)
	}
	return out
}

// mentions says whether a job's name or type contains the text, which is in lower
// case, or its id begins with it.
func mentions(j *job.Job, text string) bool {
	return text == "" || strings.Contains(strings.ToLower(j.Spec.Name), text) || strings.Contains(j.Spec.Type, text) ||
		strings.HasPrefix(j.ID.String(), text)
}
