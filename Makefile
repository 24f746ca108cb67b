# Verbs for people, CI and buildspecs alike. `make help` lists them.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# The first interpreter of a supported version; override with `make PYTHON=...`.
PYTHON ?= $(shell for each in python3.11 python3 python3.12 python3.13; do \
	$$each -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$each && break; done)
BIN := .venv/bin
ARGS ?=
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
export PYTHONUTF8 = 1

.PHONY: help
help: ## List the verbs
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

.venv/python:
	@test -n "$(PYTHON)" || { echo "Atelier needs Python 3.11, 3.12 or 3.13; name one with make PYTHON=..." >&2; exit 2; }
	@$(PYTHON) -m venv .venv && ln -sf bin/python .venv/python

.venv/runtime: .venv/python requirements/runtime.lock setup.py
	@echo "Setting up .venv from requirements/runtime.lock (about half a minute)"
	@$(PIP) --require-hashes -r requirements/runtime.lock
	@$(PIP) --no-deps --no-build-isolation --editable .
	@touch $@

.venv/dev: .venv/runtime requirements/dev.lock
	@echo "Adding the test tools from requirements/dev.lock (about half a minute)"
	@$(PIP) --require-hashes -r requirements/dev.lock
	@touch $@

.PHONY: setup dev
setup: .venv/runtime ## Create .venv with what the atelier command needs
dev: .venv/dev ## Add what `make check` and `make test` need

.PHONY: demo
demo: .venv/runtime ## Take a git push through build, training, approval and serving (ARGS="--yes --json", DATA=path; ARGS=artist paints, ARGS=fleet serves)
	@$(BIN)/atelier demo $(if $(DATA),--data "$(DATA)") $(ARGS)

.PHONY: up down
up: .venv/runtime ## Start the local cloud
	@$(BIN)/atelier up $(ARGS)

down: .venv/runtime ## Stop the local cloud; its state stays
	@$(BIN)/atelier down $(ARGS)

.PHONY: push start
push: .venv/runtime ## Push what is checked out to the repository that a pipeline follows (ARGS="NAME --aws")
	@$(BIN)/atelier pipeline push $(ARGS)

start: .venv/runtime ## Start a pipeline from what its repository holds (ARGS="NAME --aws")
	@$(BIN)/atelier pipeline start $(ARGS)

.PHONY: synth
synth: .venv/runtime ## Render every CloudFormation template to build/templates
	@$(BIN)/atelier synth $(ARGS)

