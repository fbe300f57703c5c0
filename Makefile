# Every target sets up .venv by itself; the stamp makes that quick when nothing has changed.
VENV  := .venv
BIN   := $(VENV)/bin
STAMP := $(VENV)/.installed
# The first interpreter that is new enough; `make PYTHON=/path/to/python3.12 demo` overrides it.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
# More for pip, for example a CPU build of torch: PIP_ARGS="--extra-index-url https://download.pytorch.org/whl/cpu"
PIP_ARGS ?=
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test test-slow lint types reproduce clean distclean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Excise needs Python 3.11 or newer and found none; install it, or say: make PYTHON=/path/to/python3.12"; exit 2; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv $(VENV) || { echo "Python's venv module is missing; on Debian or Ubuntu: apt install python3-venv"; exit 2; }
	@echo "Installing Excise and what it needs into $(VENV) (once; a few minutes)"
	@$(BIN)/python -m pip install --quiet $(PIP_ARGS) -c constraints.txt -e '.[dev]'
	@touch $@

demo: $(STAMP)  ## erase a concept from the embedded model, attack the edit, write a report
	@$(BIN)/excise demo

# Four at most: each holds a few models. Not `auto`, which counts one core where two are its threads.
WORKERS ?= -n logical --maxprocesses 4 --dist worksteal
test: $(STAMP)  ## the fast tests
	@$(BIN)/python -m pytest -q $(WORKERS)

test-slow: $(STAMP)  ## the slow tests
	@$(BIN)/python -m pytest -q -m slow $(WORKERS)

lint: $(STAMP)  ## ruff: rules and format
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

types: $(STAMP)  ## mypy --strict
	@$(BIN)/mypy
	@cd benchmarks && MYPYPATH=../src ../$(BIN)/mypy --strict --follow-imports=silent *.py

# In the order in which they use what others have made. A step that ended is not begun again until
# all of them have; one that was stopped finds what it had measured.
MODELS := emoji emoji/without-cat emoji/without-truck
BENCHMARKS := by_eye experiments reproduce attacks suites sequential methods many closed_form finetune
DONE := build/reproduce
reproduce: $(STAMP)  ## make every figure of the README and the docs again (goes on after a stop)
	@mkdir -p $(DONE); set -e; \
	step() { \
		stamp="$(DONE)/$$(echo "$$*" | tr ' /' '--')"; \
		test ! -e "$$stamp" || return 0; \
		echo "== $$*"; $(BIN)/python "$$@"; touch "$$stamp"; \
	}; \
	for model in $(MODELS); do step -m excise.emoji.quality $$model; done; \
	for name in $(BENCHMARKS); do step benchmarks/$$name.py; done; \
	step -m excise demo; \
	step benchmarks/picture.py out/no-cat.safetensors; \
	rm -r $(DONE)

clean:  ## remove what builds and tests leave behind
	rm -rf build dist out .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true

distclean: clean  ## clean, and remove .venv
	rm -rf $(VENV)
