# `make run` sets up and runs the main job; `make test` tests it; `make help` lists the rest.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Contains only a Bento's requirements: the cost of serving is measured here.
SERVE_VENV := .venv-serve
# Airflow and BentoML cannot share an environment.
AIRFLOW_VENV := .venv-airflow
AIRFLOW_DAGS := deploy/airflow/dags
# The exchange whose close schedules the DAGs.
EXCHANGE ?= XNYS
# The shell passes these to `kedro run` verbatim: make run SOURCE='my archive.zip' DATA_ROOT=folder
export SOURCE DATA_ROOT ARTEFACT TRIES TAG REBUILD_PYTHON MUTANTS MINUTES CONNECTIONS RESTARTS
PARAMS := $${SOURCE:+--params "source=$$SOURCE"} $${DATA_ROOT:+--params "data_root=$$DATA_ROOT"}

# The lock files name no registry: each machine uses its own. requirements.lock has what a run needs,
# the others only what they add to it. What it has for some platforms alone, they have again.
RUN_EXTRAS := --extra sample --group build
ADDED_TO_RUN = $$(sed -n '/ ; /d; s/^\([A-Za-z0-9._-]*\).*==.*/--no-emit-package \1/p' requirements.lock)
ATHERIS := atheris==3.0.0
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --no-annotate

BANDIT = $(BIN)/bandit --quiet --recursive --configfile pyproject.toml src service.py deploy/airflow/dags

export DO_NOT_TRACK := 1
export BENTOML_DO_NOT_TRACK := True

.DEFAULT_GOAL := help
.PHONY: help run dev test test-slow coverage mutation lint format viz viz-site notebook build docs serve bench \
  bench-full bench-forecaster bench-serve bench-update dask-check soak crash-check fuzz reproduce container-check tune lineage lock sbom audit \
  features-doc reference schemas airflow-dags airflow-check airflow-container-check \
  airflow-picture clean clean-data

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 26

run: $(VENV)/.installed ## Set up, then make layers, report, models and Bento (SOURCE=, DATA_ROOT=)
	$(BIN)/kedro run $(PARAMS)

dev: $(VENV)/.dev-installed ## Install the tools of development, the graph and all sources

test: $(VENV)/.dev-installed ## Run the test suite
	$(BIN)/pytest -n auto --dist loadfile

test-slow: $(VENV)/.dev-installed ## Run the tests that take longer: models on Dask, exported Bentos, nginx
	$(BIN)/pytest -m slow

coverage: $(VENV)/.dev-installed ## Run the test suite and measure the branches that it covers, at least 95 %
	$(BIN)/pytest -n auto --dist loadfile --cov --cov-report=term

mutation: $(VENV)/.dev-installed ## Mutate bars, features and forecaster; count the mutants that their tests find (MUTANTS=150)
	$(BIN)/python -m tests.robustness.mutate $${MUTANTS:+--mutants "$$MUTANTS"}

lint: $(VENV)/.dev-installed ## Check style, types and safety
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BANDIT)

format: $(VENV)/.dev-installed ## Fix style issues automatically
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

viz: $(VENV)/.dev-installed ## Show the pipelines and layers as a graph in the browser
	$(BIN)/kedro viz run

viz-site: $(VENV)/.dev-installed ## Write the graph as a static site into build/, with previews of the data
	$(BIN)/kedro viz build --include-previews
	$(BIN)/python -m stock_volume.viz_site

notebook: $(VENV)/.notebook-installed ## Open the notebooks
	$(BIN)/kedro jupyter lab

build: $(VENV)/.installed ## Build a wheel into dist/, which runs without a checkout
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --no-build-isolation --wheel-dir dist .

docs: $(VENV)/.docs-installed ## Build the documentation site into build/docs, and check its links
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

serve: $(VENV)/.installed ## Serve the latest Bento on port 3000
	$(BIN)/bentoml serve stock_volume:latest --timeout-graceful-shutdown 30

bench: $(VENV)/.dev-installed ## Compare our stages with the original's (SOURCE=archive.zip)
	$(BIN)/python benchmarks/run.py $${SOURCE:+"$$SOURCE"}

bench-full: $(VENV)/.dev-installed ## Measure a run on a market of 8,049 symbols (SOURCE=archive.zip)
	$(BIN)/python benchmarks/full.py "$$SOURCE"

