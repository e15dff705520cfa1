# make run     start the demo on http://127.0.0.1:4000
# make test    every test, with real clients, a browser and four Pythons; installs what they need
#              (test-go, test-python: one half; PYTHONS="3.12": fewer Pythons)
# make check   format, vet, staticcheck, architecture, race detector, short fuzzing; ruff, mypy, stubtest, C warnings and sanitizers
#              (check-go, check-python: one half; sanitize: the C extension under ASan and UBSan); guard: what the hot paths take, against bench/guard/counts.txt
#              (guard-update: commit what they take now)
# make build   bin/fraiseql, one static binary
# make wheel   dist/*.whl, the engine for Python; needs a C compiler (sdist: the same as source, with its Go modules)
# make bench   measure what BENCHMARKS.md shows, us and others (bench/peers), some three hours on a quiet machine, and write it
#              (bench-core: what the aims are about, in some twenty minutes; BENCH_ARGS=-short: seconds, to see that it works; a part, or the rest of a run that was broken off: bench/peers/README.md; bench-docs: write it from bench/results)
# make bench-bus  measure what docs/reference/bus-benchmarks.md shows, a quarter of an hour on a quiet machine, and write it
# make bench-python  measure what python/bench/RESULTS.md shows, on a quiet machine too (BENCH_ARGS=--short; bench-python-docs)
# make fuzz    every fuzz target for FUZZTIME, a time or a number of inputs such as 20000x
#              (fuzz-long: ten million inputs for every decoder, hours; goes on where it stopped, bench/results/fuzz.jsonl)
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
# Versions of Python that the wheel is tested on, each in a virtual environment of its own. The wheel is built with the
# oldest; PYTHON_FULL takes the long way where a test has one, and judges the code.
PYTHONS ?= 3.10 3.11 3.12 3.13
PYTHON_FULL ?= 3.12
PYTEST_ARGS ?=
FAULT_LIBRARY = $(CURDIR)/.cache/fault/libfraiseql.so

.PHONY: run build wheel sdist test test-go test-python check check-go check-python sanitize bench bench-core bench-docs bench-bus bench-python bench-python-docs fuzz docs format vet \
	arch portable race guard guard-update deps clean

run:
	go run ./cmd/fraiseql serve --demo $(RUN_ARGS)

build:
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/fraiseql ./cmd/fraiseql

# The build backend itself: no frontend needs to be installed.
wheel sdist:
	@python=$$(.ci/python $(firstword $(PYTHONS))); rm -f dist/fraiseql_subscriptions-*$(if $(filter wheel,$@),.whl,.tar.gz); \
	cd python && PYTHONDONTWRITEBYTECODE=1 "$$python" -c 'import build_backend; print("dist/" + build_backend.build_$@("../dist"))'

test: test-go test-python

test-go: deps build
	go test -timeout 15m ./...

# Two Pythons at a time, the one with the long way first; what each prints comes in one piece.
test-python: deps build wheel $(PYTHONS:%=.venvs/%/.installed)
	go build -tags fqfault -buildmode=c-shared -o $(FAULT_LIBRARY) ./cmd/libfraiseql
	$(MAKE) --no-print-directory -k -j2 -O $(patsubst %,test-python-%,$(filter $(PYTHON_FULL),$(PYTHONS)) $(filter-out $(PYTHON_FULL),$(PYTHONS)))

.PHONY: $(PYTHONS:%=test-python-%)
$(PYTHONS:%=test-python-%): test-python-%:
	@echo "Python $*"
	@.venvs/$*/bin/pip install --quiet --no-index --no-deps --force-reinstall dist/fraiseql_subscriptions-*.whl
	cd python && $(if $(filter $(PYTHON_FULL),$*),,FRAISEQL_TEST_SHORT=1) FRAISEQL_FAULT_LIBRARY=$(FAULT_LIBRARY) \
	  ../.venvs/$*/bin/python -m pytest -q $(PYTEST_ARGS)

check: check-go check-python

check-go: format vet arch portable guard race
	$(MAKE) fuzz FUZZTIME=20000x

check-python: wheel .venvs/check/.installed $(PYTHONS:%=.venvs/%/.installed)
	cd python && ../.venvs/check/bin/ruff check . ../examples/python
	cd python && ../.venvs/check/bin/ruff format --check . ../examples/python
	@.venvs/check/bin/pip install --quiet --no-index --no-deps --force-reinstall dist/fraiseql_subscriptions-*.whl
	cd python && ../.venvs/check/bin/mypy
	cd python && ../.venvs/check/bin/mypy --python-version $(PYTHON_FULL) --disable-error-code func-returns-value tests bench tools ../examples/python
	cd python && ../.venvs/check/bin/stubtest --mypy-config-file pyproject.toml fraiseql._native
	.ci/c-warnings $(firstword $(PYTHONS)) $(lastword $(PYTHONS))
	$(MAKE) --no-print-directory sanitize

# The C extension under AddressSanitizer and UndefinedBehaviorSanitizer.
sanitize: wheel .venvs/$(lastword $(PYTHONS))/.installed
	.ci/c-sanitizers $(lastword $(PYTHONS))

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
	go build -tags fqmemory -buildmode=c-shared -o /dev/null ./cmd/libfraiseql

race:
	go test -race -timeout 15m $(UNIT)

