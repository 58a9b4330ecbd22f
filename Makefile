# `make run` and `make cluster` serve the demo, `make docs` builds the documentation, and `make test` runs every check.
# They install everything that they need.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin
# All makes in this checkout share what is built: one builds, and the others wait for it.
LOCKED := $(PYTHON) scripts/locked

# Python keeps its bytecode, even if the environment forbids it: the tests start many workers and servers.
export PYTHONDONTWRITEBYTECODE :=

# The unit tests are three processes, each of which collects its own tests only: in a fresh clone, collecting all of them
# takes 17 s of CPU, and each worker of pytest-xdist would. The first has whatever the others leave.
UNIT := unit-others unit-live unit-files
LIVE_TESTS := tests/live tests/surfaces tests/centrifuge tests/definitions tests/testing
FILES_OF_TESTS := $(wildcard tests/test_*.py) tests/documents

# The sources of the pages.
WEB := $(shell find web/src web/console web/types web/demo -type f) $(wildcard web/*.ts web/*.mjs web/*.css) web/package.json web/package-lock.json

.PHONY: help run cluster docs test lint types unit $(UNIT) web e2e bench pictures clean ready

help:
	@echo "make run      serve the demo on http://localhost:$(PORT)"
	@echo "make cluster  serve it with three workers that Valkey joins; its page kills workers"
	@echo "make docs     build the documentation into build/docs; make run serves it at /guide/"
	@echo "make test     run lint, types, unit and end-to-end tests, in Python and TypeScript"
	@echo "make bench    measure Wirespeed and its peers, in one run"
	@echo "make pictures make the pictures of the README and the docs from the demo"
	@echo "make clean    remove .venv and everything that was built"

run:
	@$(LOCKED) $(MAKE) --silent .make/run
	@$(BIN)/python -m demo --port $(PORT)

cluster:
	@$(LOCKED) $(MAKE) --silent .make/cluster
	@$(BIN)/python -m demo.cluster --port $(PORT)

docs:
	@$(LOCKED) $(MAKE) --silent .make/docs
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "The documentation is in build/docs. make run serves it at http://localhost:$(PORT)/guide/"

# Everything but the end-to-end tests runs in parallel.
test:
	@$(MAKE) --no-print-directory ready
	@$(MAKE) --no-print-directory --output-sync=target -j 3 lint $(UNIT) types web
	@$(MAKE) --no-print-directory e2e

ready:
	@$(LOCKED) $(MAKE) --silent .make/test

lint: ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: ready
	$(BIN)/mypy

unit: ready
	@$(MAKE) --no-print-directory --output-sync=target -j 3 $(UNIT)

unit-others: ready
	$(BIN)/python -m pytest tests $(addprefix --ignore=,tests/e2e $(LIVE_TESTS) $(FILES_OF_TESTS))

unit-live: ready
	$(BIN)/python -m pytest $(LIVE_TESTS)

unit-files: ready
	$(BIN)/python -m pytest $(FILES_OF_TESTS)

web: ready
	@cd web && npm run --silent types && npm test --silent

e2e: ready
	@scripts/browsers
	$(BIN)/python -m pytest -n 4 --dist loadfile --no-loadscope-reorder tests/e2e

bench:
	@$(LOCKED) $(MAKE) --silent .make/bench
	$(BIN)/python -m benchmarks

pictures:
	@$(LOCKED) $(MAKE) --silent .make/bench .make/run
	$(BIN)/python -m benchmarks.pictures docs/pictures
	$(BIN)/python -m benchmarks.console_pictures docs/pictures

# The pages are built first: otherwise, installing the package would build them again.
.make/web: $(WEB) scripts/install-node
	@echo "Building the pages"
	@scripts/install-node web && cd web && npm run --silent build:browser && npm run --silent build:console && npm run --silent build:types && npm run --silent build:demo
	@mkdir -p .make && touch $@

.make/run: .make/web pyproject.toml constraints.txt scripts/install
	@PYTHON=$(PYTHON) scripts/install demo && mkdir -p .make && touch $@

.make/docs: .make/web pyproject.toml constraints.txt scripts/install
	@PYTHON=$(PYTHON) scripts/install docs && mkdir -p .make && touch $@

.make/cluster: .make/web pyproject.toml constraints.txt scripts/install
	@PYTHON=$(PYTHON) scripts/install cluster && mkdir -p .make && touch $@

.make/test: .make/web pyproject.toml constraints.txt scripts/install tests/sdk/package-lock.json
	@PYTHON=$(PYTHON) scripts/install test && scripts/install-node tests/sdk && mkdir -p .make && touch $@

.make/bench: .make/web pyproject.toml constraints.txt scripts/install benchmarks/peers/package-lock.json
	@PYTHON=$(PYTHON) scripts/install bench && scripts/install-node benchmarks/peers && mkdir -p .make && touch $@

clean:
	rm -rf .venv .make build dist .mypy_cache .pytest_cache .ruff_cache benchmarks/peers/node_modules tests/sdk/node_modules \
		web/node_modules web/dist src/wirespeed/static demo/page
