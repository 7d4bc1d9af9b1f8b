# Needs python3 (3.11 to 3.14) and a package index. Each target makes .venv when it is missing, and remakes it when
# pyproject.toml or the lock has changed since. What is installed is what requirements.lock names, by its hashes.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NAME ?= backtest
# Most of the tests' time is compiling, which is done by one core; files that share a compiled loop stay in one process.
WORKERS ?= 2
CONFIG ?= examples/synthetic.toml
TARGET ?= packet
SECONDS ?= 60
INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: backtest test lint format bench docs wheel fuzz mutants lock clean

backtest: $(READY)
	$(BIN)/crosswire backtest $(CONFIG)

test: lint
	$(BIN)/pytest --numprocesses $(WORKERS) --dist loadfile --no-loadscope-reorder

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

bench: $(READY)
	$(BIN)/crosswire bench $(NAME)

# build/docs/index.html; the pages of docs/reference are the program's own (`python -m tests.docs.reference`).
docs: $(READY)
	$(BIN)/sphinx-build --fail-on-warning --keep-going --quiet --builder html docs build/docs

# dist/*.whl, with machine code for any x86 server since 2015: what is installed from it compiles nothing at first.
wheel: $(READY)
	$(BIN)/python -m tests.wheel

fuzz: $(READY)
	$(INSTALL) --require-hashes --requirement requirements-fuzz.lock
	$(BIN)/python -m tests.fuzz $(TARGET) --seconds $(SECONDS)

# TARGET=risk/gate.py, or an area; SECONDS for each file.
mutants: $(READY)
	$(BIN)/python -m tests.mutants $(TARGET) --seconds $(SECONDS)

# After an edit of pyproject.toml's dependencies, or to take up newer releases.
LOCK := .venv/lock/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-build \
	--custom-compile-command "make lock" --upgrade
lock: $(READY)
	$(PYTHON) -m venv .venv/lock
	.venv/lock/bin/python -m pip install --quiet --disable-pip-version-check "uv>=0.9"
	$(LOCK) pyproject.toml --all-extras --group dev --output-file requirements.lock
	$(LOCK) --group fuzz --output-file requirements-fuzz.lock

clean:
	rm -rf .venv build dist data runs .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml requirements.lock
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else \
	  "crosswire needs Python 3.11 to 3.14; $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes --requirement requirements.lock
	$(INSTALL) --no-deps --no-build-isolation --editable .
	@touch $@
