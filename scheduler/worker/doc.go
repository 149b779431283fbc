// Package worker is the worker's side of the mesh: which attempts a node holds,
// what of its capacity is free, and which reports are not acknowledged yet. It
// is a value without goroutine, clock, disk or socket.
//
// # Stepping
//
// The owner calls Step with a monotonic time and one event and performs the
// returned actions in their order; it calls Step with Tick at Wake at the
// latest. A Keep action must be durable before any later action of the list is
// performed, so that a report that a leader has seen is never forgotten by a
// crash. On a restart New gets the kept reports back.
//
// # Capacity
//
// The worker is the authority over its own capacity. Bookings (for Hold, then
// they lapse) and attempts are subtracted from the total; what does not fit is
// Refused with what is free now, which costs the leader one round trip and the
// task nothing. A stopped attempt keeps its place until its end has been
// Finished: what still burns cycles is not free. Check verifies that the books
// balance.
//
// # Fencing
//
// The fence of an attempt is the log index of its assignment, so of two
// attempts of one task the one with the higher fence is newer. An assignment
// that is held is not taken twice; one that is newer replaces the older, which
// is killed; one that is not newer than what was ever known for the task is
// refused, also when it has ended meanwhile. One whose report is kept is
// answered with the report. So within one life of the process no attempt runs
// twice, as long as fewer than maxFences other tasks came between.
//
// # Leaders
//
// The owner says who leads each shard that the node serves (Leader). Bookings,
// assignments, acknowledgements and stops are taken from that peer alone; while
// it is unknown, whoever speaks is adopted, since only a leader does. A new
// leader or term gets Attach, the word on what has started, and all kept reports
// of the shard. Then it gets a heartbeat every Beat or a little sooner, so that one
// wake-up does for many shards, and every five of them an
// Attach again: a leader that has forgotten the worker, because it could not
// hear it for a while, learns of it without anybody noticing the gap. Reports
// are repeated every two seconds until the leader acknowledges them. Freed
// capacity is told at once to the leader whose attempt ended and within a tenth
// of a second to the others.
//
// Nothing that runs is ever stopped because a leader is silent: a minority
// partition's tasks run to their end and report when they can.
//
// # Leaving
//
// Draining refuses new work and finishes the rest. HandBack, for a shutdown that
// cannot wait, reports all that runs as drained, which costs it no retry, and
// kills it.
package worker
