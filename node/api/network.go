package api

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"
)

// The rules of [Admission].
const (
	AdmissionOpen = "open" // every coordinator that is a member may vote
	AdmissionList = "list" // the founder and those whom it lists
)

// Admission says which coordinators may hold replicas and vote.
type Admission struct {
	Rule     string   `json:"rule" enum:"open,list"`
	Founder  string   `json:"founder" doc:"Peer id; it signs the list"`
	Allowed  []string `json:"allowed" doc:"Peer ids on the founder's list; without effect where the rule is open"`
	Sequence uint64   `json:"sequence" doc:"Version of the list"`
}

// Replica is how far one node's replica of a shard reaches.
type Replica struct {
	Peer    string   `json:"peer"`
	Replica uint64   `json:"replica" doc:"Replica id"`
	Term    uint64   `json:"term" doc:"Of the last entry of its log"`
	Last    uint64   `json:"last" doc:"Index of the last entry"`
	Applied uint64   `json:"applied"`
	Epoch   uint64   `json:"epoch" doc:"Recoveries of the group that it knows of"`
	Leader  string   `json:"leader,omitempty" doc:"Whom it follows"`
	Voters  []string `json:"voters"`
}

// Recovery is what became, or would become, of a shard that lost a majority of
// its voters for good.
type Recovery struct {
	Shard    int       `json:"shard"`
	Replicas []Replica `json:"replicas" doc:"Those that answered"`
	From     string    `json:"from" doc:"Peer whose replica the group begins anew with"`
	MayLose  string    `json:"mayLose" doc:"What may be lost, in a sentence"`
	Done     bool      `json:"done" doc:"False: this was only a look"`
	Epoch    uint64    `json:"epoch,omitempty" doc:"Number of this recovery of the shard"`
}

// Departure is what became of a node's replicas when it was told to leave.
type Departure struct {
	Left []int `json:"left" doc:"Shards whose groups this node has left"`
	Kept []int `json:"kept" doc:"Shards that nobody else could take over in time"`
}

// Network is what an operator may do about who coordinates.
type Network interface {
	// Recover looks at a shard whose voters in lost are gone for good, and with
	// confirm begins its group anew. It is refused while a majority answers.
	Recover(ctx context.Context, shard int, lost []string, confirm bool) (Recovery, error)
	// Admission says who may vote.
	Admission(ctx context.Context) (Admission, error)
	// Allow puts a peer on the founder's list, or takes it off; only the founder's
	// node can.
	Allow(ctx context.Context, peer string, allow bool) (Admission, error)
	// Leave gives up this node's replicas, leaderships first, and waits until
	// others hold them.
	Leave(ctx context.Context) (Departure, error)
}

type recoverInput struct {
	ID   int `path:"id" minimum:"0" maximum:"1023"`
	Body struct {
		Lost    []string `json:"lost" minItems:"1" maxItems:"16" doc:"Peer ids of the voters that will never come back"`
		Confirm bool     `json:"confirm,omitempty" doc:"Do it; otherwise only say what may be lost"`
	}
}

type allowInput struct {
	Body struct {
		Peer   string `json:"peer" minLength:"1" maxLength:"128"`
		Remove bool   `json:"remove,omitempty" doc:"Take it off the list"`
	}
}

// networkRoutes registers what an operator may do about who coordinates.
func (s *Server) networkRoutes(desk huma.API) {
	call(s, desk, op("recover-shard", http.MethodPost, "/network/shards/{id}/recover", "Begin a shard anew that lost a majority of its voters for good"),
		func(ctx context.Context, in *recoverInput) (Recovery, error) {
			return s.cfg.Network.Recover(ctx, in.ID, in.Body.Lost, in.Body.Confirm)
		})
	call(s, desk, op("admission", http.MethodGet, "/network/admission", "Which coordinators may vote"),
		func(ctx context.Context, _ *nothing) (Admission, error) { return s.cfg.Network.Admission(ctx) })
	call(s, desk, op("allow", http.MethodPost, "/network/admission", "Let a coordinator vote, or no more (founder's node only)"),
		func(ctx context.Context, in *allowInput) (Admission, error) {
			return s.cfg.Network.Allow(ctx, in.Body.Peer, !in.Body.Remove)
		})
	call(s, desk, op("leave-network", http.MethodPost, "/network/leave", "Give up this node's replicas of shards"),
		func(ctx context.Context, _ *nothing) (Departure, error) { return s.cfg.Network.Leave(ctx) })
}
