package shard

// ImageOf is the snapshot that a replica restores a small state from.
var ImageOf = imageOf
