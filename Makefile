# Two commands: `make demo` shows it, `make test` checks it. Both install what they need into .venv.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# The CPU build of torch, where the index offers one, is chosen by constraints.txt.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint types clean
.DEFAULT_GOAL := demo

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	$(PIP) --editable ".[test]"
	touch $@

demo: $(VENV)/.installed
	STYLUS_HOME=$(CURDIR)/.stylus $(BIN)/stylus demo

test: lint types
	$(BIN)/python -m pytest

lint: $(VENV)/.test-installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Types are checked on what users install: the wheel, unpacked, and not the checkout.
types: $(VENV)/.test-installed
	rm -rf .build build && mkdir -p .build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir .build .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .build/installed .build/*.whl
	cd .build && MYPYPATH=installed ../$(BIN)/mypy --config-file ../pyproject.toml -p stylus_gen

clean:
	rm -rf $(VENV) .build .stylus build *.egg-info
