// Package api is a node's local HTTP interface: what people, programs, browsers
// and Prometheus see of the mesh through the node they happen to stand beside.
//
// # What it is
//
// The package owns the vocabulary of the surface ([Job], [Task], [Event],
// [Worker], …), the refusals ([Refusal]) and the server ([Server]). It decides
// nothing: every request ends in one call of the small interfaces [Jobs], [Logs],
// [Blobs] and [Mesh], which the node implements. It imports nothing of the mesh.
// Package client, beside it, is the same surface for Go programs.
//
// # Conventions of the wire
//
// JSON with camelCase keys. Times are RFC 3339 in UTC with milliseconds
// ([Time]); a moment that has not come is left out. Durations are seconds as
// numbers, sizes are bytes. Identifiers are text. Unknown fields may appear at
// any time, known ones keep their meaning.
//
// A refusal is an RFC 9457 problem document (application/problem+json) with two
// fields more: code, stable and meant for programs, and next, a sentence that
// says what to do. See the Code constants.
//
// # Endpoints
//
//	GET    /                            the dashboard for browsers, else what is here, as text
//	GET    /health /status /metrics     liveness, this node, Prometheus
//	GET    /openapi.json /openapi.yaml  this surface, described
//	POST   /jobs                        submit a JSON job spec (Idempotency-Key repeats safely)
//	POST   /jobs/dry-run                check a job and say who could run it; commits nothing
//	GET    /jobs                        list, by page, over all shards
//	GET    /jobs/stats                  counts by state and type
//	GET    /jobs/dead-letters           tasks that were given up, with their attempts' errors
//	GET    /jobs/{id}                   everything about one job; unique prefixes of 4 characters do
//	DELETE /jobs/{id}                   cancel
//	POST   /jobs/{id}/retry             open a failed job's next round; naming the round makes repeating safe
//	GET    /jobs/{id}/status            the short form
//	GET    /jobs/{id}/events            server-sent events until the job has ended
//	GET    /jobs/{id}/logs              stdout or stderr of one attempt; text, or server-sent chunks
//	GET    /jobs/{id}/results           the files of the result
//	GET    /jobs/{id}/results/{path}    one of them, by ranges if wanted
//	GET    /jobs/{id}/proof             its proof file, for ciro chain verify
//	GET    /chain/status|entries        how far the shards' ledgers are; one ledger by page
//	                                    (also /blockchain/status|transactions|metrics)
//	PUT    /blobs                       upload, streamed, up to 100 MiB
//	GET    /blobs/{cid}[/{path}]        content by CID, fetched from the mesh when needed (HEAD too)
//	GET    /workers                     the workers this node has heard of
//	GET    /network/peers|shards|health the mesh
//	GET    /events                      all events this node hears of
//
// # What a job waits for
//
// A job that has not ended says what it waits for ([Waiting]): a code that never
// changes its meaning, a sentence with what would change it, and the conditions
// that keep workers from its first waiting task.
//
//	no_coordinator          the job's shard has no reachable coordinator; what is shown is the last known state
//	no_worker               no worker is attached to the shard
//	no_match                workers are attached, but none of them could ever run it
//	constraints_unreadable  the coordinator cannot read the job's constraints
//	workers_busy            the workers that could run it are full, or keep their room for tasks that have waited longer
//	place_reserved          it has waited long, so a worker is kept for it until it fits there
//	in_queue                a worker has room; the task's turn has not come yet
//	backoff                 a task that failed pauses before its next attempt
//	being_placed            a place is being booked at a worker
//	tasks_running           attempts are with workers
//
// A worker is kept from a task by draining, executor, type, client, labels,
// constraints, constraints_unreadable, price or too_big ([Exclusion]).
//
// # Streams
//
// An event stream sends the event's cursor as SSE id, its kind as SSE event and
// the [Event] as data. A reader that lost the connection sends the last id as
// Last-Event-ID (or ?after=) and goes on where it stopped, on this node or
// another. The SSE event "end" says that no more will come; the SSE event
// "error" carries a problem document. A comment is sent every 15 s so that
// middlemen keep the connection. The number of streams is bounded; one too many
// is answered with busy and Retry-After.
//
// # Dashboard
//
// A browser (whose Accept names text/html) gets a page at / that shows this node
// and its mesh: health, jobs with their tasks, errors, logs and results, workers,
// shards, peers, ledgers and events. It only reads. It asks for the open view's
// documents alone, every few seconds or when an event says that something changed,
// ten times as rarely as an answer takes, one page at a time, and not at all while
// its tab is hidden; a node that is gone is tried again ever more rarely, and
// what was heard of it is marked as old. The files are embedded and need no token,
// since they hold nothing of the node's; where the node wants one the page asks for
// it, keeps it in the tab's session storage and sends it as a header, never in an
// address. Its Content-Security-Policy allows no inline script or style, no other
// origin and no markup made from text: names and messages of the mesh are text.
//
// # Limits
//
// A submission for which there is no room now is answered 429 with Retry-After
// and one of three codes: busy (the shard's queue or state is full, or too many
// requests wait), client_limit (this client has as many jobs or tasks under way as
// scheduler.client_jobs and scheduler.client_tasks allow) and client_rate (it
// submits faster than scheduler.client_rate). The coordinators count them in
// ciro_submissions_refused_total. The client commands wait and repeat.
//
// # Security
//
// The server listens on loopback unless told otherwise, and refuses to listen
// elsewhere without a bearer token. Requests must name an allowed host (this
// stops DNS rebinding), anything that changes state must not come from another
// web origin, and no CORS header is ever sent. Bodies, headers, times, clients'
// request rates, concurrent requests and streams are bounded. What tasks wrote
// is served as data that a browser does not run. Tokens never reach the log.
//
// The server never opens a path that a request names: files come as bytes to
// PUT /blobs and are named by CID afterwards.
package api
