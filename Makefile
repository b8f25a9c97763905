# mpmjax: everything a newcomer or a developer runs. Needs only make and Python 3.11 or newer; the rest is installed
# into $(VENV) when a target first needs it, and again when pyproject.toml changes.

VENV ?= .venv
PYTHON ?=
DEMO_DIR ?= demo-output
WORKERS ?= 2
TORCH_INDEX ?= https://download.pytorch.org/whl/cpu
ARGS ?=
RESULTS ?= benchmarks/results/cpu.jsonl
PAGE ?= $(RESULTS:.jsonl=.html)
BASE ?=

BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-slow test-faults test-gpu sanitize kernels check fix bench bench-page bench-diff bench-gpu wheel clean

help: ## show this list
	@echo "usage: make TARGET [VENV=dir] [PYTHON=python3.12] [ARGS='...']"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))

demo: $(VENV)/.installed-core ## screen a made-up district; maps, targets and report land in demo-output/
	$(BIN)/mpmjax demo --output "$(DEMO_DIR)"

test: $(VENV)/.installed-dev ## the quick tests (ARGS go to pytest)
	$(PYTEST) -n $(WORKERS) $(ARGS)

test-slow: $(VENV)/.installed-dev ## the tests that take minutes: real districts, large rasters
	$(PYTEST) -n $(WORKERS) -m slow $(ARGS)

test-faults: $(VENV)/.installed-dev ## the tests that kill processes and fill disks
	$(PYTEST) -m faults $(ARGS)

test-gpu: $(VENV)/.installed-dev ## the tests that need an NVIDIA GPU (pip install -e '.[cuda12]' or '.[cuda13]' first)
	$(PYTEST) -m gpu -rs $(ARGS)

sanitize: $(VENV)/.installed-dev ## the kernels' tests under compute-sanitizer: memcheck, racecheck, initcheck, synccheck
	@command -v compute-sanitizer >/dev/null || { echo "compute-sanitizer is not on PATH: it comes with the CUDA" \
		"toolkit, often in /usr/local/cuda/bin" >&2; exit 1; }
	@set -e; for tool in memcheck racecheck initcheck synccheck; do for kernels in membership lstm_score; do \
		echo "compute-sanitizer --tool $$tool: $$kernels"; \
		MPMJAX_SANITIZE=1 compute-sanitizer --tool $$tool --kernel-name kns=$${kernels}_ --report-api-errors no \
			--error-exitcode 9 $(PYTEST) -m gpu -rs -k "$$kernels and not larger_than_the_grid" $(ARGS); \
	done; done

kernels: $(VENV)/.installed-core ## compile every CUDA kernel for sm_80, 86, 89 and 90 and hold registers, spills and stack to their budgets
	$(BIN)/python -m mpmjax.kernels.gate $(ARGS)

check: $(VENV)/.installed-dev ## lint, format, types, structure; changes nothing
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(PYTEST) -q tests/test_architecture.py

fix: $(VENV)/.installed-dev ## let ruff mend and format what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-bench ## gate, time and report the hot loops (ARGS go to mpmjax.benchmarks.run)
	$(BIN)/python -m mpmjax.benchmarks.run $(ARGS)

bench-page: $(VENV)/.installed-core ## the newest result of each row as one HTML page: RESULTS=lines.jsonl PAGE=page.html
	$(BIN)/python -m mpmjax.benchmarks.page "$(RESULTS)" "$(PAGE)" $(ARGS)

bench-diff: $(VENV)/.installed-bench ## time the files as they are and BASE=commit in turns (ARGS as --case NAME, --size SIDE)
	@test -n "$(BASE)" || { echo "which commit? make bench-diff BASE=main" >&2; exit 2; }
	$(BIN)/python -m mpmjax.benchmarks.diff "$(BASE)" $(ARGS)

bench-gpu: $(VENV)/.installed-bench-gpu ## gate, time and report the CUDA forms
	$(BIN)/python -m mpmjax.benchmarks.run --backend cuda $(ARGS)

wheel: $(VENV)/.installed-dev ## build dist/mpmjax-*.whl
	$(BIN)/python -m build --wheel

clean: ## remove build products, caches and demo-output/; the environment stays
	rm -rf build dist src/*.egg-info demo-output .pytest_cache .ruff_cache .hypothesis
	find src kernels examples benchmarks tests -depth -name __pycache__ -exec rm -rf {} +

# The first Python that is new enough and can make an environment, unless PYTHON names one.
$(BIN)/python:
	@for python in $(if $(PYTHON),"$(PYTHON)",python3 python3.13 python3.12 python3.11 python); do \
		if "$$python" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
			echo "making $(VENV) with $$("$$python" -c 'import sys; print(sys.executable)')"; \
			exec "$$python" -m venv "$(VENV)"; \
		fi; \
	done; \
	echo "mpmjax needs Python 3.11 or newer with its venv module$(if $(PYTHON),: PYTHON=$(PYTHON) is not that)." >&2; \
	echo "Install one (on Debian and Ubuntu: apt install python3 python3-venv), or say where it is:" >&2; \
	echo "    make PYTHON=/path/to/python3.12 $(MAKECMDGOALS)" >&2; \
	exit 1

$(VENV)/.installed-core: pyproject.toml | $(BIN)/python
	@echo "installing mpmjax into $(VENV): about a minute, 1.2 GB"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch "$@"

# torch for CPUs from its own index, or, where that is not reached, PyPI's with the extra: the same, and CUDA besides.
$(VENV)/.installed-bench: pyproject.toml | $(BIN)/python
	@echo "installing mpmjax and the rivals of its benchmarks into $(VENV): some minutes, 2.2 GB"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --index-url "$(TORCH_INDEX)" torch \
		|| echo "$(TORCH_INDEX) has no torch for this machine: taking PyPI's" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@touch "$@"

# On a card torch has to have CUDA: PyPI's.
$(VENV)/.installed-bench-gpu: pyproject.toml | $(BIN)/python
	@echo "installing mpmjax and the rivals of its benchmarks into $(VENV), torch with CUDA among them: several GB"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[bench]"
	@touch "$@"

$(VENV)/.installed-%: pyproject.toml | $(BIN)/python
	@echo "installing mpmjax with its '$*' extra into $(VENV): about a minute, 1.2 GB"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable ".[$*]"
	@touch "$@"
