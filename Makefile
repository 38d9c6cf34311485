# Two commands on a fresh machine (Python 3.11 with venv and pip, make, git):
#   make demo    set up, run the main job on a shipped scenario, say where its report lies
#   make test    set up, run the tests
#
# Elsewhere PyPI's torch may be the CUDA build, gigabytes with its libraries. The CPU build is a
# download of 192 MB:
#   make demo TORCH_INDEX=https://download.pytorch.org/whl/cpu

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help

PYTHON ?= python3.11
VENV ?= .venv
OUT ?= out
TORCH_INDEX ?=
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
DEMO := $(OUT)/demo.html
PYTEST := $(BIN)/python -m pytest
TORCH_FROM := $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

# One thread per process: the arrays of a round are too small to share between cores.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

.PHONY: setup
setup: $(STAMP) ## make the virtual environment .venv with everything pinned in constraints.txt

$(STAMP): pyproject.toml constraints.txt
	@echo "Setting up $(VENV): a few minutes, once"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install -q -c constraints.txt $(TORCH_FROM) torch
	$(BIN)/pip install -q -c constraints.txt -e '.[test,docs]'
	touch $@

.PHONY: demo
demo: $(STAMP) ## run the main job: optimised and classical policies in a wide macro cell
	mkdir -p $(OUT)
	$(BIN)/fl-opt compare --scenario macro --model mlp --partition shards:2 \
	    --rounds 40 --seeds 6 --workers 2 --html $(DEMO) \
	    "everyone:name=all, equal bandwidth" \
	    "random:count=10:name=10 at random" \
	    "best-channel:count=10:name=10 best channels" \
	    "random:deadline_s=0.25:name=at random by 0.25 s" \
	    "optimised:JointSchedule:deadline_s=0.25:name=optimised by 0.25 s"

.PHONY: test
test: $(STAMP) ## run the tests
	$(PYTEST) -n auto -m "not slow"

.PHONY: test-all
test-all: $(STAMP) ## run the tests, the slow ones too
	$(PYTEST) -n auto

.PHONY: check
check: $(STAMP) docs ## lint, format, types, and every example of docstrings and docs
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(PYTEST) -q --doctest-modules fl_opt
	$(BIN)/sphinx-build -q -W -b doctest docs $(OUT)/doctest

.PHONY: check-report
check-report: $(STAMP) ## open reports in headless Chromium: a difficult one, and the demo's
	test -f $(DEMO) || $(MAKE) demo
	$(BIN)/python tests/browser/check_report.py
	$(BIN)/python tests/browser/check_report.py --figures 6 $(DEMO)

.PHONY: docs
docs: $(STAMP) ## build the documentation into docs/_build/html
	$(BIN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html

.PHONY: bench
bench: $(STAMP) ## measure the figures that the documentation quotes
	$(BIN)/python -m benchmarks

.PHONY: clean
clean: ## remove what these targets made
	rm -rf $(VENV) $(OUT) build dist docs/_build .mypy_cache .ruff_cache .pytest_cache
