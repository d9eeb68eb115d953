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
export SOURCE DATA_ROOT ARTEFACT
PARAMS := $${SOURCE:+--params "source=$$SOURCE"} $${DATA_ROOT:+--params "data_root=$$DATA_ROOT"}

EXTRAS := --extra sample --extra viz --extra dev
# The lock files name no registry: each machine uses its own. requirements-notebook.lock has only
# what the notebooks add to requirements.lock.
COMPILE := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 \
  --generate-hashes --no-emit-index-url --no-header --no-annotate

export DO_NOT_TRACK := 1
export BENTOML_DO_NOT_TRACK := True
# LightGBM's threads sleep while they wait: on a busy machine, spinning threads stall each other.
export OMP_WAIT_POLICY ?= PASSIVE

.DEFAULT_GOAL := help
.PHONY: help run test lint format viz notebook serve bench \
  bench-full bench-forecaster bench-serve bench-update soak container-check tune lineage lock features-doc schemas airflow-dags airflow-check \
  airflow-picture clean clean-data

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 18

run: $(VENV)/.installed ## Set up, then produce layers, report, models and Bento (SOURCE=, DATA_ROOT=)
	$(BIN)/kedro run $(PARAMS)

test: $(VENV)/.installed ## Run the test suite
	$(BIN)/pytest

lint: $(VENV)/.installed ## Check style and types
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

format: $(VENV)/.installed ## Fix style issues automatically
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

viz: $(VENV)/.installed ## Show the pipelines and layers as a graph in the browser
	$(BIN)/kedro viz run

notebook: $(VENV)/.notebook-installed ## Open the notebooks
	$(BIN)/kedro jupyter lab

serve: $(VENV)/.installed ## Serve the latest Bento on port 3000
	$(BIN)/bentoml serve stock_volume:latest

bench: $(VENV)/.installed ## Compare our stages with the original's (SOURCE=archive.zip)
	$(BIN)/python benchmarks/run.py $${SOURCE:+"$$SOURCE"}

bench-full: $(VENV)/.installed ## Measure a market of 8,049 symbols made from an archive, beside other methods (SOURCE=archive.zip)
	$(BIN)/python benchmarks/full.py "$$SOURCE"

bench-forecaster: $(VENV)/.installed ## Measure the forecaster's training and its options (SOURCE=archive.zip)
	$(BIN)/python benchmarks/forecaster.py $${SOURCE:+"$$SOURCE"} --options

bench-update: $(VENV)/.installed ## Compare an update with a run on all bars: cost and layers (SOURCE=archive.zip)
	$(BIN)/python benchmarks/update.py $${SOURCE:+"$$SOURCE"}

bench-serve: $(VENV)/.installed $(SERVE_VENV)/.installed ## Compare the service with Flask and bare FastAPI under load (needs wrk; DATA_ROOT=)
	$(BIN)/python benchmarks/serve.py --serve-python $(SERVE_VENV)/bin/python $${DATA_ROOT:+--data-root "$$DATA_ROOT"}

soak: $(VENV)/.installed $(SERVE_VENV)/.installed ## Load the service for ten minutes, including bad input (needs wrk)
	$(BIN)/python benchmarks/serve.py --serve-python $(SERVE_VENV)/bin/python --soak 10

container-check: $(VENV)/.installed ## Build a container image from the latest Bento and send it requests (root, Debian)
	PATH="$(CURDIR)/$(BIN):$$PATH" tests/container/check.sh

tune: $(VENV)/.installed ## Search for better parameters; writes conf/tuned, used by kedro run --env tuned
	$(BIN)/kedro run --pipelines tuning $(PARAMS)

lineage: $(VENV)/.installed ## Trace an artefact back to its raw files (ARTEFACT=stock_volume:latest, DATA_ROOT=)
	$(BIN)/kedro lineage $${ARTEFACT:+"$$ARTEFACT"} $${DATA_ROOT:+--data-root "$$DATA_ROOT"}

lock: $(VENV)/.installed ## Update all dependencies to new versions
	$(COMPILE) --upgrade $(EXTRAS) pyproject.toml -o requirements.lock
	$(COMPILE) --constraint requirements.lock --group serve -o requirements-serve.lock
	$(COMPILE) --constraint requirements.lock $(EXTRAS) --extra notebook pyproject.toml \
	  $$(sed -n 's/^\([A-Za-z0-9._-]*\).*==.*/--no-emit-package \1/p' requirements.lock) \
	  -o requirements-notebook.lock
	$(COMPILE) --upgrade deploy/airflow/requirements.in -o deploy/airflow/requirements.lock

features-doc: $(VENV)/.installed ## Generate docs/features.md from the registry
	$(BIN)/python -c "from stock_volume.features.registry import describe_features; \
	  print(describe_features(), end='')" > docs/features.md

schemas: $(VENV)/.installed ## Generate docs/schemas from the models of the documents
	$(BIN)/python -m stock_volume.document_schemas

airflow-dags: $(VENV)/.installed ## Generate deploy/airflow/dags from the pipelines (EXCHANGE=)
	$(BIN)/kedro airflow create --pipelines __default__,update --group-by memory \
	  --jinja-file deploy/airflow/dag.py.j2 --target-dir $(AIRFLOW_DAGS) \
	  --params "$$($(BIN)/python -c 'from stock_volume.exchange import find_exchange; \
	    exchange = find_exchange("$(EXCHANGE)"); \
	    print(f"timezone={exchange.time_zone},update_schedule={exchange.update_schedule()}")')"
	$(BIN)/ruff format --quiet --config pyproject.toml $(AIRFLOW_DAGS)

airflow-check: $(VENV)/.installed $(AIRFLOW_VENV)/.installed ## Run the DAGs with Airflow, on the embedded sample
	tests/airflow/check.sh

airflow-picture: $(VENV)/.installed $(AIRFLOW_VENV)/.installed ## Like airflow-check, and update docs/images/airflow.png (needs Chromium)
	tests/airflow/check.sh --picture

clean: ## Remove the environments and the logs
	rm -rf $(VENV) $(SERVE_VENV) $(AIRFLOW_VENV) logs/*

clean-data: ## Remove all data in data/, including fetched archives and the forecast log
	rm -rf data/0*

$(VENV)/.installed: requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

$(SERVE_VENV)/.installed: requirements-serve.lock
	$(PYTHON) -m venv $(SERVE_VENV)
	$(SERVE_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements-serve.lock
	touch $@

$(AIRFLOW_VENV)/.installed: deploy/airflow/requirements.lock
	$(PYTHON) -m venv $(AIRFLOW_VENV)
	$(AIRFLOW_VENV)/bin/pip install --quiet --disable-pip-version-check --require-hashes -r $<
	touch $@

$(VENV)/.notebook-installed: $(VENV)/.installed requirements-notebook.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes \
	  -r requirements.lock -r requirements-notebook.lock
	touch $@
