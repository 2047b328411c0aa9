# Every target works from a fresh clone. "make" alone lists them.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --no-print-directory

GOLANGCI := github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0
BROWSER  := examples/wall/browser
OAUTH    := examples/oauth/browser
CLUSTER  := examples/cluster/browser
CLIENT   := client

ADDR      ?= 127.0.0.1:8080
BENCH     ?= .
FUZZTIME  ?= 30s
SOAK      ?= 10
FLEETS    ?= push/natsbroker push/redisbroker

# The modules of the workspace. Each is tested alone, as its users see it: a
# workspace would unify their versions.
MODULES = $(shell go list -m -f '{{.Dir}}')
each    = for dir in $(MODULES); do echo "== .$${dir\#$(CURDIR)}: $(1)"; (cd "$$dir" && GOWORK=off $(1)) || exit 1; done

.DEFAULT_GOAL := help
.PHONY: help test install vet fmt test-go test-web test-client soak-client bench-client soak-fleet test-browser client lint fuzz bench bench-all soak wall oauth cluster rolling

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

test: install vet fmt ## everything CI runs; installs what is missing
	@$(MAKE) -j2 --output-sync=target test-go test-web # what is in a browser waits for most of its time

test-web: test-client # one after the other
	@$(MAKE) test-browser

install: ## install what the tests need (as root, with apt-get; else it says what is missing)
	@$(BROWSER)/install.sh
	@cd $(OAUTH) && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --ignore-scripts --no-audit --no-fund; }

vet: ## go vet, in every module
	@$(call each,go vet ./...)

fmt: ## fail if gofmt would change a file
	@files=$$(git ls-files -co --exclude-standard -z '*.go' | xargs -0 -r gofmt -l); \
	if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi

test-go: ## Go tests with the race detector, shuffled; then the allocation promises without it
	@$(call each,go test -race -shuffle=on -timeout 8m ./...)
	@$(call each,go test -run Alloc ./...)

test-client: ## the browser client in Node, through a fault proxy, against a server with the race detector
	@cd $(CLIENT) && npm test

soak-client: install ## a million deliveries to the client through 200 cuts and 200 switches: 6 min
	@cd $(CLIENT) && npm run pretest && DELIVERIES=1000000 CUTS=200 SWITCHES=200 node --experimental-websocket --test --test-reporter=spec test/soak.test.mjs

bench-client: install ## the time to the first event on hostile networks, beside Socket.IO: 6 min
	@cd $(CLIENT) && npm run pretest && cd bench && npm ci --ignore-scripts --no-audit --no-fund --silent && npm start

client: install ## build the browser client, which is committed
	@cd $(CLIENT) && npm run build

test-browser: ## the examples in real browsers, against servers with the race detector
	@cd $(BROWSER) && npm test
	@cd $(OAUTH) && npm test
	@cd $(CLUSTER) && npm test

lint: ## golangci-lint, pinned, in every module
	@$(call each,go run $(GOLANGCI) run --config $(CURDIR)/.golangci.yml ./...)

fuzz: ## every fuzz target for FUZZTIME (30s)
	@for dir in $(MODULES); do cd "$$dir"; export GOWORK=off; for pkg in $$(go list ./...); do \
		for target in $$(go test -list '^Fuzz' "$$pkg" | grep '^Fuzz' || true); do \
			echo "== $$pkg $$target"; go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) "$$pkg"; \
		done; \
	done; done

bench: ## Go benchmarks (BENCH is a pattern), then ours, floors and peers, with the figures and docs/bench.svg: 35 min (REPS=1: 15)
	@$(call each,go test -run '^$$' -bench '$(BENCH)' -benchmem ./...)
	@$(MAKE) -C bench

bench-all: ## every test of every peer, of npm and Debian too (installs them): 2 h
	@$(MAKE) -C bench all

soak-fleet: ## a million deliveries by two nodes, which are killed 50 times, as is the engine; a million events replayed; a million topics: 3 min an engine
	@for dir in $(FLEETS); do (cd $$dir && GOWORK=off go test -run 'TestFleetSurvivesKills|TestReplay|TestManyTopics' -long -v -timeout 60m . | grep -v INF); done

soak: ## the tests SOAK (10) times over, to find what fails rarely
	@$(call each,go test -race -shuffle=on -count=$(SOAK) -timeout 60m ./...)
	@cd $(BROWSER) && npm run pretest && for i in $$(seq $(SOAK)); do npm run --ignore-scripts test; done

wall: ## run the wall on ADDR (127.0.0.1:8080)
	@go run ./examples/wall -addr $(ADDR)

oauth: ## run the example with log-in on ADDR (127.0.0.1:8080)
	@go run ./examples/oauth -addr $(ADDR)

rolling: ## three nodes restarted one after the other under 3000 clients, with the rates of reconnects: 1 min
	@cd examples/cluster && CLIENTS=3000 DRAIN=6 GOWORK=off go test -count=1 -v -run Rolling .

cluster: ## run the wall on three nodes on ADDR (127.0.0.1:8080)
	@go -C examples/cluster run . -addr $(ADDR)
