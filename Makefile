# Two commands are enough on a machine with Python 3.11+, git and make: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
EXTRAS := dev
OUT ?= runs/demo
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-full reproduce-models lint format clean

help: ## show the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  \1|/' | column -t -s '|'

$(VENV)/.$(EXTRAS): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$(EXTRAS)]'
	touch $@

setup: $(VENV)/.$(EXTRAS) ## prepare .venv with everything the tests and the demo need

demo: setup ## search, train, compile and prove a model for the handwritten digits, into runs/demo
	$(BIN)/tinyformer run --out $(OUT)

test: setup ## the tests: at most 10 minutes on 2 cores
	$(PYTEST) -n 2 -m "not full"

test-full: ## the long tests: fuzzing, Ray, gcc, QEMU
	$(MAKE) setup EXTRAS=dev,ray
	$(PYTEST) -n 2 -m full -rs

reproduce-models: setup ## search and train the models of models/ again: hours of two cores, less with a GPU
	for run in tinyformer-120k tinyformer-300k tinyformer-300k-2 tinyformer-300k-3; do \
	    $(BIN)/tinyformer run configs/$$run.toml --out runs/$$run || exit 1; \
	done
	$(BIN)/python benchmarks/ship_model.py runs/tinyformer-120k models/tinyformer-120k-cifar10
	$(BIN)/python benchmarks/ship_model.py runs/tinyformer-300k-3 models/tinyformer-300k-cifar10 \
	    --stages runs/tinyformer-300k runs/tinyformer-300k-2 runs/tinyformer-300k-3

lint: setup ## format, lint, types, layers
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup ## rewrite the sources as `make lint` wants them
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean: ## remove what the targets above made, runs excepted
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
