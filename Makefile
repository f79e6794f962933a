# Every verb sets up what it needs: the first call on a fresh machine makes .venv from requirements.lock.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.DEFAULT_GOAL := help
.PHONY: help install lint format test demo bench chaos stops fuzz simulate proto lock clean

help: ## Print the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-10s %s\n", $$1, $$2}'

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
		|| { echo "TaskRun needs Python 3.11 or newer as $(PYTHON): try make PYTHON=python3.11"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv --clear $(VENV)
	@# The lock is complete: nothing is left to resolve, and so nothing newer than it can get in the way.
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r requirements.lock
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $@

install: $(STAMP) ## Make .venv with TaskRun and everything its tests need

lint: $(STAMP) ## Check style, types, borders and generated code
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports
	@scripts/proto --check

format: $(STAMP) ## Rewrite the code in its standard form
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test: $(STAMP) ## Run all tests, installing the system packages they need where that is allowed
	@scripts/test

demo: $(STAMP) ## The whole story once: a real agent task on an enrolled worker over mutual TLS
	@$(BIN)/taskrun demo

bench: $(STAMP) ## Measure, beside the raw figures of gRPC on this machine
	@$(BIN)/python -m benchmarks

chaos: $(STAMP) ## Kill, freeze and cut off real processes under load; options in ARGS, see docs/chaos.md
	@$(BIN)/python -m chaos $(ARGS)

stops: $(STAMP) ## Cancel, time out and orphan agents of every kind, ROUNDS=50 times each: none may leave a process
	@AGENT_ROUNDS=$(or $(ROUNDS),50) $(BIN)/python -m pytest -q -n 2 --dist=loadfile tests/contracts/agents -k "leaves_no_process or ordinary_users"

fuzz: $(STAMP) ## Give what others write, changed in every way, to what reads it; options in ARGS, see docs/fuzzing.md
	@$(BIN)/python -m fuzz $(ARGS)

simulate: $(STAMP) ## Play SEEDS=2000 simulated worlds, or tell the story of one: SEED=n; see docs/simulation.md
	@$(BIN)/python -m simulation $(if $(SEED),--seed $(SEED),--seeds $(or $(SEEDS),2000) --first $(or $(FIRST),0))

proto: $(STAMP) ## Generate the code for proto/
	@scripts/proto

lock: ## Resolve requirements.lock; what is locked stays, unless ARGS=--upgrade
	@scripts/lock $(ARGS)

clean: ## Remove what the other verbs made
	rm -rf $(VENV) .venv-agents .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache .coverage*
