# Everything a person or a CI needs: `make help`. Only Python 3.11+ is asked for; the rest goes into .venv.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Where `make demo` puts its runs.
OUT ?= runs
# Two workers halve the suite; tests that start Ray share one worker (xdist_group).
PYTEST := $(BIN)/python -m pytest -n 2 --dist loadgroup

.DEFAULT_GOAL := help
.PHONY: help install demo test test-slow test-faults bench bench-quick bench-scale bench-cliff bench-detectors bench-monitor calibration notebooks docs lint format clean

help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(VENV)/.installed  ## make .venv with the locked versions

demo: $(VENV)/.ready  ## a small study from start to end on an embedded data set (minutes, no download)
	$(BIN)/study run cifar10-acts --profile demo --out $(OUT)

test: lint  ## lint, types and the test suite
	$(PYTEST)

test-slow: install  ## the tests that take minutes each
	$(PYTEST) -m slow

bench: install  ## how fast studies run, beside what users would pick instead (an hour; CIFAR-10)
	$(BIN)/python -m tests.benchmarks.speed --out $(OUT)/speed

bench-quick: install  ## the same rows, smaller (under five minutes)
	$(BIN)/python -m tests.benchmarks.speed --quick --out $(OUT)/speed

bench-scale: install  ## how large a study may grow: trials, arms, workers at once, runs in MLflow (half an hour)
	$(BIN)/python -m tests.benchmarks.scale --out $(OUT)/scale

bench-cliff: install  ## what samplers waste beyond a cliff, by what they are told of diverged trials
	$(BIN)/python -m tests.benchmarks.cliff

bench-detectors: install  ## blow-ups, deaths and healthy trainings: who catches them, how late, who cries wolf
	$(BIN)/python -m tests.benchmarks.detectors.compare

bench-monitor: install  ## what watching a training costs, as a share of its step time
	$(BIN)/python -m tests.benchmarks.monitor_overhead

calibration: install  ## how often verdicts and intervals are wrong, on simulated studies (minutes)
	$(BIN)/python -m tests.benchmarks.calibration

test-faults: install  ## every fault: kills, cuts, damage, hangs, a soak (an hour)
	$(PYTEST) tests/faults -m "faults or slow"

notebooks: install  ## execute the notebooks on the records under OUT, and keep what they show
	STUDY_HOME=$(abspath $(OUT)) $(BIN)/python notebooks/execute.py

docs: install  ## write the reference from the code, and build the pages into site/, strictly
	$(BIN)/python -m tests.docs.reference
	$(BIN)/python -m zensical build --strict --clean

lint: install  ## ruff and mypy alone
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: install  ## let ruff put the code in order
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove .venv and what the tools left; runs stay
	rm -rf $(VENV) build dist site .cache .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "$(PYTHON) is not Python 3.11 or newer; name one that is: make PYTHON=/path/to/python3.11" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# PyTorch comes first and alone: it is by far the largest part, and its build (CPU or CUDA) is the
# one that pip is configured for.
$(VENV)/.torch: constraints.txt | $(VENV)/.created
	@echo "installing into $(VENV), in some two minutes"
	$(BIN)/python -m pip install -q -c constraints.txt torch
	@touch $@

# What runs studies.
$(VENV)/.ready: pyproject.toml constraints.txt $(VENV)/.torch
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	@touch $@

# And what tests them, writes the pages and serves several people.
$(VENV)/.installed: pyproject.toml constraints.txt $(VENV)/.ready
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev,docs,service]'
	@touch $@
