# The one vocabulary: people, hooks and CI call these targets. What a target does is written in Python; here it is named.
# Made for GNU make 4.3. Every target sets up what it needs and may be run again.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory --no-builtin-rules

PYTHON ?= python3
VENV ?= .venv
VENV_SERVE ?= .venv-serve
VENV_VALIDATE ?= .venv-validate
VENV_CLIENTS ?= .venv-clients
TOOLS ?= .tools
PORT ?= 8080
ENV ?= staging
ARGS ?=
# The model that serve, loadtest and image work on: the last one trained, unless BUNDLE names another folder.
BUNDLE ?= $(shell sed -n 's/.*"path": *"\([^"]*\)".*/data\/bundles\/\1/p' data/bundles/latest.json 2>/dev/null)
LAYOUT ?= data/registry
# Who builds the container, and on what: docker, podman or buildah, the first that works, or none (docs/image.md).
BUILDER ?= auto
BASE ?=
GRPC ?=
export VENV VENV_SERVE VENV_VALIDATE VENV_CLIENTS TOOLS TORCH

# Nothing here tells anybody that it runs.
export DO_NOT_TRACK := true
export MLFLOW_DISABLE_TELEMETRY := true
export KEDRO_DISABLE_TELEMETRY := true
export DISABLE_LATEST_VERSION_CHECK := true
export ORT_DISABLE_TELEMETRY := true
# A model is ONNX, safetensors or JSON: MLflow need not unpickle anything.
export MLFLOW_ALLOW_PICKLE_DESERIALIZATION := false

RUN := $(VENV)/bin/python -m
KEDRO := $(VENV)/bin/kedro
PYTEST := $(RUN) pytest
# A process for each core; a file stays in one, so that what its tests share is made once. PARALLEL= for one after the other.
PARALLEL ?= --numprocesses auto --maxprocesses 4 --dist loadfile
# Runs a command, says how long it took, keeps its exit code.
timed = @start=$$SECONDS; code=0; { $(1); } || code=$$?; echo "$@: $$((SECONDS - start)) s" >&2; exit $$code

##@ Start here

.PHONY: help
help: ## this list
	@awk 'BEGIN {FS = ":.*## "} /^##@ / {printf "\n%s\n", substr($$0, 5)} /^[a-z0-9-]+:.*## / {printf "  %-16s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@printf '\nVariables: VENV VENV_SERVE VENV_VALIDATE VENV_CLIENTS TOOLS PORT=%s ENV=%s BUNDLE IMAGE ARGS TORCH=cpu\n' '$(PORT)' '$(ENV)'

.PHONY: demo
demo: ## the whole story on the real data, from a table to a promoted and reverted model; ends by itself
	$(call timed,$(MAKE) setup kustomize && $(RUN) demo $(ARGS))

.PHONY: setup
setup: ## make the environments, or bring them up to date (TORCH=cpu: without CUDA)
	@$(PYTHON) requirements/environments.py

.PHONY: new
new: environment-train ## generate another model's repository: asks, or takes NAME="Churn Risk" OUTPUT=.. (SLUG OWNER IMAGE TEAM)
	@test -f hooks/new.py || { echo 'make new: this repository was generated itself; run it in the template' >&2; exit 2; }
	@$(RUN) hooks.new --name "$${NAME-}" --slug "$${SLUG-}" --owner "$${OWNER-}" --image "$${IMAGE-}" --team "$${TEAM-}" --output "$${OUTPUT-..}"

##@ The model

.PHONY: train
train: environment-train environment-validate ## data to registered version: ingestion, features, training, packaging, gates, registration
	$(KEDRO) run $(ARGS)

.PHONY: validate
validate: environment-train environment-validate ## run the gates on the last bundle again
	$(KEDRO) run --pipelines validation $(ARGS)

.PHONY: score
score: environment-train ## batch inference over a table
	$(KEDRO) run --pipelines scoring $(ARGS)

