# Everything a person does with this repository, by name. `make` lists it.
SHELL := /bin/bash
GO    ?= go
BIN   := bin/eshost
GO_MODULE := plugins/examples/balances/go/balances.wasm

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help build demo test setup examples go-test sdk-test lint bench crash torture mutants fuzz clean

help: ## show this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/eshost
	CGO_ENABLED=0 $(GO) build -trimpath -o $(BIN) ./cmd/eshost

demo: build $(GO_MODULE) ## append a stream of bank events and build read models in three languages
	$(BIN) demo

$(GO_MODULE): $(wildcard plugins/examples/balances/go/*.go sdk/go/*.go)
	plugins/examples/build.sh balances/go

setup: ## install what the tests need and is missing (apt, npm, rustup)
	scripts/setup

examples: setup ## build the example plugins anew, the committed modules too
	plugins/examples/build.sh assemblyscript rust go

test: setup $(GO_MODULE) sdk-test go-test ## install what is missing and run every test

# GO_TEST_FLAGS= leaves the race detector out; it needs a C compiler, which setup installs. Most tests wait for something most of
# the time, so a few more than there are CPUs may run side by side.
GO_TEST_FLAGS ?= -race
go-test:
	$(GO) test $(GO_TEST_FLAGS) -timeout 25m -parallel 3 ./...

sdk-test: ## run each SDK's own tests, in its own language
	$(GO) test ./sdk/go/... ./plugins/examples/*/go
	cd sdk/rust && cargo test --quiet --locked && cargo test --quiet --locked --all-features
	for crate in plugins/examples/*/rust; do (cd $$crate && cargo test --quiet --locked) || exit; done
	cd sdk/assemblyscript && npm test --silent
	for package in plugins/examples/*/assemblyscript; do (cd $$package && npm run --silent --if-present test) || exit; done

lint: setup ## gofmt, go vet, staticcheck and the SDKs' own linters
	scripts/lint

bench: build $(GO_MODULE) ## measure against baselines; STORE=URL names a server, else a private one is started
	host/bench/guests/build.sh
	$(BIN) bench $(if $(STORE),--store '$(STORE)') $(BENCH_FLAGS)

crash: setup $(GO_MODULE) ## the long crash test: at least 50 kills on each store
	ESHOST_CRASH_KILLS=50 $(GO) test -count=1 -v -timeout 60m -run 'Crash' ./test/...

# SEED=N begins at a seed, SEEDS=N says how many, TIME=30s how long each draws faults. What a seed that finds something leaves is kept.
SEEDS ?= 20
TIME  ?= 30s
torture: setup ## the long harness: three hosts and what can happen to them, many seeds, and a table
	ESHOST_SEED=$(or $(SEED),1) ESHOST_TORTURE_SEEDS=$(SEEDS) ESHOST_TORTURE_TIME=$(TIME) ESHOST_TORTURE_CLOCK=1 $(GO) test -count=1 -v -timeout 0 -run 'TestTorture$$|TestClock' ./test/torture

# MUTANT=Redis makes only those whose name has that word.
mutants: setup ## make mistakes in the code one at a time, and have the harness find each
	ESHOST_TORTURE_MUTANTS=1 $(GO) test -count=1 -v -timeout 0 -run 'TestMutants/$(MUTANT)' ./test/torture

fuzz: ## run each fuzz target for a minute
	scripts/fuzz 60s

clean: ## remove what was built
	rm -rf bin sdk/*/target host/bench/guests/*/target host/bench/guests/*/guest.wasm* plugins/examples/*/*/target abi/abitest/testdata/probe/*/target \
		sdk/assemblyscript/node_modules plugins/examples/*/assemblyscript/node_modules plugins/examples/*/go/*.wasm
