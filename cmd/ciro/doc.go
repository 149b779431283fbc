// Command ciro is a node of a CIRO mesh and the command line to one.
//
//	ciro start                         run a node; founds a network of its own the first time
//	ciro start --join ADDRESS          run a node of an existing network
//	ciro job submit FILE               hand in a job; FILE is YAML or JSON, - is standard input
//	ciro job run FILE --dest DIR       hand it in, watch it, fetch the results
//	ciro job submit FILE --dry-run     say who could run it; submit nothing
//	ciro job list|get|describe|wait|watch|logs|results|cancel|retry|dead-letters
//	ciro chain prove|verify|status|entries
//	ciro worker list, ciro network peers|shards, ciro status
//	ciro init, ciro version
//	ciro sim --seeds N                 play meshes in virtual time while everything goes wrong
//
// The names of earlier versions (submit-job, list-jobs, list-workers,
// generate-config) go on working.
//
// # Finding the node
//
// Every command but start, init, version, demo and sim speaks to a node's HTTP interface.
// Its address is the flag --api, else the variable CIRO_API, else what a running
// node wrote to api.addr in its data directory (--data-dir, CIRO_DATA, ~/.ciro).
//
// # Output
//
// Tables for people by default; -o json and -o yaml for programs, with the fields
// of package api. Progress and remarks go to standard error when the output is
// for programs. Flags may stand before or after arguments.
//
// # Exit codes
//
//	0    done; for wait, watch and run: the job completed
//	1    it failed; for wait, watch and run: the job failed
//	2    the command line is wrong
//	3    the job was cancelled
//	4    no node, or the job's shard, answered: the outcome is unknown
//	130  interrupted
package main
