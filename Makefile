# `make` lists the recipes. Each one installs what it needs; the first time takes about two minutes.
# VIREO_HOST, VIREO_PORT, VIREO_DATA_DIR and VIREO_MODEL configure `make run`; docs/configuration.md lists all settings.
# Another Python:  make run PYTHON=python3.11

PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
PIP = $(BIN)/python -m pip --disable-pip-version-check
# Every file that is installed has a hash in requirements/, for all systems and versions of Python.
INSTALL = $(PIP) install --require-hashes --no-deps --requirement
COMPILE = echo 'setuptools>=80' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	--custom-compile-command 'make lock' --constraint constraints.txt --no-emit-package vireo-client
WORKER = --extra offline --extra s3 --extra otel
# torch and what only its builds with CUDA need: the worker image for CPUs gets torch from another index.
TORCH = torch|triton|cuda|nvidia
CONTRACT = tests/e2e/test_contract.py

.DEFAULT_GOAL := help
.PHONY: help run test contract check bench measure torture format docs transcripts lock sbom audit secrets clean

help: ## list the recipes
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /make \1\t/'

run: $(VENV)/.run-ready ## run the whole service on this machine until Ctrl-C
	@exec $(BIN)/vireo up

test: $(VENV)/.dev-ready $(BIN)/promtool ## run all tests: unit, property, fault and end-to-end, in random order, in three processes
	@# On two cores the third process works while others wait for copies that start, or for leases that end.
	@# A process that dies ends the run: pytest-xdist would wait for ever for the one that takes its place.
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 3 --max-worker-restart 0 --dist loadfile --no-loadscope-reorder \
		--ignore $(CONTRACT) $(ARGS)

contract: $(VENV)/.dev-ready ## ask a running copy everything that its OpenAPI document allows and forbids (about four minutes)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest $(CONTRACT) $(ARGS)

check: $(VENV)/.dev-ready ## check formatting, lint, types, the imports between rooms and the rendered docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python docs/render.py --check

torture: $(VENV)/.dev-ready ## kill, pause, fill and cut everything under load, with five seeds (about an hour)
	$(BIN)/python -m benchmarks.torture $(ARGS)

format: $(VENV)/.dev-ready ## format the code, and fix what the linter can fix
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(VENV)/.dev-ready ## render the parts of the documentation that come from the code, and build it as a site
	$(BIN)/python docs/render.py
	$(BIN)/python docs/build_site.py

transcripts: $(VENV)/.dev-ready ## run the commands of the documentation and write what they print (about six minutes)
	$(BIN)/python docs/transcripts.py $(ARGS)

bench: $(VENV)/.dev-ready ## measure Vireo beside its peers, as one table in benchmarks/results/ (an hour or more)
	$(BIN)/python -m benchmarks.bench $(ARGS)

measure: $(VENV)/.dev-ready ## run the benchmarks behind the claims of the documentation (hours); writes benchmarks/results/*.json
	$(BIN)/python -m benchmarks

lock: $(VENV)/.dev-ready ## pin the installed versions in constraints.txt, and the files of all systems in requirements/
	$(PIP) freeze --exclude-editable | grep -viE '^(vireo-client|vireo-server|pip|setuptools)[ =@]' > constraints.txt
	$(COMPILE) --extra offline --extra openvino --output-file requirements/run.txt pyproject.toml -
	$(COMPILE) --all-extras --output-file requirements/dev.txt pyproject.toml -
	$(COMPILE) --output-file requirements/gateway.txt docker/gateway.txt -
	$(COMPILE) $(WORKER) --output-file requirements/worker.txt pyproject.toml -
	$(COMPILE) $(WORKER) --extra openvino $$(grep -oE '^($(TORCH))[a-z0-9-]*' requirements/worker.txt | sort -u | sed 's/^/--no-emit-package /') \
		--output-file requirements/worker-cpu.txt pyproject.toml -

sbom: $(VENV)/.dev-ready ## write what is installed with Vireo to sbom.json (CycloneDX)
	$(BIN)/cyclonedx-py requirements requirements/run.txt --pyproject pyproject.toml --output-reproducible --output-file sbom.json

audit: $(VENV)/.dev-ready ## look for known vulnerabilities in what is installed with Vireo (needs the internet)
	$(BIN)/pip-audit --disable-pip --require-hashes --strict --requirement requirements/run.txt

secrets: ## draw the passwords and keys of the compose file, as files in secrets/ (those that exist stay)
	@$(PYTHON) docker/make_secrets.py secrets

clean: ## remove the virtual environment (the data directory stays)
	rm -rf $(VENV)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Vireo needs Python 3.11 or newer; set PYTHON=…")'
	@echo "Creating the virtual environment in $(VENV)"
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); exit 1; }

$(BIN)/promtool: | $(VENV)/bin/python
	@sh tests/docker/get_promtool.sh $@

$(VENV)/.run-ready: $(VENV)/bin/python pyproject.toml client/pyproject.toml requirements/run.txt
	@echo "Installing Vireo and its dependencies (about two minutes the first time; torch is large)"
	@$(INSTALL) requirements/run.txt
	@$(PIP) install --no-deps --no-build-isolation --editable ./client --editable .
	@touch $@

$(VENV)/.dev-ready: $(VENV)/.run-ready requirements/dev.txt
	@echo "Installing the tools for tests and checks"
	@$(INSTALL) requirements/dev.txt --quiet
	@touch $@
