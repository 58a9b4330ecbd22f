# Two commands: `make run` serves the demo, `make test` runs every check. Nothing has to be installed before.
PYTHON ?= python3
PORT ?= 8000
BIN := .venv/bin

# Bytecode is kept, whatever the environment says: the tests start many workers and servers.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help run test lint types unit e2e bench clean

help:
	@echo "make run    the demo on http://localhost:$(PORT)"
	@echo "make test   lint, types, unit and end-to-end tests"
	@echo "make bench  ours against the others, in one run"
	@echo "make clean  removes .venv and everything that was built"

run: .make/run
	@echo "The demo is on http://localhost:$(PORT)"
	@$(BIN)/python -m uvicorn demo.app:app --port $(PORT)

test: lint types unit e2e

lint: .make/test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: .make/test
	$(BIN)/mypy

unit: .make/test
	$(BIN)/python -m pytest -n 2 --ignore=tests/e2e

e2e: .make/test
	@scripts/chromium >/dev/null
	$(BIN)/python -m pytest -n 3 --dist loadfile tests/e2e

bench: .make/bench
	$(BIN)/python -m benchmarks

.make/run: pyproject.toml constraints.txt scripts/install
	@PYTHON=$(PYTHON) scripts/install demo && mkdir -p .make && touch $@

.make/test: pyproject.toml constraints.txt scripts/install tests/sdk/package-lock.json
	@PYTHON=$(PYTHON) scripts/install test && scripts/install-node tests/sdk && mkdir -p .make && touch $@

.make/bench: pyproject.toml constraints.txt scripts/install benchmarks/peers/package-lock.json
	@PYTHON=$(PYTHON) scripts/install bench && scripts/install-node benchmarks/peers && mkdir -p .make && touch $@

clean:
	rm -rf .venv .make build dist .mypy_cache .pytest_cache .ruff_cache benchmarks/peers/node_modules tests/sdk/node_modules
