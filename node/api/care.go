package api

import (
	"context"
	"encoding/json"
)

// Waiting is what a job waits for. The codes are listed in the package comment.
type Waiting struct {
	Code     string      `json:"code" doc:"Stable reason code: no_coordinator, no_worker, no_match, constraints_unreadable, workers_busy, place_reserved, in_queue, backoff, being_placed or tasks_running"`
	Sentence string      `json:"sentence" doc:"The same for people, with what would change it"`
	Task     int         `json:"task" doc:"The first task that waits; -1 is the gather task"`
	Workers  int         `json:"workers,omitempty" doc:"Workers that were looked at"`
	Fit      int         `json:"fit,omitempty" doc:"Of those, the ones that could take it now"`
	Full     int         `json:"full,omitempty" doc:"Of those, the ones that could but have no room now"`
	Excluded []Exclusion `json:"excluded,omitempty" doc:"What keeps the others from it; a worker may be under several"`
}

// Exclusion is one condition of a task that some workers do not meet.
type Exclusion struct {
	Reason    string `json:"reason" enum:"draining,executor,type,client,labels,constraints,constraints_unreadable,price,too_big" doc:"Stable reason code"`
	What      string `json:"what,omitempty" doc:"The label, the clause of the constraints or the resource"`
	Workers   int    `json:"workers" doc:"Workers that do not meet it"`
	Alone     int    `json:"alone" doc:"Of those, the ones that nothing else keeps from the task"`
	Condition string `json:"condition" doc:"The same for people"`
	Change    string `json:"change" doc:"What would lift it"`
}

// DryRun is what would become of a job if it were submitted now.
type DryRun struct {
	Name       string   `json:"name"`
	Tasks      int      `json:"tasks"`
	Now        int      `json:"now" doc:"Workers that could take one of its tasks now"`
	Ever       int      `json:"ever" doc:"Workers that could take one when they have room"`
	Waiting    Waiting  `json:"waiting" doc:"What it would wait for, as describe would say it"`
	Gather     *Waiting `json:"gather,omitempty" doc:"The same of the gather task, where it needs other resources"`
	AheadLeast int      `json:"aheadLeast" doc:"Waiting tasks that would be served before it, in the shard with the fewest"`
	AheadMost  int      `json:"aheadMost" doc:"And in the shard with the most: which shard takes the job is known only when it is signed"`
	Without    []int    `json:"without,omitempty" doc:"Shards to which no worker that could ever run it is attached"`
	Unanswered []int    `json:"unanswered,omitempty" doc:"Shards whose coordinator did not answer; their workers may be missing"`
	AsOf       Time     `json:"asOf,omitzero" doc:"When the coordinators were asked"`
	Age        float64  `json:"age" doc:"Seconds that what they know of their workers may be old"`
}

// Advice says what would be.
type Advice interface {
	// DryRun checks a spec as Submit would, without storing or committing
	// anything. Local files need not be uploaded.
	DryRun(ctx context.Context, spec json.RawMessage) (DryRun, error)
}

// RetryQuery says what to retry. Task is nil for all dead tasks. Round is the one
// to open, 0 for the next; naming it makes repeating safe.
type RetryQuery struct {
	Task  *int
	Round int
}

// Round is a job's round that a retry opened.
type Round struct {
	Job     string `json:"job"`
	Round   int    `json:"round" doc:"The job's round now"`
	Created bool   `json:"created" doc:"False when the round had been opened before"`
}

// DeadLetter is a task that was given up for its own failures.
type DeadLetter struct {
	Job      string `json:"job"`
	Name     string `json:"name,omitempty" doc:"Of the job"`
	Type     string `json:"type"`
	JobState string `json:"jobState" enum:"pending,running,assembling,completed,failed,cancelled"`
	Shard    int    `json:"shard"`
	Round    int    `json:"round"`
	Task
}

// DeadLetterList is the dead letters that are kept, the newest first.
type DeadLetterList struct {
	Letters    []DeadLetter `json:"letters"`
	Truncated  bool         `json:"truncated,omitempty" doc:"True when there are more"`
	Unanswered []int        `json:"unanswered,omitempty" doc:"Shards whose leader did not answer; their letters are missing here"`
	AsOf       Time         `json:"asOf,omitzero"`
}

// Rounds gives failed jobs another chance.
type Rounds interface {
	// Retry opens a failed job's next round: CodeConflict for a job that has not
	// failed and for a task that is not dead.
	Retry(ctx context.Context, id string, q RetryQuery) (Round, error)
	// DeadLetters lists at most limit dead letters of all shards.
	DeadLetters(ctx context.Context, limit int) (DeadLetterList, error)
}
