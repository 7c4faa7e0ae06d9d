# `make run` and `make test` set up everything they need; both can be repeated.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
RUN_ID ?= HyperRL-PPO-HalfCheetah-v0
AGENT ?= epgt
SEED ?= 0
TOTAL_ENV_STEPS ?= 500000
THREADS ?= 1
OUT ?= runs/$(RUN_ID)-$(AGENT)-$(SEED)-$(shell date +%Y%m%d-%H%M%S)

.PHONY: run test lint docs notebooks benchmarks setup clean

setup: $(READY)

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	# The K-FAC implementation that tests compare with. One of its requirements, unused here, needs a CUDA build of torchvision.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --no-deps curvlinops-for-pytorch
	touch $(READY)

run: $(READY)
	$(BIN)/hyperrl train $(RUN_ID) --agent $(AGENT) --seed $(SEED) --total-env-steps $(TOTAL_ENV_STEPS) --threads $(THREADS) --out $(OUT)

test: $(READY)
	$(BIN)/python -m pytest --numprocesses 2

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# Builds the documentation site, in site/index.html.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

# Executes the notebooks at their default budget, from the .py beside each, and saves their output.
notebooks: $(READY)
	for text in notebooks/*.py; do $(BIN)/jupytext --to notebook --execute $$text || exit 1; done

# Takes about an hour, and writes the tables of benchmarks/README.md anew.
benchmarks: $(READY)
	$(BIN)/python -m benchmarks --write

clean:
	rm -rf $(VENV) site build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