bench-forecaster: $(VENV)/.dev-installed ## Measure the forecaster's training and its options (SOURCE=archive.zip)
	$(BIN)/python benchmarks/forecaster.py $${SOURCE:+"$$SOURCE"} --options

dask-check: $(VENV)/.dev-installed ## Compare runs on Dask with one on one machine (SOURCE=archive.zip)
	$(BIN)/python benchmarks/dask_check.py $${SOURCE:+"$$SOURCE"} --models

bench-update: $(VENV)/.dev-installed ## Compare an update with a run on all bars (SOURCE=archive.zip)
	$(BIN)/python benchmarks/update.py $${SOURCE:+"$$SOURCE"}

bench-serve: $(VENV)/.dev-installed $(SERVE_VENV)/.installed ## Compare the service with Flask and FastAPI under load (wrk, DATA_ROOT=)
	$(BIN)/python benchmarks/serve.py --serve-python $(SERVE_VENV)/bin/python $${DATA_ROOT:+--data-root "$$DATA_ROOT"}

soak: $(VENV)/.dev-installed $(SERVE_VENV)/.installed ## Load the service with good and bad input (wrk, MINUTES=10, CONNECTIONS=8, RESTARTS=0)
	$(BIN)/python benchmarks/serve.py --serve-python $(SERVE_VENV)/bin/python --soak $${MINUTES:-10} \
	  $${CONNECTIONS:+--connections "$$CONNECTIONS"} $${RESTARTS:+--restarts "$$RESTARTS"}

fuzz: $(VENV)/.dev-installed ## Read mutated files and answers, with bounds on time and memory (TRIES=1000, GUIDED=seconds with atheris)
	@if [ -n "$$GUIDED" ]; then \
	  VIRTUAL_ENV="$(CURDIR)/$(VENV)" $(BIN)/uv run --quiet --no-project --active --with $(ATHERIS) \
	    python -m tests.robustness.guided "$$GUIDED"; \
	else $(BIN)/python -m tests.robustness.fuzz $${TRIES:+--tries "$$TRIES"}; fi

crash-check: $(VENV)/.dev-installed ## Kill runs and updates, fill the disk, complete them and compare every file (TRIES=30)
	$(BIN)/python -m tests.robustness.crash_check $${TRIES:+--tries "$$TRIES"}

reproduce: $(VENV)/.installed ## Rebuild a Bento in a clean clone of its revision and compare digests (TAG=, SOURCE=, DATA_ROOT=, REBUILD_PYTHON=)
	$(BIN)/python -m tests.robustness.reproduce $${TAG:+"$$TAG"} $${SOURCE:+--source "$$SOURCE"} \
	  $${DATA_ROOT:+--data-root "$$DATA_ROOT"} $${REBUILD_PYTHON:+--python "$$REBUILD_PYTHON"}

container-check: $(VENV)/.dev-installed ## Build an image from the latest Bento and send it requests (root, Debian)
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/container/check.sh

airflow-container-check: $(VENV)/.dev-installed ## Build Airflow's image, run the DAG in it and compare the results (root, Debian)
	BIN="$(CURDIR)/$(BIN)" tests/container/airflow.sh

tune: $(VENV)/.dev-installed ## Search for better parameters; kedro run --env tuned uses them
	$(BIN)/kedro run --pipelines tuning $(PARAMS)

lineage: $(VENV)/.installed ## Trace an artefact back to its raw files (ARTEFACT=, DATA_ROOT=)
	$(BIN)/kedro lineage $${ARTEFACT:+"$$ARTEFACT"} $${DATA_ROOT:+--data-root "$$DATA_ROOT"}

lock: $(VENV)/.dev-installed ## Update all dependencies to new versions
	$(COMPILE) --upgrade $(RUN_EXTRAS) pyproject.toml -o requirements.lock
	$(COMPILE) --upgrade --constraint requirements.lock --extra viz --extra dev pyproject.toml \
	  $(ADDED_TO_RUN) -o requirements-dev.lock
	$(COMPILE) --constraint requirements.lock --group serve -o requirements-serve.lock
	$(COMPILE) --constraint requirements.lock --constraint requirements-dev.lock --extra notebook \
	  pyproject.toml $(ADDED_TO_RUN) -o requirements-notebook.lock
	$(COMPILE) --constraint requirements.lock --constraint requirements-dev.lock --extra docs \
	  pyproject.toml $(ADDED_TO_RUN) -o requirements-docs.lock
	$(COMPILE) --upgrade deploy/airflow/requirements.in -o deploy/airflow/requirements.lock