.PHONY: mlflow
mlflow: environment-train ## look at runs and registered versions on http://127.0.0.1:5000
	$(VENV)/bin/mlflow ui --backend-store-uri sqlite:///data/mlflow/mlflow.db --host 127.0.0.1 $(ARGS)

.PHONY: bench-pipeline
bench-pipeline: environment-train environment-validate ## time and peak memory of the pipeline at 1, 3 and 10 times the data
	$(RUN) bench.pipeline $(ARGS)

##@ The server

.PHONY: serve
serve: environment-serve bundle ## serve the last bundle on 127.0.0.1 (PORT, BUNDLE)
	$(VENV_SERVE)/bin/python -m serving --bundle $(BUNDLE) --port $(PORT) $(ARGS)

.PHONY: bench-serving
bench-serving: environment-train environment-serve ## this server beside MLServer, KServe, MLflow, FastAPI and a fixed reply
	$(RUN) bench.serving $(ARGS)

.PHONY: reliability
reliability: environment-train environment-serve ## faults, overload, replacements, mutants, fuzz: what must hold (ARGS="--minutes 1")
	$(RUN) bench.reliability $(ARGS)

.PHONY: loadtest
loadtest: environment-train bundle ## load the server that `make serve` runs and hold it against the budgets of ENV
	$(RUN) loadtests --url http://127.0.0.1:$(PORT) --bundle $(BUNDLE) --environment $(ENV) --budgets conf/base/budgets.yml --report data/reports/$(notdir $(BUNDLE)) $(ARGS)

##@ The way to production

.PHONY: image
image: environment-train bundle ## the bundle and its server as a container in an OCI layout; prints version@digest (BUILDER BASE GRPC=1)
	@$(RUN) release image --bundle $(BUNDLE) --layout $(LAYOUT) --builder $(BUILDER) $(if $(BASE),--base $(BASE)) $(if $(GRPC),--grpc) $(ARGS)

.PHONY: sbom
sbom: environment-train ## list what is in IMAGE (version@sha256:...), as SPDX, attached to it
	@$(RUN) release sbom --image $(or $(IMAGE),$(error sbom: say of which: IMAGE=version@sha256:..., as `make image` prints it)) --layout $(LAYOUT) $(ARGS)

.PHONY: promote
promote: environment-train kustomize ## put IMAGE (version@sha256:...) into ENV, as a branch with a one-line change
	$(RUN) release promote $(ENV) --image $(or $(IMAGE),$(error promote: say which: IMAGE=version@sha256:..., as `make image` prints it)) --layout $(LAYOUT) $(ARGS)

.PHONY: rollback
rollback: environment-train kustomize ## revert the last promotion of ENV
	$(RUN) release rollback $(ENV) $(ARGS)

.PHONY: status
status: environment-train ## what runs where, since when, who let it in, on which gates (ARGS="staging": more of one; ARGS=--json)
	@$(RUN) release status $(ARGS)

.PHONY: history
history: environment-train ## all that ENV ran
	@$(RUN) release history $(ENV) $(ARGS)

.PHONY: check
check: environment-train ## may something new go out to ENV now: freezes, quiet hours, error budget (PROMETHEUS_URL)
	@$(RUN) release check $(ENV) $(ARGS)

.PHONY: doctor
doctor: environment-train ## what this repository lacks for a release
	@$(RUN) release doctor --layout $(LAYOUT) $(ARGS)

.PHONY: dora
dora: environment-train ## how often and how fast releases come, how many are taken back (ARGS="--days 30")
	@$(RUN) release dora $(ARGS)

.PHONY: push
push: environment-train ## IMAGE and all that is attached to it into a registry (TO=registry/name; the one in gitops/)
	@$(RUN) release push --image $(or $(IMAGE),$(error push: say which: IMAGE=version@sha256:..., as `make image` prints it)) --layout $(LAYOUT) $(if $(TO),--to $(TO)) $(ARGS)

.PHONY: fetch
fetch: environment-train ## IMAGE and all that is attached to it from a registry (FROM=registry/name; the one in gitops/)
	@$(RUN) release fetch --image $(or $(IMAGE),$(error fetch: say which: IMAGE=version@sha256:...)) --layout $(LAYOUT) $(if $(FROM),--from $(FROM)) $(ARGS)

