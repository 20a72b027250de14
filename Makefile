# make demo and make test are all that a newcomer needs. Everything that they use beyond Go is built here.
SHELL     := /bin/bash -eo pipefail
GO        ?= go
VERSION   ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
COMMIT    := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS   := -s -w -X github.com/swarmnet/swarmnet/internal/version.Version=$(VERSION) -X github.com/swarmnet/swarmnet/internal/version.Commit=$(COMMIT)
# The race detector needs a C compiler; a machine with nothing but Go runs the same tests without it.
RACE      := $(shell command -v gcc >/dev/null 2>&1 && echo -race)
BIN       := $(CURDIR)/bin
TOOLS     := $(CURDIR)/.cache/tools
CNI       := $(CURDIR)/.cache/cni
# Packages with tests of the kernel's side, and those that need no kernel (whole clusters have their own target).
KERNEL     = $(shell grep -rl --include='*_test.go' '^func TestKernel' . | xargs -n1 dirname | sort -u)
UNIT       = $(shell $(GO) list ./... | grep -v -e /e2e -e /bench -e '/lab$$')

.PHONY: all build demo test test-unit test-kernel e2e soak e2e-vm e2e-vm-long planted flood schedules bench verify proto fmt clean
all: build

build:
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '$(LDFLAGS)' -o $(BIN)/swarmnet ./cmd/swarmnet

demo: build
	$(BIN)/swarmnet lab demo

# Everything: unit and scripted tests, kernel tests in namespaces of their own, whole clusters on the lab.
test: test-unit test-kernel e2e

# The simulations and the node's own state are one goroutine: all their seeds run without the race detector, a few with it.
SEEDED := ./gossip ./internal/simulation ./agent/local/...
test-unit:
	$(GO) test $(RACE) -skip '^TestKernel' $(filter-out %/gossip %/internal/simulation %/agent/local %/agent/local/store,$(UNIT))
	$(GO) test $(SEEDED)
	$(GO) test $(RACE) -short $(SEEDED)

# Each test binary gets a network, mount (and for an ordinary user: user) namespace of its own.
test-kernel: $(BIN)/nsexec
	SWARMNET_REQUIRE_KERNEL=1 $(GO) test $(RACE) -count=1 -p 1 -exec $(BIN)/nsexec -run 'TestKernel' $(KERNEL)

e2e: build $(CNI)/stamp
	SWARMNET_BIN=$(BIN)/swarmnet SWARMNET_CNI=$(CNI) $(GO) test -count=1 -timeout 40m -p 1 ./lab/... ./e2e/...

# Chaos on a lab for as long as is asked: make soak DURATION=30m SEED=7. `make e2e` has minutes of it. A failure prints its seed and steps.
DURATION ?= 10m
soak: build
	SWARMNET_BIN=$(BIN)/swarmnet SWARMNET_SOAK=$(DURATION) SWARMNET_SEED=$(SEED) $(GO) test -count=1 -timeout 0 -v -run '^TestE2EChaos$$' ./e2e

# What this machine's kernel may lack, on Debian's kernel in a virtual machine: the same kernel tests, static, and a lab.
# e2e-vm-long has tests of whole clusters over IPVS that take as long again: updates without failed requests, a node that dies, external services; and the
# healing of a node, thing by thing.
VM := .cache/vm/files
e2e-vm: GUEST := e2e/vm/guest.sh
e2e-vm-long: GUEST := e2e/vm/guest-long.sh
e2e-vm e2e-vm-long: build
	rm -rf $(VM) && mkdir -p $(VM)
	cp $(BIN)/swarmnet $(VM)/
	CGO_ENABLED=0 $(GO) test -c -ldflags '-s -w' -o $(VM)/ingress.test ./ingress/kernel
	CGO_ENABLED=0 $(GO) test -c -ldflags '-s -w' -o $(VM)/overlay.test ./overlay/kernel
	CGO_ENABLED=0 $(GO) test -c -ldflags '-s -w' -o $(VM)/agent.test ./agent
	CGO_ENABLED=0 $(GO) test -c -ldflags '-s -w' -o $(VM)/e2e.test ./e2e
	$(GO) run ./e2e/vm -timeout 20m -files $(VM) $(VMFLAGS) $(GUEST)

# The tests of the tests: plants bugs one at a time, outside the tree; each must be caught. NAME=wal tries those that begin so.
planted:
	$(GO) run ./internal/planted $(NAME)

# No failed request, in full: 50,000 requests over kept connections and 50,000 over new ones by 50 clients each, as fast as they are answered, during
# each thing that happens. RATE=n asks for no more than n a second.
RATE ?= 0
flood: build
	SWARMNET_REQUESTS=50000 SWARMNET_RATE=$(RATE) SWARMNET_AWAY=60 SWARMNET_BIN=$(BIN)/swarmnet $(GO) test -count=1 -timeout 1h -v -run NoFailedRequest ./e2e

# Cut and heal, in full: twenty random schedules on the lab, each with a node cut off for 30 s. SWARMNET_SEED=n begins with another one.
schedules: build
	SWARMNET_SCHEDULES=20 SWARMNET_CUT=30 SWARMNET_BIN=$(BIN)/swarmnet $(GO) test -count=1 -timeout 1h -v -run S42 ./e2e

bench: build $(BIN)/nsexec
	SWARMNET_BIN=$(BIN)/swarmnet $(GO) run ./bench

$(BIN)/nsexec: internal/kerneltest/nsexec/main.go
	CGO_ENABLED=0 $(GO) build -o $@ ./internal/kerneltest/nsexec

# What a change must pass beside the tests: formatting, vet, staticcheck, the proto files' lint, compatibility and freshness.
verify: $(TOOLS)/stamp
	@test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { echo "gofmt would change:"; gofmt -l $$(git ls-files '*.go'); exit 1; }
	$(GO) mod tidy -diff
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	$(GO) test ./internal/archtest
	cd proto && PATH=$(TOOLS):$$PATH buf lint
	cd proto && PATH=$(TOOLS):$$PATH buf breaking --against baseline.binpb
	rm -rf .cache/proto && mkdir -p .cache/proto && cd proto && PATH=$(TOOLS):$$PATH buf generate -o $(CURDIR)/.cache/proto
	for f in $$(cd proto && ls swarmnet/v1/*.pb.go); do diff -q proto/$$f .cache/proto/$$f || { echo "proto/$$f is stale: run make proto"; exit 1; }; done

# Generated code is committed beside the proto files.
proto: $(TOOLS)/stamp
	cd proto && PATH=$(TOOLS):$$PATH buf lint && PATH=$(TOOLS):$$PATH buf generate

# buf and its plugins live in a module apart: they need minutes to build and nobody else's versions.
$(TOOLS)/stamp: tools/go.mod tools/go.sum
	mkdir -p $(TOOLS)
	cd tools && $(GO) build -o $(TOOLS)/ tool
	touch $@

# The CNI project's own plugins, for the test that plugs them in; a module apart, too.
$(CNI)/stamp: tools/cni/go.mod tools/cni/go.sum
	mkdir -p $(CNI)
	cd tools/cni && CGO_ENABLED=0 $(GO) build -trimpath -o $(CNI)/ tool
	touch $@

fmt:
	gofmt -w $$(git ls-files '*.go')

clean:
	rm -rf bin .cache