# Instructions and allocations: they repeat on a busy machine, where times do not.
guard: .ci/tools.stamp
	go run ./bench/guard

guard-update: .ci/tools.stamp
	go run ./bench/guard -update

# One target at a time, for that is what go test -fuzz takes. Checks count inputs: at the end of a time a busy machine makes go test
# take its own deadline for a failure.
fuzz:
	@for package in $$(git grep -l '^func Fuzz' -- '*_test.go' | xargs -r -n1 dirname | sort -u); do \
	  for target in $$(grep -ho '^func Fuzz[A-Za-z0-9_]*' $$package/*_test.go | cut -d' ' -f2); do \
	    echo "fuzz ./$$package $$target $(FUZZTIME)"; \
	    go test "./$$package" -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME); \
	  done; \
	done

.PHONY: fuzz-long
fuzz-long:
	go run ./bench/fuzz

bench: $(if $(findstring -short,$(BENCH_ARGS)),,.venvs/bench/.fraiseql)
	go run ./bench/run $(BENCH_ARGS)

# What the aims are about, some twenty minutes; of the rest the page keeps showing the last run. The slow client and the Go
# benchmarks take another quarter of an hour: BENCH_ARGS of bench, see bench/peers/README.md.
BENCH_CORE = go run ./bench/run -wait 20s -rounds 5 -only peers
BENCH_SIX = fraiseql,library,floor,centrifuge,gqlgen,graphql-ws
bench-core:
	$(BENCH_CORE) -compare D -peers fraiseql,library,floor
	$(BENCH_CORE) -compare A1 -peers $(BENCH_SIX)
	$(BENCH_CORE) -compare C,C2,E2,F,G,I -peers fraiseql
	$(BENCH_CORE) -compare A5 -peers fraiseql,library,floor,centrifuge-5ms
	$(BENCH_CORE) -compare A2 -peers $(BENCH_SIX)
	$(BENCH_CORE) -compare B1 -peers $(BENCH_SIX)

bench-docs:
	go run ./bench/run -docs

bench-bus:
	mkdir -p bench/results/bus
	go run ./bench/bus/redis -rounds 7 -time 2s > bench/results/bus/redis.jsonl
	go run ./bench/bus/redis -rounds 5 -time 2s -batch 16 -publishers 16 > bench/results/bus/redis-batches.jsonl
	go run ./bench/bus/pg -rounds 3 -seconds 1.5 -publishers 1,8,32 > bench/results/bus/postgresql.jsonl
	go run ./bench/bus/pg -rounds 5 -seconds 1.5 -publishers 1,8,32 -fsync=false > bench/results/bus/postgresql-without-fsync.jsonl
	go run ./bench/bus/pg -horizon -seconds 20 > bench/results/bus/postgresql-horizon.jsonl
	go run ./bench/bus/nats -rounds 5 -events 50000 -paced 1s -only jetstream > bench/results/bus/nats-jetstream.jsonl
	go run ./bench/bus/nats -rounds 5 -events 50000 -paced 1s -only core > bench/results/bus/nats-core.jsonl
	go run ./bench/bus/document

bench-python: build .venvs/bench/.fraiseql
	.venvs/bench/bin/python python/bench/run.py $(BENCH_ARGS)

# The wheel of this checkout, in the environment that is measured.
.PHONY: .venvs/bench/.fraiseql
.venvs/bench/.fraiseql: wheel .venvs/bench/.installed
	.venvs/bench/bin/pip install --quiet --no-index --no-deps --force-reinstall dist/fraiseql_subscriptions-*.whl

bench-python-docs: .venvs/bench/.installed
	.venvs/bench/bin/python python/bench/run.py --docs

docs:
	go test $$(git grep -l 'Generated from' -- 'internal/*.go' | xargs -n1 dirname | sort -u | sed 's|^|./|') -update
	python3 python/tools/reference.py

# What the end-to-end tests need besides Go: Node.js, Python and Chromium, then the clients that lock files name.
deps: .ci/tools.stamp $(NPM_STAMPS) $(PYTHON_STAMP) .venvs/autobahn/.installed

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

# The Autobahn suite knows no newer Python, and virtual environments came later.
.venvs/autobahn/.installed: e2e/autobahn/requirements.txt
	rm -rf .venvs/autobahn
	"$$(.ci/python 2.7)" -W ignore -m pip --disable-pip-version-check install --quiet --target .venvs/autobahn -r $<
	@touch $@

.venvs/check/.installed: python/requirements-check.txt
.venvs/%/.installed: python/requirements-test.txt | .ci/tools.stamp
	rm -rf .venvs/$*
	"$$(.ci/python $(if $(filter check,$*),$(PYTHON_FULL),$*))" -m venv .venvs/$*
	.venvs/$*/bin/pip install --quiet --disable-pip-version-check $(foreach file,$(filter %.txt,$^),-r $(file))
	@touch $@

# The systems that are compared, in versions of their own, on the newest Python.
.venvs/bench/.installed: python/bench/requirements.txt | .ci/tools.stamp
	rm -rf .venvs/bench
	"$$(.ci/python $(lastword $(PYTHONS)))" -m venv .venvs/bench
	.venvs/bench/bin/pip install --quiet --disable-pip-version-check -r $<
	@touch $@

clean:
	rm -rf bin dist .venv .venvs e2e/*/node_modules python/src/fraiseql/*.so