.PHONY: render
render: environment-train kustomize ## what a cluster would get, from gitops/ and the budgets (ARGS=--check: fail when stale)
	$(RUN) release render $(ARGS)

.PHONY: render-check
render-check: environment-train ## does gitops/ say what the budgets say
	$(RUN) release render --check $(ARGS)

.PHONY: github-setup
github-setup: environment-train ## hold the repository on GitHub against .github/settings; APPLY=1 writes: docs/github-setup.md
	$(RUN) release github-setup $(if $(APPLY),--apply) $(if $(PRUNE),--prune) $(ARGS)

.PHONY: argo
argo: environment-train ## compile the pipelines for Argo Workflows into gitops/
	$(RUN) pipelines.argo $(ARGS)

##@ The repository

.PHONY: test
test: ## the fast tests, all of them (ARGS="-k words" picks)
	$(call timed,$(MAKE) setup environment-clients kustomize && $(PYTEST) -m "not slow and not cluster" $(PARALLEL) $(ARGS))

.PHONY: test-fast
test-fast: ## a minute's worth of them: architecture and contracts
	$(call timed,$(MAKE) setup && $(PYTEST) -m "not slow and not cluster" tests/architecture tests/contracts $(ARGS))

.PHONY: e2e
e2e: environment-train kustomize ## the way to production on the cluster that KUBECONFIG names: docs/e2e.md (ARGS="-k words" picks)
	$(call timed,$(PYTEST) -m cluster --timeout 3600 tests/e2e $(ARGS))

.PHONY: e2e-images
e2e-images: environment-train bundle ## the images that e2e delivers, built before where its cluster has no package index (E2E_BASE BUILDER)
	$(RUN) tests.e2e.images

.PHONY: cluster
cluster: environment-train kustomize ## a cluster for e2e, by kind, where Docker is; prints what e2e wants to know
	@$(RUN) tests.e2e.kind

.PHONY: test-slow
test-slow: ## the slow tests: whole runs, generated repositories, reproducibility
	$(call timed,$(MAKE) setup kustomize && $(PYTEST) -m "slow and not cluster" --timeout 1800 $(ARGS))

.PHONY: lint
lint: environment-train ## every hook on every file that git tracks
	@git rev-parse --git-dir >/dev/null || { echo 'lint: the hooks look at what git tracks; first: git init && git add --all' >&2; exit 2; }
	$(VENV)/bin/pre-commit run --all-files $(ARGS)

.PHONY: format
format: environment-train ## put Python files in order
	$(RUN) ruff check --fix-only --quiet .
	$(RUN) ruff format .

.PHONY: hooks
hooks: environment-train ## run the hooks on every commit of this clone
	$(VENV)/bin/pre-commit install

.PHONY: docs
docs: environment-train ## do the documents hold: links, paths, targets, decisions
	$(PYTEST) -q tests/architecture/test_documents.py $(ARGS)

.PHONY: requirements
requirements: ## recompile the pins, *.txt from *.in (ARGS=--upgrade: to what is out today)
	$(PYTHON) requirements/environments.py compile $(ARGS)

.PHONY: clean
clean: ## remove caches and what a run can make again; bundles, reports, registry and MLflow stay
	rm -rf .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis $(addprefix data/,ingested quarantine features splits spill scores)
	find . -name __pycache__ -type d -not -path './.venv*' -prune -exec rm -rf {} +

# What the targets above stand on.

.PHONY: environment-train environment-serve environment-validate environment-clients
environment-train environment-serve environment-validate environment-clients: environment-%:
	@$(PYTHON) requirements/environments.py $*

.PHONY: kustomize
kustomize: environment-train
	@$(RUN) release.kustomize

.PHONY: bundle
bundle:
	@test -n '$(BUNDLE)' || { echo 'data/bundles/latest.json: no bundle here yet; run `make train`, or name one: BUNDLE=folder' >&2; exit 2; }
