# make test is all that a fresh Debian-like machine with Go needs: it installs what is missing, then checks everything.

SHELL       := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

GO ?= go
# The tools that read the code are pinned in .ci/tools/go.mod, a module of their own. Go builds them once and keeps them.
TOOL = $(GO) -C .ci/tools tool -n

# What is made outside of the repository, and kept for the next time: a Python with Flask, if this machine has none.
CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache,/tmp)/latchkey
export LATCHKEY_TEST_CACHE := $(CACHE)
export PATH := $(CACHE)/venv/bin:$(PATH)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo development)
LDFLAGS  = -s -w -X main.release=$(VERSION)

# Go keeps compiled packages per set of build flags. There are two sets here, not one per tool: the program and the tools
# that read the code share the first, everything that is tested has the second, with the race detector.
STATIC   = CGO_ENABLED=0 GOFLAGS=-trimpath
RACE     = CGO_ENABLED=1 GOFLAGS=
TIMEOUT ?= 15m
# In CI nothing is taken from an earlier run.
COUNT    = $(if $(filter true,$(CI)),-count=1)
PKG     ?= ./...
RUN     ?= .
FUZZTIME  ?= 5s
MICROBENCH ?= .
BENCHTIME ?= 1s
ARGS    ?=

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 18

prepare: ## install what the tests need and this machine lacks; asks first, or takes YES=1
	@YES='$(YES)' .ci/prepare

test: prepare ## everything: format, go.mod, vet, lint, known vulnerabilities, build, all tests with the race detector
	@.ci/stage gofmt $(MAKE) format
	@.ci/stage 'go mod tidy' $(MAKE) tidy-check
	@.ci/stage vet $(MAKE) vet
	@.ci/stage lint $(MAKE) lint
	@.ci/stage govulncheck $(MAKE) vulnerabilities
	@.ci/stage build $(MAKE) build
	@.ci/stage 'go test' $(MAKE) race

format: ## fail on files that gofmt would change
	@found=$$(gofmt -l $$(git ls-files --cached --others --exclude-standard '*.go' 2>/dev/null || find . -name '*.go')); \
	if [[ -n $$found ]]; then echo "gofmt would change:"; echo "$$found"; exit 1; fi

tidy: ## bring go.mod and go.sum up to what the code imports
	@$(GO) mod tidy
	@$(GO) -C .ci/tools mod tidy

tidy-check: ## fail if make tidy would change anything in go.mod
	@$(GO) mod tidy -diff

vet: ## go vet
	@$(STATIC) $(GO) vet $(PKG)

lint: ## golangci-lint with what .golangci.yml asks for; PKG=./keys/... for a part
	@lint=$$($(STATIC) $(TOOL) golangci-lint); $(STATIC) $$lint run $(PKG)

vulnerabilities: ## look for known vulnerabilities in what is used, if the list of them can be reached
	@check=$$($(STATIC) $(TOOL) govulncheck); $(STATIC) .ci/vulnerabilities "$$check" $(PKG)

race: ## all tests, with the race detector
	@$(RACE) $(GO) test -race -timeout $(TIMEOUT) $(COUNT) $(PKG)

short: ## all tests, without the race detector and without anything to install
	@$(GO) test -timeout $(TIMEOUT) $(PKG)

one: ## one test, talking: make one PKG=./provider/oauth RUN=TestPKCE
	@$(GO) test -timeout $(TIMEOUT) -count=1 -v -run '$(RUN)' $(PKG)

update: ## write all golden files again; read the difference before you commit it
	@$(GO) test $$(grep -rl --include='*_test.go' 'flag.Bool("update"' . | xargs -n1 dirname | sort -u) -count=1 -update

build: ## the program, static, in bin/latchkey
	@$(STATIC) $(GO) build -ldflags '$(LDFLAGS)' -o bin/latchkey ./cmd/latchkey

run: build ## latchkey serve on this machine, with its data in ./data
	@exec bin/latchkey serve --issuer http://localhost:8080 $(ARGS)

demo: build ## the provider with sample applications, seeded
	@exec bin/latchkey demo $(ARGS)

dev: ## the demo, built and started again whenever a file of the program, a page or a style changes
	@exec .ci/dev $(ARGS)

bench: build ## measure the program from outside, as shares of what the machine can do; see docs/performance.md
	@$(STATIC) $(GO) build -o bin/bench/bench ./cmd/bench
	@exec bin/bench/bench -binary bin/latchkey $(ARGS)

microbench: ## the benchmarks of single functions; MICROBENCH chooses, as a regular expression
	@$(GO) test -run '^$$' -bench '$(MICROBENCH)' -benchtime $(BENCHTIME) -benchmem $(PKG)

fuzz: ## each fuzz target for FUZZTIME
	@.ci/fuzz $(FUZZTIME)

cover: ## which lines the tests reach: bin/cover.html
	@mkdir -p bin
	@$(GO) test -timeout $(TIMEOUT) -coverpkg=./... -coverprofile bin/cover.out $(PKG)
	@$(GO) tool cover -html bin/cover.out -o bin/cover.html
	@$(GO) tool cover -func bin/cover.out | tail -1

conformance: ## the OpenID certification plans; needs SUITE_JAR and HARNESS, see docs/conformance
	@docs/conformance/run.sh $(ARGS)

clean: ## remove what was built
	@rm -rf bin latchkey

.PHONY: help prepare test format tidy tidy-check vet lint vulnerabilities race short one update build run demo dev bench microbench fuzz \
	cover conformance clean
