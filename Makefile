# make help says what there is. Everything sets itself up, in this directory and in ~/.cache/edgebench, without root.
PYTHON ?= python3
PROFILE ?=
ARGS ?=
LABEL ?=

KIT = $(PYTHON) tools/kit.py
BIN = .venv/bin
PLAY_ARGS = $(if $(PROFILE),-e campaign_profile=$(PROFILE)) $(ARGS)

.PHONY: faults help run archive stop test test-all lint bench setup dev clean python

help:
	@echo "make run                  measure this machine: seven CNNs, original against quantized (quick profile)"
	@echo "make run PROFILE=study    the same with the study's ten repetitions"
	@echo "make run ARGS=\"-e '{campaign_models: [MobileNet]}'\"    any ansible-playbook arguments"
	@echo "make archive LABEL=\"My laptop\"    the same (PROFILE=, ARGS= too), in one file for somebody else's report"
	@echo "make stop                 end a measurement that goes on in the background; make run goes on from there"
	@echo "make test                 the tests      make lint   all linters      make bench   what the kit itself costs"
	@echo "make test-all             the same and those that take long, for a release"
	@echo "make setup                only set up .venv                           make clean   remove .venv and caches here"

python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("error: the kit needs Python 3.11 or later, and $(PYTHON) is %d.%d; if there is a newer one: make PYTHON=python3.12 ..." % v[:2])'

run: python
	@$(KIT) run $(PLAY_ARGS)

# The label comes through the environment, so that quotes may stand in it.
archive: python
	@$(KIT) archive --label "$$LABEL" $(PLAY_ARGS)

stop: setup
	@$(BIN)/ansible-playbook playbooks/stop.yml -i inventory/local

setup: python
	@$(KIT) setup

dev: python
	@$(KIT) setup --dev

test: dev
	@$(BIN)/python -m pytest -m "not thorough" $(ARGS)

test-all: dev
	@$(BIN)/python -m pytest $(ARGS)

lint: dev
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/yamllint --strict .
	@$(BIN)/ansible-lint --offline
	@$(BIN)/shellcheck $$(git ls-files '*.sh') .ci/run

faults: dev
	@$(BIN)/python -m tests.faults $(ARGS)

bench: dev
	@$(BIN)/python -m benchmarks $(ARGS)

clean:
	rm -rf .venv .cache .ansible .pytest_cache .ruff_cache
