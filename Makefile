# Every target installs what it needs into .venv, so `make demo` works in a fresh clone.
BIN := .venv/bin
STAMP := .venv/.installed
DOCS_STAMP := .venv/.installed-docs

.PHONY: demo test lint bench docs clean

$(STAMP): pyproject.toml constraints.txt
	python3 -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
	touch $@

$(DOCS_STAMP): $(STAMP)
	$(BIN)/python -m pip install -c constraints.txt -e '.[docs]'
	touch $@

demo: $(STAMP)
	$(BIN)/python -m skmeta demo

# Two workers with one torch thread each: more threads make small matrices slower.
test: $(STAMP)
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python docs/docstrings.py

bench: $(STAMP)
	set -e; for script in $(wildcard benchmarks/*.py); do \
	  OMP_NUM_THREADS=1 $(BIN)/python $$script; done

# Warnings are errors. An example runs again only when its own file has changed: to see what
# another change does to the gallery, remove docs/auto_examples.
docs: $(DOCS_STAMP)
	rm -rf docs/generated
	OMP_NUM_THREADS=1 $(BIN)/python -m sphinx -W --keep-going -b html docs docs/_build/html

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis demo-output build dist
	rm -rf docs/_build docs/auto_examples docs/generated docs/sg_execution_times.rst
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
