# `make setup` and everything it needs. Every target that runs Python does its own set-up first.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/pytest
READY := $(VENV)/.ready
REPEAT ?= 3
ORDER := $(or $(ORDER),$(shell echo $$RANDOM))
MINISTACK := .ministack/.ready
CHECKOV := .checkov/.ready
export SEEDS FROM SEED SHRINK ONLY SAMPLE

.DEFAULT_GOAL := help
.PHONY: help setup demo up test slow crash lint check simulate mutants bench templates docs picture format lock clean \
        lab-up lab-status lab-down lab-bench lab-contract lab-test lab-bootstrap lab-tutorial

help: ## what there is
	@grep -hE '^[a-z -]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(READY) ## .venv with the locked dependencies and the project

$(READY): requirements-dev.lock infra/setup-venv.sh
	@bash infra/setup-venv.sh $(PYTHON) $(VENV)
	@touch $@

# An emulator that would not get along with the others' botocore. The hashes are the lock file's.
$(MINISTACK): tests/e2e/cloudformation/ministack.lock $(READY)
	@$(BIN)/python -m venv --clear .ministack
	@.ministack/bin/pip install -q --disable-pip-version-check --no-input --no-deps --require-hashes -r $<
	@touch $@

$(CHECKOV): tests/e2e/cloudformation/checkov.lock $(READY)
	@$(BIN)/python -m venv --clear .checkov
	@.checkov/bin/pip install -q --disable-pip-version-check --no-input --no-deps --require-hashes -r $<
	@touch $@

demo: $(READY) ## the main job, live, on the embedded environment; checks it
	@$(BIN)/python -m infra.local.demo

up: $(READY) ## the embedded environment in the foreground, until Ctrl-C
	@exec $(BIN)/python -m infra.local.up

test: $(READY) ## the tests that need no root, in under 4 minutes
	@$(PYTEST) -q -n 2 --dist loadfile -m "not slow and not lab"

slow: $(READY) $(MINISTACK) $(CHECKOV) ## the tests that take longer: real processes, capacity, simulation, each row of the crash matrix once
	@$(PYTEST) -q -n 5 --dist loadfile -m "slow and not lab"

crash: $(READY) ## the crash matrix, REPEAT=n (3) times, each time in another order (ORDER=n: that one); 20 take-overs
	@echo "REPEAT=$(REPEAT) ORDER=$(ORDER)"
	@REPEAT=$(REPEAT) ORDER=$(ORDER) $(BIN)/pytest -q -n 5 --dist load -m crash tests/e2e
	@E2E_KILLS=20 $(BIN)/pytest -q tests/e2e/test_takeover.py -k takes_over

lint: $(READY) ## format, lint, types, import rules, templates, workflows
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/cfn-lint infra/cloudformation/*.yaml
	@$(BIN)/python -m infra.cloudformation.embed --check
	@$(BIN)/python -m infra.stack_files --check
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec compose.yaml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/zizmor --offline --quiet --strict-collection --persona=auditor .

check: lint ## lint, and the tests with branch coverage
	@$(BIN)/pytest -q -n 2 --dist loadfile -m "not slow and not lab" --cov --cov-report=term:skip-covered

simulate: $(READY) ## the deterministic simulation: SEEDS=n FROM=k (FROM=commit), or SEED=k to replay one (SHRINK=1)
	@$(BIN)/python -m tests.simulation

mutants: $(READY) ## careless changes of the code, one at a time: which test finds each; SAMPLE=n FROM=commit draws n
	@$(BIN)/python -m tests.mutants

bench: $(READY) ## the benchmarks on the embedded environment, as a table; ONLY=scales, ingest or growth
	@$(BIN)/python -m infra.local.bench

templates: $(READY) ## the bootstrap script into infra/cloudformation/swarm.yaml, configuration files into stacks/*.yml
	@$(BIN)/python -m infra.cloudformation.embed
	@$(BIN)/python -m infra.stack_files

lab-up lab-status lab-down lab-bench lab-contract: lab-%: $(READY) ## a real Swarm of Docker engines on this machine (root)
	@$(BIN)/python -m infra.lab $*

lab-test: $(READY) ## the tutorial and faults on the real Swarm (root)
	@$(PYTEST) -q -m lab tests/lab

lab-bootstrap: $(READY) ## the cluster template's bootstrap script with real Docker engines (root)
	@$(BIN)/pytest -q -m lab tests/e2e/cloudformation/test_bootstrap_engines.py tests/e2e/cloudformation/test_guard_engine.py

picture: $(READY) ## docs/page.png and docs/dashboard.png anew, by a browser (chromium, prometheus)
	@REFRESH=1 $(PYTEST) -q tests/e2e/browser/test_picture.py tests/e2e/test_dashboard.py

lab-tutorial: $(READY) ## docs/tutorial.md typed on real Docker engines, with the images built; compose.yaml on one (root)
	@$(BIN)/pytest -q -m lab tests/scaffolding/tutorial/test_tutorial_engines.py tests/scaffolding/packaging/test_compose_engine.py

docs: $(READY) ## the tables of docs/reference.md, from the code
	@$(BIN)/python -m infra.reference

format: $(READY) ## mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

lock: ## new lock files from the bounds of pyproject.toml (needs uv; UPGRADE=--upgrade for newer versions)
	uv pip compile --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	    --extra cli --extra ingest --extra worker --extra rules pyproject.toml -o requirements.lock
	uv pip compile --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	    --extra cli --extra ingest --extra worker --extra rules --extra local --group dev -c requirements.lock pyproject.toml -o requirements-dev.lock
	uv pip compile --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	    tests/e2e/cloudformation/ministack.in -o tests/e2e/cloudformation/ministack.lock
	uv pip compile --quiet $(UPGRADE) --generate-hashes --no-emit-index-url --universal --python-version 3.11 \
	    tests/e2e/cloudformation/checkov.in -o tests/e2e/cloudformation/checkov.lock

clean: ## what the targets made
	rm -rf $(VENV) .ministack .checkov .local .coverage .coverage.* htmlcov .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
