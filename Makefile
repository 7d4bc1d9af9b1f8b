# Needs python3 (3.11 to 3.14) and a package index. Each target makes .venv when it is missing, and remakes it when
# pyproject.toml has changed since.

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
NAME ?= backtest
# Most of the tests' time is compiling, which is done by one core; files that share a compiled loop stay in one process.
WORKERS ?= 2
CONFIG ?= examples/synthetic.toml

.PHONY: backtest test lint format bench clean

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

clean:
	rm -rf .venv build dist data runs .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(READY): pyproject.toml
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else \
	  "crosswire needs Python 3.11 to 3.14; $(PYTHON) is %d.%d: make PYTHON=python3.12 ..." % v)'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable . --group dev
	@touch $@
