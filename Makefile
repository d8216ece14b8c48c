# Two commands on a fresh machine: `make demo` and `make test`. Each installs what it needs.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: demo test lint types docs pages check slow clean
.DEFAULT_GOAL := demo

$(VENV)/run.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) -e .
	touch $@

$(VENV)/dev.stamp: $(VENV)/run.stamp
	$(PIP_INSTALL) -e '.[dev]'
	touch $@

demo: $(VENV)/run.stamp  ## the whole way on the graded world; ends with a report
	$(BIN)/gradatim demo --out out/demo

test: $(VENV)/dev.stamp  ## the default tests
	$(BIN)/pytest -n auto

slow: $(VENV)/dev.stamp  ## the tests that take minutes
	$(BIN)/pytest -m slow

lint: $(VENV)/dev.stamp
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/dev.stamp
	$(BIN)/mypy

docs: $(VENV)/dev.stamp
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

pages: $(VENV)/dev.stamp  ## the pages of docs/ that are made from the code
	$(BIN)/typer gradatim.cli utils docs --name gradatim --title "Command line" --output docs/cli.md
	$(BIN)/python tools/configuration.py
	$(BIN)/python tools/api.py

check: lint types docs test  ## what continuous integration runs

clean:
	rm -rf $(VENV) site build out .pytest_cache .mypy_cache .ruff_cache .hypothesis
