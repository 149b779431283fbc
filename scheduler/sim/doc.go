// Package sim plays the mesh in one process, on one goroutine and a virtual
// clock: the same cores that a node runs (packages shard and worker), around
// them a shell like a node's, a network that loses, doubles, delays and
// reorders, disks that forget what was not synced, and clients that do not give
// up. One seed is one run, bit for bit.
package sim
