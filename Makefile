# The commands of this repository; `make` alone lists them.

PYTHON ?= python3
RUNS ?= runs
JOBS ?= 2
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet
# Tests work on tiny models in several processes: threads that spin while they wait would take the cores from the others.
QUIET_THREADS := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive

.DEFAULT_GOAL := help
.PHONY: help demo demo-support test check proof bench bench-speed bench-peers bench-servers clean

help:  ## list these commands
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/make \1|\2/p' Makefile | while IFS='|' read -r name what; do printf '%-20s %s\n' "$$name" "$$what"; done

demo: .venv/.made  ## tune a classifier of product reviews; RUNS=DIR says where the run goes
	@$(BIN)/tuneproof tune demo:reviews --runs "$(RUNS)"

demo-support: .venv/.made  ## tune a chat model on support dialogues
	@$(BIN)/tuneproof tune demo:support --runs "$(RUNS)"

test: .venv/.made  ## run the tests; JOBS=N processes
	@$(QUIET_THREADS) $(BIN)/python -m pytest -q -n $(JOBS) --dist loadfile

check: .venv/.made  ## lint, format, types, direction of imports
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

proof: .venv/.made  ## run the long proofs
	@$(BIN)/python -m pytest -q -m proof

bench: .venv/.made  ## run the benchmarks, one after the other
	@set -e; for script in benchmarks/*.py; do echo "== $$script"; $(BIN)/python "$$script"; done

bench-speed: .venv/.made  ## run the benchmarks of speed; DATA=DIR holds gsm8k and banking77
	@set -e; for one in ablation prefixes frozen growth; do echo "== $$one"; $(BIN)/python benchmarks/speed/$$one.py $(if $(DATA),--data "$(DATA)"); done

bench-peers: .venv/.made .venv-peers/.made  ## the same updates beside trl and transformers' Trainer; DATA=DIR as above
	@$(BIN)/python benchmarks/speed/peers.py $(if $(DATA),--data "$(DATA)")

bench-servers: .venv/.made  ## LitServe and transformers' server beside ours; RUN=a classifier's run, CHAT=a chat model's
	@$(BIN)/python benchmarks/serving_peers.py $(RUN) $(if $(CHAT),--chat $(CHAT))

clean:  ## remove the environment and what the tools cached; runs stay
	@rm -rf .venv .venv-peers .venv-servers .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis build dist
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment, made once, and anew when what it is made from changes.
.venv/.made: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed, and this is %d.%d. Name another: make PYTHON=python3.12" % sys.version_info[:2])'
	@echo "Making .venv from constraints.txt. PyTorch is large: this takes one to five minutes."
	@$(PYTHON) -m venv .venv
	@$(PIP) -c constraints.txt pip setuptools
	@$(PIP) -c constraints.txt --build-constraint constraints.txt --editable . --group dev
	@touch $@

# The peers in an environment of their own: what they need is nothing that tuneproof needs.
.venv-peers/.made: benchmarks/speed/peers.txt
	@$(PYTHON) -m venv .venv-peers
	@.venv-peers/bin/python -m pip --disable-pip-version-check install --quiet -r benchmarks/speed/peers.txt
	@touch $@