sbom: $(VENV)/.dev-installed ## Generate docs/sbom (CycloneDX) and docs/licences.md from the lock files
	$(BIN)/python -m stock_volume.dependencies

# pip-audit asks a public database for the packages of each lock file.
audit: $(VENV)/.dev-installed ## Look for packages with known vulnerabilities (network)
	for lock in requirements*.lock deploy/airflow/requirements.lock; do \
	  $(BIN)/uv tool run pip-audit==2.10.1 --disable-pip --require-hashes --requirement $$lock || exit; done

features-doc: $(VENV)/.dev-installed ## Generate docs/features.md from the registry
	$(BIN)/python -c "from stock_volume.features.registry import describe_features; \
	  print(describe_features(), end='')" > docs/features.md

reference: $(VENV)/.dev-installed ## Generate docs/reference from the models of parameters, layers and routes
	$(BIN)/python -m stock_volume.reference

schemas: $(VENV)/.installed ## Generate docs/schemas from the models of the documents
	$(BIN)/python -m stock_volume.document_schemas

airflow-dags: $(VENV)/.dev-installed ## Generate deploy/airflow/dags from the pipelines (EXCHANGE=)
	$(BIN)/kedro airflow create --pipelines __default__,update --group-by memory \
	  --jinja-file deploy/airflow/dag.py.j2 --target-dir $(AIRFLOW_DAGS) \
	  --params "$$($(BIN)/python -c 'from stock_volume.exchange import find_exchange; \
	    exchange = find_exchange("$(EXCHANGE)"); \
	    print(f"timezone={exchange.time_zone},update_schedule={exchange.update_schedule()}")')"
	$(BIN)/ruff format --quiet --config pyproject.toml $(AIRFLOW_DAGS)

airflow-check: $(VENV)/.dev-installed $(AIRFLOW_VENV)/.installed ## Run the DAGs with Airflow, on the embedded sample
	tests/airflow/check.sh

airflow-picture: $(VENV)/.dev-installed $(AIRFLOW_VENV)/.installed ## Like airflow-check, and update docs/images/airflow.png (Chromium)
	tests/airflow/check.sh --picture

clean: ## Remove the environments and the logs
	rm -rf $(VENV) $(SERVE_VENV) $(AIRFLOW_VENV) logs/*

clean-data: ## Remove all data in data/, including fetched archives and the forecast log
	rm -rf data/0*

# uv installs in seconds. It does not read pip's configuration: where only pip reaches a registry,
# pip installs.
define install
	$(1)/uv pip install --quiet --require-hashes --python $(1)/python $(2) \
	  || $(1)/pip install --quiet --disable-pip-version-check --require-hashes $(2)
endef

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	sed -n '/^uv==/,/[^\\]$$/p' requirements.lock > $(VENV)/uv.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r $(VENV)/uv.lock
	$(call install,$(BIN),-r requirements.lock)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(VENV)/.dev-installed: $(VENV)/.installed requirements-dev.lock
	$(call install,$(BIN),-r requirements.lock -r requirements-dev.lock)
	touch $@

$(VENV)/.notebook-installed: $(VENV)/.installed requirements-notebook.lock
	$(call install,$(BIN),-r requirements.lock -r requirements-notebook.lock)
	touch $@

$(VENV)/.docs-installed: $(VENV)/.installed requirements-docs.lock
	$(call install,$(BIN),-r requirements.lock -r requirements-docs.lock)
	touch $@

$(SERVE_VENV)/.installed: requirements-serve.lock
	$(PYTHON) -m venv $(SERVE_VENV)
	$(SERVE_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-serve.lock
	touch $@

$(AIRFLOW_VENV)/.installed: deploy/airflow/requirements.lock
	$(PYTHON) -m venv $(AIRFLOW_VENV)
	$(AIRFLOW_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@
