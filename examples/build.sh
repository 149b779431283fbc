#!/bin/sh
# Builds an example's module: build.sh EXAMPLE OUT writes OUT and OUT.gz. The same Go release gives the same OUT
# on every machine, whatever its folders and settings.
set -eu
example=$1 out=$2
GOFLAGS= GOEXPERIMENT= GOWASM= GOOS=wasip1 GOARCH=wasm CGO_ENABLED=0 \
	go build -trimpath -buildvcs=false -ldflags='-s -w -buildid=' -o "$out" "github.com/ciro-network/ciro/examples/$example/guest"
gzip -9 -n -c "$out" >"$out.gz"
