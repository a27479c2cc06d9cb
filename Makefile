# Every target installs what it needs into .venv, so `make demo` works in a fresh clone.
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: demo test lint bench clean

$(STAMP): pyproject.toml constraints.txt
	python3 -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[dev]'
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

bench: $(STAMP)
	set -e; for script in $(wildcard benchmarks/*.py); do \
	  OMP_NUM_THREADS=1 $(BIN)/python $$script; done

clean:
	rm -rf .venv .mypy_cache .pytest_cache .ruff_cache .hypothesis docs/_build demo-output build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
