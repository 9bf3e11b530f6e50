# Everything that a developer or CI types. `make help` lists it.
SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
BIN := $(VENV)/bin
FAULT ?= dangling_symlink
export ANSIBLE_COLLECTIONS_PATH := $(CURDIR)/playbooks/collections
export ANSIBLE_NOCOWS := 1

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  \1\t\2/' | expand -t 22

$(VENV)/.run: requirements.txt
	@tests/tools/make-venv $(VENV) requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt $(VENV)/.run
	@tests/tools/make-venv $(VENV) requirements-dev.txt
	@touch $@

setup: $(VENV)/.dev ## virtual environment with all development tools

diagnose: $(VENV)/.run ## break a small real backend (FAULT=<name>, FAULT=list) and diagnose it
	@demo/diagnose "$(FAULT)"

diagnose-clean: ## take the demo away again
	@demo/clean

test: lint unit sanity build demo-check canaries-brief molecule ## everything below; what CI runs

lint: setup ## ansible-lint, yamllint, ruff, mypy, documentation, changelog
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/yamllint --strict .
	$(BIN)/mypy --config-file pyproject.toml plugins
	$(BIN)/ansible-lint
	$(BIN)/antsibull-changelog lint
	$(BIN)/python docs/generate_catalogue.py --check

unit: setup ## unit tests
	$(BIN)/pytest -q -n 2 tests/unit

sanity: setup ## ansible-test sanity, all that runs without its containers
	tests/sanity/run

demo-check: setup ## every fault of the demo, end to end, without root or systemd
	demo/check

canaries: setup ## secrets planted everywhere, and looked for in every output, under supervisord and on a systemd host
	tests/canaries/run

canaries-brief: setup ## the same for one diagnosis under supervisord
	tests/canaries/run --brief demo

molecule: setup ## the playbook on real systemd hosts: three Debians over SSH, then the zoo of live faults
	tests/hosts/molecule

accuracy: setup ## the classifier on recorded crashes (CORPUS=file, JSON=1)
	@$(BIN)/python tests/accuracy/run.py $(if $(CORPUS),--corpus $(CORPUS)) $(if $(JSON),--json)

bench: bench-classifier ## times as ratios against ansible -m ping, on test hosts, and the classifier on large logs
	$(BIN)/python benchmarks/run.py

bench-classifier: setup ## seconds and memory of the classifier for 10 MiB of log, of many shapes; needs no hosts
	$(BIN)/python benchmarks/classify.py

build: setup ## build the collection, install it in an empty place and run it from there by its full name
	tests/tools/check-build

$(VENV)/.fuzz: tests/fuzz/requirements.txt $(VENV)/.dev
	@tests/tools/make-venv $(VENV) tests/fuzz/requirements.txt
	@touch $@

fuzz: $(VENV)/.fuzz ## every parser, guided by coverage (MINUTES=10, TARGETS="log toml"), then the time of large inputs
	nice -n 19 $(BIN)/python tests/fuzz/run --minutes $(or $(MINUTES),10) $(TARGETS)
	nice -n 19 $(BIN)/python tests/fuzz/run --linear $(TARGETS)

matrix: setup ## the demo under ansible-core 2.19, 2.20 and 2.21
	tests/tools/check-cores

docs: setup ## generate docs/catalogue.md from the catalogue, with the figures of make accuracy
	@$(BIN)/python tests/accuracy/run.py --figures tests/accuracy/figures.json > /dev/null
	$(BIN)/python docs/generate_catalogue.py

clean: diagnose-clean ## remove what was built; test hosts too
	-tests/hosts/down
	rm -rf .build $(VENV)

.PHONY: help setup diagnose diagnose-clean test lint unit sanity demo-check canaries canaries-brief molecule accuracy bench bench-classifier build fuzz matrix docs clean
