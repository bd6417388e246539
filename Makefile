# The one list of commands; .ci/run uses the same.
PYTHON ?= python

.PHONY: install lint types test bench check

install:  ## Mai and everything its tests need, from this checkout
	$(PYTHON) -m pip install -e '.[dev]'

lint:
	$(PYTHON) -m ruff check .
	$(PYTHON) -m ruff format --check .
	$(dir $(shell $(PYTHON) -c 'import sys; print(sys.executable)'))lint-imports

types:
	$(PYTHON) -m mypy

test:
	$(PYTHON) -m pytest -n 2

check: lint types test  ## what CI runs

bench:  ## microseconds a decision, start-up, and the engine through Mai beside the bare engine
	$(PYTHON) -m mai_core.bench.decisions
	$(PYTHON) -m mai_core.bench.startup
	$(PYTHON) -m mai_backends.embedded.bench
