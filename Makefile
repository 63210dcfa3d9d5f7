# Needs Python 3.10 to 3.13 and make; everything else goes into .venv of this folder.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SHUFFLED = $(if $(SEED),-p randomly --randomly-seed=$(SEED))
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Without stored bytecode each of the many processes of an Airflow compiles all that it imports: five seconds of CPU.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help demo airflow webhook env docs guarantees bench wheel matrix test test-fast coverage compose-test check format constraints clean

help:  ## Show this help
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements.txt requirements-dev.txt constraints.txt pyproject.toml
	@echo "Setting up $(VENV) with Apache Airflow (once; again when the requirements change) ..."
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))' || \
	  { echo "Python 3.10 to 3.13 is needed, $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12 ..."; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check uv -c constraints.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --compile-bytecode -r requirements.txt -r requirements-dev.txt -c constraints.txt
	@VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/uv pip install --quiet --no-deps -e .  # makes the connection types known
	@touch $@
	@echo "$(VENV) is ready."

demo: $(READY)  ## Run the main job: real Airflow, simulated tenant (KEEP=1 leaves Airflow up)
	@$(BIN)/python -m demo.demo $(if $(KEEP),--keep)

airflow: $(READY)  ## Start Airflow for your own tenant and webhook (state in .airflow; Ctrl-C stops it)
	@$(BIN)/python -m simulation.local_airflow

webhook: $(READY)  ## Start a webhook on port 8091 that prints what arrives (ANSWER=503 TIMES=3 simulates a fault)
	@$(BIN)/python -m simulation.receiver $(if $(ANSWER),--answer $(ANSWER)) $(if $(TIMES),--times $(TIMES))

env:  ## Write .env, airflow.env and connections.env for docker compose, or add what they lack (never changes a value)
	@$(PYTHON) stack/write_env.py

docs: $(READY)  ## Write docs/settings.md, docs/log-types.md and the schema of the routes file from the code
	@PYTHONPATH=plugins $(BIN)/python -m auth0_webhooks.filtering.log_types > docs/log-types.md
	@PYTHONPATH=plugins $(BIN)/python -m tests.support.programs.settings_page

guarantees: $(READY)  ## Run the fault matrix and write docs/guarantees.md from the results
	@WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/unit/delivery/test_guarantees.py

bench: $(READY)  ## Measure, print each target met or missed, write docs/benchmarks.md (ONLY="delivery parsing" runs only these)
	@PYTHONPATH=plugins $(BIN)/python -m bench $(ONLY)

test: $(READY)  ## Run every test, on real HTTP, a real Airflow and a real database (SEED=7 for another order)
	@$(BIN)/python -m tests $(SHUFFLED)

test-fast: $(READY)  ## Run the tests that need no Airflow, but for the slow ones (a minute)
	@$(BIN)/python -m tests fast $(SHUFFLED)

wheel: $(READY)  ## Build the wheel into dist/
	@rm -rf build dist && $(BIN)/uv build --quiet --wheel --out-dir dist . && ls -l dist/*.whl

matrix: $(READY)  ## Install the wheel beside each Airflow 3.3 on each Python of this machine, and run a route there (minutes)
	@$(BIN)/python -m pytest -q -rsP tests/wheel

compose-test: $(READY)  ## Try docker-compose.yaml: schema, and with a container engine the stack with a killed worker (minutes)
	@COMPOSE_TEST=1 $(BIN)/python -m pytest -v -rsfEP tests/unit/project/test_compose.py tests/unit/project/test_stack.py

coverage: $(READY)  ## Measure which lines tests/unit and tests/runs reach; fails below the floor in pyproject.toml
	@$(BIN)/python -m pytest -q -n auto --dist loadfile --no-loadscope-reorder --cov --cov-report=term tests/runs tests/unit

check: $(READY)  ## Lint, check the types and the direction of imports
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/deno fmt --quiet --check
	@$(BIN)/deno lint --quiet
	@$(BIN)/lint-imports --no-cache --no-logo

format: $(READY)  ## Format, and fix what can be fixed
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/deno fmt --quiet

constraints: $(READY)  ## Resolve the requirements again, to their newest versions, into constraints.txt
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --no-annotate --no-header --upgrade \
	  requirements.txt requirements-dev.txt --output-file constraints.txt

clean:  ## Remove what make made here: .venv, .airflow and caches
	@rm -rf $(VENV) .airflow build dist plugins/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
