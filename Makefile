# What a contributor can do here. Every recipe sets up what it needs; the first time takes about two minutes.
# VIREO_HOST, VIREO_PORT, VIREO_DATA_DIR and VIREO_MODEL steer `make run` (docs/configuration.md has them all).

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check

.DEFAULT_GOAL := help
.PHONY: help run test check bench format docs lock clean

help: ## show what can be done
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/'

run: $(VENV)/.run-ready ## run the whole service on this machine until Ctrl-C
	@exec $(BIN)/vireo up

test: $(VENV)/.dev-ready ## everything that must pass: unit, property, fault and end-to-end tests
	$(BIN)/python -m pytest $(ARGS)

check: $(VENV)/.dev-ready ## formatting, lint, types, the walls between the rooms
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports

format: $(VENV)/.dev-ready ## format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev-ready ## write the tables in docs/ that are rendered from the code
	$(BIN)/python docs/render.py

bench: $(VENV)/.dev-ready ## measure, as ratios in one run; writes benchmarks/results/*.json
	$(BIN)/python -m benchmarks

lock: $(VENV)/.dev-ready ## pin in constraints.txt what is installed now
	$(PIP) freeze --exclude-editable | grep -viE '^(vireo-client|vireo-server|pip|setuptools)[ =@]' > constraints.txt

clean: ## remove the virtual environment (the data directory stays)
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vireo needs Python 3.11 or newer; set PYTHON=…")'
	@echo "Creating the virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.run-ready: $(VENV)/bin/python pyproject.toml client/pyproject.toml constraints.txt
	@echo "Installing what Vireo needs (about two minutes the first time; torch is large)"
	@$(PIP) install --constraint constraints.txt --editable ./client --editable '.[offline]'
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.run-ready
	@echo "Installing the tools for tests and checks"
	@$(PIP) install -q --constraint constraints.txt --editable ./client --editable '.[offline,dev]'
	@touch $@
