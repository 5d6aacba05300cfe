# Needs make and Python 3.11 or newer; everything else goes into .venv.
# PYTHON=… chooses the interpreter, JOBS=… how many tests run side by side.

JOBS ?= 2
FITS = import ensurepip, sys; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for python in python3.13 python3.12 python3.11 python3; do \
	if $$python -c '$(FITS)' 2>/dev/null; then echo $$python; break; fi; done)
BIN = .venv/bin

.PHONY: help demo test check bench model matrix matrix-servers transparency fuzz mutants caches clean

help:
	@echo 'make demo    watch a session refresh itself, on a page on this machine'
	@echo 'make test    run the whole suite'
	@echo 'make check   lint, formatting, types'
	@echo 'make bench   measure against the alternatives: every goal, passed or failed'
	@echo 'make model   explore the rotation protocol exhaustively'
	@echo 'make fuzz    feed the readers hostile bytes, five targets for a minute each'
	@echo 'make mutants break the library in small ways, one by one: the tests must notice; hours'
	@echo 'make caches  try nginx, Apache, Varnish and Squid in front, where they are installed'
	@echo 'make matrix  the token and attack suites on every version that is promised'
	@echo 'make matrix-servers  every framework on every server, behind nginx, and real clients'
	@echo "make transparency  Starlette's own tests, validators, other people's applications"
	@echo 'make clean   remove .venv and everything generated'

demo: .venv/.demo
	@$(BIN)/python -m asgi_refresh.demo

test: .venv/.dev
	$(BIN)/python -m pytest -n $(JOBS) --dist=loadfile

check: .venv/.dev
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

# NAMES='memory server' runs those in place of the table of goals.
bench: .venv/.bench
	$(BIN)/python -m benchmarks $(NAMES)

model: .venv/.dev
	$(BIN)/python -m tests.model

fuzz: .venv/.dev
	$(BIN)/python -m tests.fuzz --seconds 60

# MUTANTS='cookies --again' chooses: modules, what was not found last time, --help.
mutants: .venv/.mutants
	$(BIN)/python -m tests.mutants --jobs $(JOBS) $(MUTANTS)

# CACHES='nginx squid' chooses some of them.
caches: .venv/.dev
	$(BIN)/python -m tests.caches $(CACHES)

matrix: .venv/.dev
	$(BIN)/python -m tests.versions

# CELLS='granian-*/django' chooses some; without, docs/compatibility.md is written.
matrix-servers: .venv/.dev .venv/.servers
	$(BIN)/python -m tests.conformance $(CELLS)
ifndef CELLS
	$(BIN)/python -m tests.conformance clients
endif

# PARTS='applications datasette' chooses: suite, validators, applications and which.
transparency: .venv/.dev .venv/.apps
	$(BIN)/python -m tests.transparency $(PARTS)

clean:
	rm -rf .venv .matrix .bench .mutants build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python:
	@if [ -z '$(PYTHON)' ]; then echo 'No Python 3.11 or newer with venv found; say PYTHON=…' >&2; exit 1; fi
	@'$(PYTHON)' -c '$(FITS)' || { echo '$(PYTHON) is older than 3.11 or lacks venv' >&2; exit 1; }
	'$(PYTHON)' -m venv .venv

# Each stamp is older than pyproject.toml when that has changed: then it is installed anew.
.venv/.demo .venv/.dev .venv/.servers .venv/.apps .venv/.bench .venv/.mutants: .venv/.%: pyproject.toml | $(BIN)/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
