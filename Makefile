# gainkt: `make demo` shows it at work, `make test` checks it, `make help` lists the rest.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Two workers of one thread each; each takes tests that follow one another, so that few runs and configs are made twice.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist worksteal
# What running needs, and what development adds (Ray, mypy and the like, which take longer to install than a demo to train).
READY := $(VENV)/.ready
READY_DEV := $(VENV)/.ready-dev
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1
# Idle threads that spin cost more than they save wherever something else runs on the machine.
export OMP_WAIT_POLICY := passive

.PHONY: help setup screenshots demo test test-slow coverage golden lint types format wheel clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(READY_DEV) ## make .venv and install gainkt into it, with everything that development needs

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "gainkt needs Python 3.11 or newer; set PYTHON=/path/to/it")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable '.[report]'
	@touch $@

$(READY_DEV): $(READY)
	$(BIN)/python -m pip install --quiet --editable '.[dev]'
	@touch $@

demo: $(READY) ## train v4_belief on simulated students, show what comes out and write its page (under 3 minutes)
	$(BIN)/gainkt train experiment=v4_belief report=true

test: $(READY_DEV) lint types ## run lint, types and tests
	$(PYTEST)

test-slow: $(READY_DEV) ## run the slow tests too
	$(PYTEST) -m 'slow or not slow'

coverage: $(READY_DEV) ## run the tests and print which lines of src/gainkt they leave out
	$(PYTEST) --cov --cov-report=term-missing:skip-covered

screenshots: $(READY_DEV) ## picture every section of a page into outputs/screenshots (RUN=<folder>; needs Chromium)
	$(BIN)/python scripts/screenshots.py $(if $(RUN),--run $(RUN))

golden: $(READY_DEV) ## fingerprint seeded runs; REV=<revision> compares with it (minutes)
	$(BIN)/python scripts/golden.py $(if $(REV),--against $(REV))

lint: $(READY_DEV) ## check style and format
	$(BIN)/ruff check src tests scripts
	$(BIN)/ruff format --check src tests scripts

types: $(READY_DEV) ## check types
	$(BIN)/mypy

format: $(READY_DEV) ## put the code into its format
	$(BIN)/ruff check --fix src tests scripts
	$(BIN)/ruff format src tests scripts

wheel: $(READY) ## build a wheel into dist/
	$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

clean: ## remove what the targets made, runs excepted
	rm -rf $(VENV) dist build .pytest_cache .mypy_cache .ruff_cache .coverage*
