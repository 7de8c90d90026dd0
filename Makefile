# `make quickstart` and `make test` set up everything they need in .venv; see the README.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
RUN := quickstart

# Compiled programs are kept, so that a second run starts at once. No accelerator is needed for any of this.
export JAX_COMPILATION_CACHE_DIR ?= $(CURDIR)/.jax_cache
export JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS ?= 0.5

# `make test-newest NEWEST=python3.13`: the newest Python, with the newest versions that requirements.txt allows.
NEWEST ?= python3
NEWEST_BIN := .venv-newest/bin
FEW := tests/losses/test_golden.py tests/losses/test_triplet.py tests/models/test_adamine.py tests/models/test_recipe.py \
  tests/test_trajectory.py tests/test_contributing.py tests/queries/test_encoder.py tests/test_nonfinite.py

.PHONY: help quickstart setup setup-dev test test-all test-newest docs dist lint format clean

help:
	@echo "make quickstart   set up, generate a small synthetic data set, train, evaluate and draw figures (a few minutes on a CPU)"
	@echo "make test         set up, then run the tests"
	@echo "make test-all     the slow tests too"
	@echo "make docs         the documentation as a site, in site/"
	@echo "make dist         wheel and source distribution, in dist/"
	@echo "make test-newest  some tests with another Python: make test-newest NEWEST=python3.13"
	@echo "make lint         ruff, import rules, types;  make format  lets ruff rewrite;  make clean  removes what these made"

$(VENV)/.installed: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --upgrade pip
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements.txt --editable .
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

setup: $(VENV)/.installed
setup-dev: $(VENV)/.installed-dev

# Run again, it goes on where it was interrupted: each command leaves its result whole or not at all.
$(RUN)/download: | setup
	$(BIN)/python -m data_builders.kitchen --out $(RUN)/download --recipes 4200 --seed 1 --splits 0.83,0.05,0.12

quickstart: setup $(RUN)/download
	$(BIN)/python -m data_builders.recipe1m --source $(RUN)/download --out $(RUN)/data --word-dim 64
	$(BIN)/python -m adamine_jax.main --config configs/quickstart.py --workdir $(RUN)/run --config.data.dir=$(RUN)/data
	@echo
	@echo "Look at $(RUN)/run/figures/: curves.png, top5_recipe_to_photo.png, top5_photo_to_recipe.png"
	@echo "Next:"
	@echo "  . $(VENV)/bin/activate"
	@echo "  python -m data_builders.kitchen --out $(RUN)/download --contact-sheet $(RUN)/sheet.png   # what the dishes look like"
	@echo "  python -m adamine_jax.evaluate --workdir $(RUN)/run --split val                          # scores of another split"
	@echo "  pip install '.[serve]' && python -m adamine_jax.serve --workdir $(RUN)/run                # search on a page: http://127.0.0.1:8000"
	@echo "  python -m adamine_jax.figures --workdir $(RUN)/run --queries 6 --seed 3                  # other queries"
	@echo "  the README: the same with Recipe1M, or with recipes of your own"

test: lint
	$(BIN)/python -m pytest -n auto --dist loadscope

test-all: setup-dev
	$(BIN)/python -m pytest -n auto --dist loadscope -m '' --group-durations

test-newest:
	$(NEWEST) -m venv .venv-newest
	$(NEWEST_BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --upgrade pip
	$(NEWEST_BIN)/python -m pip install --quiet --quiet --disable-pip-version-check --requirement requirements.txt --editable '.[dev]'
	$(NEWEST_BIN)/python -m pytest -n auto --dist loadscope $(FEW)

docs: setup-dev
	JAX_PLATFORMS=cpu NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo "open site/index.html, or run $(BIN)/python -m http.server --directory site"

dist: setup-dev
	rm -rf dist build
	$(BIN)/python -m build --outdir dist .

lint: setup-dev
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/pyrefly check

format: setup-dev
	$(BIN)/python -m ruff check --fix .
	$(BIN)/python -m ruff format .

clean:
	rm -rf $(RUN) site dist build .venv-newest .jax_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
