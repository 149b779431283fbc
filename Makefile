# Everything here needs Go alone, but for race (gcc) and generate (protoc).
export CGO_ENABLED ?= 0
VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS := -s -w -X main.version=$(VERSION)
FAULT   ?= worker
SEEDS   ?= 2000
FUZZTIME ?= 10s
NODES   ?= 1000
RATE    ?= 20
MINUTES ?= 2
SEED    ?= 0

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12
build: ## build bin/ciro, static
	go build -trimpath -ldflags '-s -w' -o cmd/ciro/sandbox.bin ./cmd/ciro-sandbox
	go build -trimpath -tags sandbox -ldflags '$(LDFLAGS)' -o bin/ciro ./cmd/ciro
test: ## run all tests
	go test ./...
check: ## formatting, vet, generated code, module files
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo 'gofmt these:'; gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go mod verify >/dev/null
	go mod tidy -diff
	$(MAKE) --no-print-directory generate-check
race: ## run the tests of what is concurrent under the race detector (needs gcc)
	# Not the sandbox: its child processes have memory limits in which the race
	# detector's own memory does not fit.
	CGO_ENABLED=1 go test -race -short -skip TestProcess $$(go list ./node/... ./p2p/... ./cmd/... | grep -v /executor/)
sim: build ## simulate SEEDS=2000 small meshes under every fault, and show that planted bugs are found
	bin/ciro sim --seeds $(SEEDS) --dest bin
	bin/ciro sim --mutation all --seeds 500
sim-scale: ## simulate NODES=1000 nodes for MINUTES=2 under RATE=20 jobs a second
	go test ./scheduler/sim -run TestScale -count=1 -v -timeout 60m -nodes $(NODES) -rate $(RATE) -minutes $(MINUTES)
endurance: ## take a million jobs through one shard, with compaction and retention
	go test ./scheduler/shard -run TestEndurance -count=1 -v -timeout 60m -jobs 1000000 -rate 50
fuzz: ## run every fuzz target for FUZZTIME
	@for p in $$(go list ./...); do for f in $$(go test -list '^Fuzz' $$p 2>/dev/null | grep '^Fuzz'); do \
	  echo "$$p $$f"; go test $$p -run '^$$' -fuzz "^$$f$$" -fuzztime $(FUZZTIME) || exit 1; done; done
cover: ## statement coverage of tests and demonstration together, with the bounds that it must keep
	.ci/cover
bench: ## run the benchmarks
	go test -run '^$$' -bench . -benchmem ./...
demo: build ## five processes, one is killed halfway; FAULT=worker or coordinator
	bin/ciro demo --fault $(FAULT)
chaos: MINUTES := $(if $(filter file,$(origin MINUTES)),3,$(MINUTES))
chaos: build ## seven processes under faults for MINUTES=3, SEED=0 draws one (root, iproute2, nftables for all)
	go build -o bin/chaos ./cmd/chaos
	bin/chaos --minutes $(MINUTES) --seed $(SEED)
generate: ## regenerate the protocol buffers and the example module (needs protoc)
	cd node/meshpb && PATH="$$PATH:$$(go env GOPATH)/bin" protoc --go_out=. --go_opt=paths=source_relative mesh.proto
generate-check: ## compare the generated code with what is committed, if protoc is here
	@if command -v protoc >/dev/null; then \
	  d=$$(mktemp -d) && GOBIN=$$d go install google.golang.org/protobuf/cmd/protoc-gen-go && \
	  (cd node/meshpb && PATH="$$d:$$PATH" protoc --go_out=$$d --go_opt=paths=source_relative mesh.proto) && \
	  diff <(grep -v '^// ' $$d/mesh.pb.go) <(grep -v '^// ' node/meshpb/mesh.pb.go) && rm -rf $$d; \
	else echo 'protoc is not installed: generated code is not compared'; fi
.PHONY: help build test check race sim sim-scale endurance fuzz cover bench demo chaos generate generate-check
SHELL := /bin/bash
.DEFAULT_GOAL := help
