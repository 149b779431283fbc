package api

// BlobInfo names stored content.
type BlobInfo struct {
	CID  string `json:"cid" doc:"UnixFS CID"`
	Size int64  `json:"size" doc:"Bytes of content"`
}

// BlobFile is one file below a CID. A CID that is a single file has one entry
// with an empty path.
type BlobFile struct {
	Path  string `json:"path" doc:"Relative, with slashes"`
	Size  int64  `json:"size" doc:"Bytes"`
	CID   string `json:"cid,omitempty" doc:"The CID below which the file lies, if it is not the list's"`
	Below string `json:"below,omitempty" doc:"Its path below that CID"`
}

// BlobList is what lies below a CID.
type BlobList struct {
	CID   string     `json:"cid,omitempty" doc:"The CID listed; none for the files of several tasks"`
	Files []BlobFile `json:"files"`
}

// Resources is an amount of a machine: offered, used or wanted.
type Resources struct {
	CPU    float64 `json:"cpu" doc:"Cores"`
	Memory int64   `json:"memory" doc:"Bytes"`
	Disk   int64   `json:"disk,omitempty" doc:"Bytes"`
	GPUs   int     `json:"gpus,omitempty"`
}

// The states of a worker.
const (
	WorkerOnline   = "online"
	WorkerBusy     = "busy"
	WorkerDraining = "draining"
	WorkerOffline  = "offline"
	WorkerBanned   = "banned"
)

// Worker is what this node knows of one worker, from its signed capabilities and
// from what the shards' leaders say.
type Worker struct {
	ID        string            `json:"id" doc:"Peer id"`
	Name      string            `json:"name,omitempty"`
	State     string            `json:"state" enum:"online,busy,draining,offline,banned"`
	Version   string            `json:"version,omitempty"`
	Total     Resources         `json:"total"`
	Free      Resources         `json:"free"`
	Running   int               `json:"running" doc:"Attempts under way"`
	Executors []string          `json:"executors,omitempty"`
	JobTypes  []string          `json:"jobTypes,omitempty" doc:"Empty means all"`
	Labels    map[string]string `json:"labels,omitempty"`
	Shards    []int             `json:"shards,omitempty" doc:"Shards it is attached to"`
	Seen      Time              `json:"seen,omitzero" doc:"When it was last heard of"`
	Self      bool              `json:"self,omitempty" doc:"True for the answering node"`
}

// WorkerList is the workers a node has heard of.
type WorkerList struct {
	Workers []Worker `json:"workers"`
	AsOf    Time     `json:"asOf,omitzero"`
}

// Peer is another node this node is connected to or knows an address of.
type Peer struct {
	ID        string   `json:"id"`
	Name      string   `json:"name,omitempty"`
	Roles     []string `json:"roles"`
	Version   string   `json:"version,omitempty"`
	Addresses []string `json:"addresses,omitempty"`
	Connected bool     `json:"connected"`
	Transport string   `json:"transport,omitempty" doc:"tcp or quic-v1"`
	Latency   float64  `json:"latency,omitempty" doc:"Round trip in seconds"`
	Since     Time     `json:"since,omitzero" doc:"Connected since"`
}

// PeerList is the peers of a node.
type PeerList struct {
	Peers []Peer `json:"peers"`
}

// Voter is one member of a shard's Raft group.
type Voter struct {
	Peer    string `json:"peer"`
	Learner bool   `json:"learner,omitempty"`
	Seen    Time   `json:"seen,omitzero" doc:"Last contact with the leader, when the leader answered"`
	Behind  uint64 `json:"behind,omitempty" doc:"Entries of the log that it had not confirmed when the leader last reported"`
}

// Shard is the state of one shard's group.
type Shard struct {
	ID       int      `json:"id"`
	Leader   string   `json:"leader,omitempty" doc:"Peer id; empty when no leader is known"`
	Term     uint64   `json:"term"`
	Applied  uint64   `json:"applied,omitempty" doc:"Applied log index at the node that answered"`
	Voters   []Voter  `json:"voters"`
	Target   int      `json:"target" doc:"Voters the shard should have now"`
	Live     int      `json:"live,omitempty" doc:"Voters that the leader hears, itself included"`
	Complete bool     `json:"complete" doc:"True when it has them"`
	Jobs     int      `json:"jobs,omitempty" doc:"Jobs that are not terminal"`
	Queued   int      `json:"queued,omitempty" doc:"Tasks that wait"`
	Trouble  string   `json:"trouble,omitempty" doc:"Why nothing can be decided, and what to do, when a majority of the voters is unreachable"`
	Local    string   `json:"local,omitempty" doc:"This node's part: leader, follower, learner, or none"`
	AsOf     Time     `json:"asOf,omitzero" doc:"When its leader was last heard of"`
	Reasons  []Reason `json:"reasons,omitempty" doc:"Why it is not complete: no_leader, unheard, majority_lost, no_report, few_voters or silent_voters"`
}

// ShardList is every shard of the network, by number.
type ShardList struct {
	Shards     []Shard `json:"shards"`
	Unanswered []int   `json:"unanswered,omitempty" doc:"Shards whose leader did not answer"`
	AsOf       Time    `json:"asOf,omitzero"`
}

// Status is the answering node and how it sees its network.
type Status struct {
	Peer       string    `json:"peer" doc:"This node's peer id"`
	Name       string    `json:"name,omitempty"`
	Version    string    `json:"version"`
	Network    string    `json:"network" doc:"Network id"`
	Title      string    `json:"title,omitempty" doc:"The network's name"`
	Roles      []string  `json:"roles" doc:"worker, coordinator; empty for a mere door"`
	Addresses  []string  `json:"addresses" doc:"Full multiaddresses for --join"`
	Started    Time      `json:"started"`
	Uptime     float64   `json:"uptime" doc:"Seconds"`
	Peers      int       `json:"peers" doc:"Connected peers"`
	Shards     int       `json:"shards" doc:"Shards of the network"`
	Leads      []int     `json:"leads,omitempty" doc:"Shards this node leads"`
	Votes      []int     `json:"votes,omitempty" doc:"Shards this node votes in"`
	Running    int       `json:"running" doc:"Attempts under way on this node"`
	Total      Resources `json:"total" doc:"What this node offers"`
	Free       Resources `json:"free"`
	Draining   bool      `json:"draining,omitempty"`
	JoinHint   string    `json:"joinHint,omitempty" doc:"The command that joins another machine; never carries the secret"`
	DataFormat int       `json:"dataFormat,omitempty" doc:"Format version of the data directory"`
}

// The values of [Health.Status].
const (
	HealthOK       = "ok"       // everything works and every shard is fully replicated
	HealthDegraded = "degraded" // it works, with less redundancy than it should have
	HealthFailing  = "failing"  // jobs are not being served here; answered with 503
)

// Health is a verdict and what it rests on.
type Health struct {
	Status          string  `json:"status" enum:"ok,degraded,failing"`
	FullyReplicated bool    `json:"fullyReplicated" doc:"True when every shard has its target of voters and a leader"`
	Checks          []Check `json:"checks,omitempty"`
	AsOf            Time    `json:"asOf,omitzero"`
}

// Check is one finding of [Health].
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail,omitempty"`
}
