// Package aiinference is the example that reads handwritten digits on the mesh:
// an array job of eight tasks, each of which classifies its part of 1,017
// pictures with a small convolutional network, and a gather task that computes
// accuracy and a confusion matrix.
//
// The package itself is empty. Its folder holds what the job needs:
//
//	job.yaml                 the job as a client submits it
//	ai-inference.wasm.gz     the module, built from guest/ by ../build.sh
//	model.bin.gz             the network, trained by train/
//	images.idx.gz            pictures that it has never seen, and
//	labels.idx.gz            what they show
//	digits/                  the network in integers, the files, the split rule
//	train/                   the program that trained it
//	NOTICE                   where the pictures come from, and their licence
//
// and its tests hold what the example promises: that the network was
// trained on none of the pictures, that it reads at least 97 % of them right as
// the module computes it, that the result is the same however many tasks there
// are, and that the committed module is what its source gives.
package aiinference

//go:generate sh ../build.sh ai-inference ai-inference.wasm
//go:generate rm ai-inference.wasm
