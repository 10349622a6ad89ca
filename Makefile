# The few commands people type. Everything but `help` sets itself up first, once.
#
#   make demo          a day of real orders through the whole company, then the reconciled result
#   make demo MONTH=1  the month
#   make up            the whole company on this machine, until Ctrl-C
#   make test          every test
#   make check         lints, types and the architecture
#   make bench         speed and memory (BENCH_S=30 seconds a measurement)
#   make bench TABS=10 what so many open tabs of the console cost
#   make prove         seeds, mutants, kills and costly tests for MINUTES=30; tests/PROOF.md tells
#   make pictures      draw the README's pictures of the console anew (wants chromium)
#   make reference     write deploy/REFERENCE.md, dashboards and the README's pictures from the code

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DELETE_ON_ERROR:
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# A stamp for this lock and these entry points: whoever pulls a new one is set up again.
STAMP := $(VENV)/.set-up-$(shell cat requirements.lock pyproject.toml | cksum | cut -d' ' -f1)
SETUP_MB := 300

MONTH ?=
BENCH_S ?= 30
TABS ?=
MINUTES ?= 30

.PHONY: help setup demo up test check bench prove reference pictures lock

help:
	@sed -n 's/^#   //p' Makefile

setup: $(STAMP)

$(STAMP):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "✖ Python 3.11 or newer is needed; $(PYTHON) is $$($(PYTHON) -V 2>&1)"; \
	  echo "  → apt-get install python3.11, or: make $(MAKECMDGOALS) PYTHON=/path/to/python3.11"; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' 2>/dev/null || { \
	  echo "✖ the venv module of $$($(PYTHON) -V) is missing"; \
	  echo "  → apt-get install python3-venv   (as root), then: make $(MAKECMDGOALS)"; exit 1; }
	@for place in . $(wildcard $(VENV)); do [ -w "$$place" ] || { \
	  echo "✖ $$(cd "$$place" && pwd) cannot be written by $$(id -un)"; \
	  echo "  → sudo chown -R $$(id -un) $(CURDIR)   (or clone into a folder of yours)"; exit 1; }; done
	@free=$$(df -Pm . | awk 'NR == 2 { print $$4 }'); [ "$$free" -ge $$(( 2 * $(SETUP_MB) )) ] || { \
	  echo "✖ the disk of $(CURDIR) has $$free MB left; setting up needs $$(( 2 * $(SETUP_MB) )) MB"; \
	  echo "  → df -h .   (make room, then: make $(MAKECMDGOALS))"; exit 1; }
	@echo "setting up once: the locked Python packages and a Java, about 130 MB to fetch, into $(VENV)"
	@$(BIN)/python -m pip --version >/dev/null 2>&1 || $(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --require-hashes \
	  --requirement requirements.lock || { \
	  echo "✖ pip could not install every package, for the reason above; what it fetched is kept"; \
	  echo "  → make setup   (again, once the network answers; df -h . /tmp ~ shows the room)"; \
	  exit 1; }
	@$(BIN)/python -m pip install --disable-pip-version-check --no-input --quiet \
	  --no-deps --no-build-isolation --editable .
	@[ -n "$${KAFKA_BOOTSTRAP_SERVERS:-}" ] || $(BIN)/python -m deploy.local.jars
	@rm -f $(VENV)/.set-up-* && touch $@
	@echo "set up; next time nothing is fetched"

demo: $(STAMP)
	@$(BIN)/baton demo $(if $(MONTH),--month)

up: $(STAMP)
	@$(BIN)/baton up

# The cheap levels on both cores, then what starts whole stacks, two at a time: one works while the
# other waits. Both run, both count.
test: $(STAMP)
	@worst=0; \
	$(BIN)/python -m pytest -q -n 2 --dist loadfile -m "not stack and not costly" || worst=$$?; \
	$(BIN)/python -m pytest -q -n 2 --dist loadscope -m "stack and not costly" || { rc=$$?; [ $$rc -eq 5 ] || worst=$$rc; }; \
	exit $$worst

check: $(STAMP)
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(STAMP)
	@$(if $(TABS),$(BIN)/python -m tests.bench.tabs --tabs $(TABS),BENCH_S=$(BENCH_S) $(BIN)/python -m tests.bench.run)

reference: $(STAMP)
	@$(BIN)/python -m deploy.reference

pictures: $(STAMP)
	@$(BIN)/python -m tests.browser.pictures

prove: $(STAMP)
	@$(BIN)/python -m tests.prove $(MINUTES)

# By hand, when a dependency moves. Needs uv (pip install uv); no registry's address is written.
lock:
	@UV_CUSTOM_COMPILE_COMMAND="make lock" uv pip compile --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-emit-index-url --no-emit-find-links --no-emit-package pip --all-extras \
	  --output-file requirements.lock pyproject.toml
