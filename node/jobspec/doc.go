// Package jobspec reads and writes job documents: what people and programs
// write in YAML or JSON becomes the one canonical [job.Spec] that a client signs
// and a coordinator commits, and a spec becomes a document again for `describe`.
//
// # One schema
//
// YAML and JSON share one schema, and every level of it is strict: an unknown
// key, a key given twice, a key without a value or a value of the wrong type is
// an error that names file and line, the key, and the nearest known key. Nothing
// is ever ignored, because an ignored key is a job that runs otherwise than its
// author thinks.
//
//	name: hello              # 1..128 characters; default: the file's name, else the type
//	type: custom             # see Types; case, - and _ do not matter; default custom
//	executor: wasm           # the only one there is; default wasm
//	module: hello.wasm       # a file beside this document, or the CID of one
//	moduleSize: 2048         # bytes of the module; the client fills it in
//	args: [--width, 640]     # numbers and truth values are taken as they are written
//	env: {GREETING: hi}      # names that begin with CIRO_ are the mesh's
//	tasks: 12                # 1..10000; default 1
//	gather:                  # a last task that sees all outputs; {} takes all from the job
//	  args: [--join]
//	  resources: {memory: 1GiB}   # what is not given is as in resources below
//	inputs:                  # the guest sees each as /in/<name>
//	  - {name: scene, path: scene.bin}   # exactly one of path, cid and text;
//	  - {name: model, cid: bafy…}        # name defaults to the last element of path
//	  - {name: words, text: "inline"}
//	resources:               # of one task
//	  cpu: 500m              # cores: 0.5 or 500m; default 1
//	  memory: 256MiB         # default 256MiB
//	  disk: 64MiB            # /out and /tmp together; default 64MiB
//	  gpu: {count: 1, memory: 8GiB}      # default none
//	labels: {zone: eu}       # a worker must carry them all
//	constraints: cpu >= 4 and memory >= 8 * GiB and labels["zone"] in ["eu-1", "eu-2"]
//	                         # and must satisfy this; see package constraint for the language
//	timeout: 1h30m           # of one attempt; up to 24h; default 1h
//	deadline: 6h             # of the whole job from its acceptance; default none
//	retries: 3               # 0..100 failures of a task that are tried again; default 3
//	retryOn: [timeout]       # classes of failure that are tried again: failed, trapped, capped, timeout
//	retryFailed: false       # true is short for failed, trapped and capped beside those of retryOn
//	failFast: true           # a dead task ends the job
//	deterministic: true      # randomness and clock are functions of job and task
//	priority: high           # 1..10, or low (1), medium (5), high (8), critical (10); default 5
//	price: {max: 0.05}       # highest worker price, units per core-hour; default any
//	client_address: "0x123"  # payload for settlement
//
// Sizes are whole or decimal numbers with B, kB, MB, GB, TB (powers of 1000) or
// KiB, MiB, GiB, TiB (powers of 1024, the B may be left out); a plain number is
// bytes. Durations are Go's: 30s, 2m, 1h30m; a number without a unit is refused.
// YAML anchors, aliases, tags and several documents in one file are refused.
//
// # From a document to a spec
//
// A document may name local files and carry texts. Their content has to be
// stored in the mesh before there is a spec, and only the client may read
// them; no daemon opens a path that a document names:
//
//	doc, err := jobspec.Parse(data, "job.yaml")
//	for _, f := range doc.LocalFiles() {       // f.Path, or f.Text when inline
//		cid, size := upload(f)
//		err = doc.SetCID(f.Field, cid, size)
//	}
//	post(doc.JSON())                           // to a daemon, which calls Parse and
//	spec, err := doc.Spec()                    // Spec on what it got
//
// Documents are limited to [MaxDocument] bytes and [maxDepth] levels, so Parse is
// safe on untrusted bytes. A Document is not safe for concurrent use.
package jobspec
