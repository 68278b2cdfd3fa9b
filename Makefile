# `make demo` shows it, `make test` checks it. Both install what they need into .venv.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
# The CPU build of torch, where the index offers one, is chosen by constraints.txt.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: help demo test lint types wheel clean
.DEFAULT_GOAL := demo

help: ## list the targets
	@sed -n 's/^\([a-z]*\):.*## /  make \1	/p' $(MAKEFILE_LIST)

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) torch
	$(PIP) --editable .
	touch $@

$(VENV)/.test-installed: $(VENV)/.installed
	$(PIP) --editable ".[test]"
	touch $@

demo: $(VENV)/.installed ## plan and draw five prompts on the small world
	STYLUS_HOME=$(CURDIR)/.stylus $(BIN)/stylus demo

test: lint types ## everything that is checked before a change
	$(BIN)/python -m pytest

lint: $(VENV)/.test-installed ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

# Types are checked on what users install: the wheel, unpacked, and not the checkout.
types: $(VENV)/.test-installed ## types, on the built wheel
	rm -rf .build build && mkdir -p .build
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir .build .
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --target .build/installed .build/*.whl
	cd .build && MYPYPATH=installed ../$(BIN)/mypy --config-file ../pyproject.toml -p stylus_gen

wheel: | $(BIN)/python ## build dist/stylus_gen-VERSION-py3-none-any.whl
	rm -rf build dist
	$(BIN)/python -m pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir dist .

clean: ## remove what was built and the demo's database
	rm -rf $(VENV) .build .stylus build dist *.egg-info
