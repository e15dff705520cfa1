# make run     start the demo on http://127.0.0.1:4000
# make test    every test, with real clients and a browser; installs what they need
# make check   format, vet, staticcheck, architecture, race detector, short fuzzing
# make build   bin/fraiseql, one static binary
# make bench   measure what BENCHMARKS.md shows, about a quarter of an hour on a quiet machine, and write it
#              (BENCH_ARGS=-short: seconds, to see that it works; bench-docs: write it from bench/results)
# make fuzz    every fuzz target for FUZZTIME
# make docs    write the generated reference pages again
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := build

FUZZTIME ?= 30s
BENCH_ARGS ?=
RUN_ARGS ?=
STATICCHECK = go tool -modfile=tools.mod staticcheck
# Packages that need no client, browser or running binary; archtest reads source and has a target of its own.
UNIT = $$(go list ./... | grep -v -e /e2e/ -e /internal/archtest)
# Lock files of the npm projects, and the stamps that say when they were installed.
NPM_STAMPS = $(patsubst %/package-lock.json,%/node_modules/.installed,$(wildcard e2e/*/package-lock.json))
PYTHON_STAMP = .venv/.installed

.PHONY: run build test check bench bench-docs fuzz docs format vet arch portable race deps clean

run:
	go run ./cmd/fraiseql serve --demo $(RUN_ARGS)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/fraiseql ./cmd/fraiseql

test: deps build
	go test -timeout 15m ./...

check: format vet arch portable race
	$(MAKE) fuzz FUZZTIME=3s

format:
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); \
	if [ -n "$$unformatted" ]; then echo "not formatted (run gofmt -w):"; echo "$$unformatted"; exit 1; fi

vet:
	go mod tidy -diff
	go vet ./...
	$(STATICCHECK) ./...

arch:
	go test ./internal/archtest/

# Other systems take the portable paths: they must compile.
portable:
	GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/fraiseql
	GOOS=windows go build -o /dev/null ./cmd/fraiseql

race:
	go test -race -timeout 15m $(UNIT)

# One target at a time, for that is what go test -fuzz takes.
fuzz:
	@for package in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -r -n1 dirname | sort -u); do \
	  for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$package/*_test.go | cut -d' ' -f2); do \
	    echo "fuzz ./$$package $$target $(FUZZTIME)"; \
	    go test "./$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
	  done; \
	done

bench:
	go run ./bench/run $(BENCH_ARGS)

bench-docs:
	go run ./bench/run -docs

docs:
	go test $$(git grep -l 'Generated from' -- 'internal/*.go' | xargs -n1 dirname | sort -u | sed 's|^|./|') -update

# What the end-to-end tests need besides Go: Node.js, Python and Chromium, then the clients that lock files name.
deps: .ci/tools.stamp $(NPM_STAMPS) $(PYTHON_STAMP)

.PHONY: .ci/tools.stamp
.ci/tools.stamp:
	@.ci/tools

%/node_modules/.installed: %/package-lock.json %/package.json | .ci/tools.stamp
	cd $* && npm ci --no-audit --no-fund
	@touch $@

$(PYTHON_STAMP): e2e/clients/requirements.txt | .ci/tools.stamp
	python3 -m venv .venv
	.venv/bin/pip install --quiet --disable-pip-version-check -r e2e/clients/requirements.txt
	@touch $@

clean:
	rm -rf bin dist .venv e2e/*/node_modules