.PHONY: check format
check: .venv/dev ## Lint, types, architecture, template and workflow checks
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/atelier synth --quiet
	@$(BIN)/cfn-lint build/templates/*.json
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml
	@$(BIN)/check-jsonschema --quiet --builtin-schema vendor.dependabot .github/dependabot.yml
	@$(BIN)/zizmor --offline --quiet --pedantic --no-progress .github
	@$(BIN)/pytest -q tests/test_architecture.py

format: .venv/dev ## Format the code, and take outputs out of notebooks
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .
	@$(BIN)/python notebooks/clear.py

# The browser's tests need chromium, and a Python that the WebUIs run on for each gradio that they have.
CHROMIUM := $(shell command -v chromium || command -v chromium-browser || command -v google-chrome)
WEBUI_PYTHON := $(shell for each in python3.11 python3.10 python3; do \
	$$each -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 11))' 2>/dev/null && echo $$each && break; done)

.venv/gradio%: requirements/webui-gradio%.lock | .venv/python
	@echo "Setting up $@ from $< (about a minute)"
	@rm -rf $@.new && $(WEBUI_PYTHON) -m venv $@.new
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	@rm -rf $@ && mv $@.new $@ && touch $@

WEBUIS := .venv/gradio3 .venv/gradio4

.PHONY: webuis
webuis: ## Set up the stand-ins for a WebUI that the browser's tests click in
	@$(MAKE) --silent --jobs 2 $(WEBUIS)

# What the notebooks run on. The lock is all of it: what the SDK asks for and ModelTrainer never imports is left out.
.venv/notebooks: requirements/notebooks.lock | .venv/python
	@echo "Setting up $@ from $< (about a minute)"
	@rm -rf $@.new && $(BIN)/python -m venv $@.new
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps --require-hashes -r $<
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@rm -rf $@ && mv $@.new $@ && touch $@

.PHONY: notebooks
notebooks: .venv/runtime .venv/notebooks ## Execute the notebooks on the local cloud, the demos first if they never ran (ARGS="1 3")
	@$(BIN)/atelier notebooks --prepare $(ARGS)

# Modules of tests side by side, in their order: one process tests while the other waits for what it started.
TWO := --numprocesses 2 --dist loadscope --no-loadscope-reorder

.PHONY: test
test: .venv/dev ## Run every test (ARGS="-k name")
	@$(MAKE) --silent --jobs 2 .venv/notebooks .venv/docs $(if $(and $(CHROMIUM),$(WEBUI_PYTHON)),$(WEBUIS))
	@$(BIN)/pytest $(TWO) $(ARGS)

.venv/docs: requirements/docs.lock | .venv/python
	@echo "Setting up $@ from $< (about half a minute)"
	@rm -rf $@.new && $(BIN)/python -m venv $@.new
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes -r $<
	@rm -rf $@ && mv $@.new $@ && touch $@

# MkDocs says at each start that it will be followed by another; the lock says which one is used here.
MKDOCS := NO_MKDOCS_2_WARNING=1 .venv/docs/bin/python -m mkdocs

.PHONY: docs docs-serve docs-publish
docs: .venv/runtime .venv/docs ## Build the documentation's site into build/site; a broken link fails it
	@$(BIN)/python docs/site/facts.py build/docs/facts.json
	@$(MKDOCS) build
	@echo "build/site/index.html"

docs-serve: docs ## Show the documentation on http://127.0.0.1:8000 as it is written
	@$(MKDOCS) serve --dev-addr 127.0.0.1:8000

docs-publish: docs ## Build the site and publish it (ARGS="--aws")
	@$(BIN)/atelier docs publish $(ARGS)

# What merges are compared with, torch among it.
.venv/merging: tests/bench/merging/requirements-cpu.lock | .venv/python
	@echo "Setting up $@ from tests/bench/merging (some minutes, 1.5 GB)"
	@rm -rf $@.new && $(BIN)/python -m venv $@.new
	@$@.new/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --require-hashes \
		-r tests/bench/merging/$$($(BIN)/python images/training/choose_lock.py tests/bench/merging)
	@rm -rf $@ && mv $@.new $@ && touch $@

.PHONY: bench
bench: .venv/dev .venv/merging ## Measure functions, merges, LoRAs, a look at upstream, image rebuilds, uploads beside curl, twenty redeployments of the fleet, and 200 clients (ARGS="--clients 50")
	@$(BIN)/python tests/bench/imports.py
	@$(BIN)/python tests/bench/operations.py
	@$(BIN)/python tests/bench/merge.py
	@$(BIN)/python tests/bench/lora.py
	@$(BIN)/python tests/containers/rebuild.py
	@$(BIN)/python tests/bench/upstream.py
	@$(BIN)/python tests/bench/webui_rebuild.py
	@$(BIN)/python tests/bench/fleet.py
	@$(BIN)/python tests/middleware/load.py $(ARGS)
	@$(BIN)/python tests/middleware/upload_speed.py

LOCK := $(BIN)/python -m uv pip compile --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --quiet

.PHONY: lock
lock: .venv/dev ## Compile the hashed lock files from their .in files
	@$(PIP) uv
	@$(LOCK) requirements/runtime.in -o requirements/runtime.lock
	@$(LOCK) -c requirements/runtime.lock requirements/build.in -o requirements/build.lock
	@$(LOCK) requirements/dev.in -o requirements/dev.lock
	@$(LOCK) requirements/docs.in -o requirements/docs.lock
	@$(LOCK) --override requirements/notebooks-without.txt requirements/notebooks.in -o requirements/notebooks.lock
	@$(LOCK) lambdas/requirements.in -o lambdas/requirements.lock
	@$(LOCK) -c requirements/runtime.lock images/webui/requirements.in -o images/webui/requirements.lock
	@$(LOCK) -c requirements/runtime.lock images/webui/face.in -o images/webui/face.lock
	@$(LOCK) images/training/gpt_neo/requirements.in -o images/training/gpt_neo/requirements-cuda.lock
	@$(LOCK) images/training/diffusion/requirements.in -o images/training/diffusion/requirements-cuda.lock
	@$(LOCK) src/atelier/cloud/services/ec2/machine/requirements.in -o src/atelier/cloud/services/ec2/machine/requirements.lock
	@$(LOCK) tests/bench/merging/requirements.in -o tests/bench/merging/requirements-cuda.lock
	@$(BIN)/python images/training/lock.py images/training/gpt_neo images/training/diffusion tests/bench/merging

VENDORED := extension/atelier_webui/contract

.PHONY: vendor
vendor: ## Copy what the extension speaks of src/atelier/contract into it
	@rm -rf $(VENDORED) && mkdir -p $(VENDORED)/api
	@cd src/atelier/contract && cp __init__.py operations.py refusals.py schema.py values.py ../../../$(VENDORED)/
	@cp src/atelier/contract/api/*.py $(VENDORED)/api/

.PHONY: clean
clean: ## Remove what can be made again (not the local cloud's state)
	@rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache
