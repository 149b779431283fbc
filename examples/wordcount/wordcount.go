// Package wordcount is the example that counts the words of a text on the mesh,
// and the pattern for jobs on data: an array of tasks each of which reads its
// own part of one input and leaves partial counts, and a gather task that joins
// them.
//
// The package itself is empty. Its folder holds what the job needs:
//
//	job.yaml             the job as a client submits it
//	wordcount.wasm.gz    the module, built from guest/ by ../build.sh
//	text/                makes the text, 12 MB that are the same everywhere
//	textgen/             the command that writes it to a file
//	words/               who reads what, counting, and joining; no I/O of its own
//
// and its tests hold what the example promises: that the result is, byte for
// byte, that of a plain count of the whole text in one process, however many
// tasks there are, and that the committed module is what its source gives.
package wordcount

//go:generate sh ../build.sh wordcount wordcount.wasm
//go:generate rm wordcount.wasm
