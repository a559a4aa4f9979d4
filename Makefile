# Everything a person needs; each target sets up what it needs by itself.
PYTHON ?= python3
VENV := .venv
ST_VENV := .venv-sentence-transformers
LG_VENV := .venv-langgraph
AG_VENV := .venv-autogen
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest -q

.PHONY: help demo test lint types cypher-linter pytest words-only neo4j neo4j-stop test-neo4j sentence-transformers bench format clean

help:  ## show this
	@grep -E '^[a-z0-9-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-24s %s\n", $$1, $$2}'

demo: $(VENV)/ready  ## a real team plays ScienceWorld without and with memory (a few minutes)
	$(BIN)/gmem demo

test: lint types cypher-linter pytest words-only test-langgraph test-autogen test-neo4j sentence-transformers  ## run every check

lint: $(VENV)/ready  ## style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready  ## static types
	$(BIN)/mypy

cypher-linter:  ## fetch Neo4j's own linter, if npm is there; without it one test is skipped, but fails in CI
	@if command -v npm >/dev/null; then cd tests/cypher && npm install --silent --no-audit --no-fund --no-package-lock; \
	else echo "npm is not there, so Cypher is not linted"; fi

pytest: $(VENV)/ready  ## the test suite
	$(PYTEST) -m "not neo4j"

words-only: $(VENV)/ready  ## the engine's tests again, as if no embedding model were installed
	GMEM_TEST_WORDS_ONLY=1 $(PYTEST) -m "not slow and not demo" \
	  tests/test_record.py tests/test_recall.py tests/test_learn.py \
	  tests/test_embed.py tests/test_embed_chosen.py tests/test_embed_static.py \
	  tests/test_importers.py tests/test_importer_formats.py tests/test_export.py tests/test_cli.py \
	  tests/test_cli_keeping.py tests/test_docs.py

NEO4J_VERSION ?= 5.26.30
NEO4J_VERSIONS := 5.26.30 2026.08.1
NEO4J := $(BIN)/python -m gmem.testing.neo4j_server

neo4j: $(VENV)/ready  ## fetch and start a Neo4j server of one's own (NEO4J_VERSION=2026.08.1 for the other one)
	$(NEO4J) start --version $(NEO4J_VERSION)

neo4j-stop: $(VENV)/ready  ## stop it
	$(NEO4J) stop

test-neo4j: $(VENV)/ready  ## the Neo4j store on a real server of each version (GMEM_TEST_RESTARTS=20: killed in mid-write, too)
ifeq ($(GMEM_NEO4J_URI),)
	@for version in $(NEO4J_VERSIONS); do \
	  $(NEO4J) stop --name test; \
	  if ! $(NEO4J) start --name test --version $$version; then \
	    [ -z "$$CI" ] || exit 1; \
	    echo "Neo4j $$version is not tested here: no server could be started (see above)"; continue; \
	  fi; \
	  $(PYTEST) -m neo4j; code=$$?; \
	  $(NEO4J) stop --name test; [ $$code = 0 ] || exit $$code; \
	done
else
	$(PYTEST) -m neo4j
endif

# The frameworks want versions that do not fit together, so each has an environment of its own.
test-langgraph: $(LG_VENV)/ready  ## the LangGraph adapter
	GMEM_TEST_LANGGRAPH=1 $(LG_VENV)/bin/python -m pytest -q tests/extras/langgraph

test-autogen: $(AG_VENV)/ready  ## the AutoGen adapter, and its types
	$(AG_VENV)/bin/python -m mypy -p gmem.adapters.autogen
	GMEM_TEST_AUTOGEN=1 $(AG_VENV)/bin/python -m pytest -q tests/extras/autogen tests/test_demo_frameworks.py

# 6 GB, most of it the CUDA libraries that torch brings: built in CI, elsewhere when asked for.
sentence-transformers:  ## the tests with real MiniLM weights (only if CI or GMEM_TEST_ALL is set)
ifeq ($(CI)$(GMEM_TEST_ALL),)
	@echo "sentence-transformers is not tested here: it needs 6 GB; run 'make sentence-transformers GMEM_TEST_ALL=1'"
else
	$(MAKE) $(ST_VENV)/ready
	HF_HUB_OFFLINE=1 $(ST_VENV)/bin/python -m pytest -q tests/extras/test_sentence_transformers.py
endif

# DATA=folder with real traces, TOPICS="blame growth" for some of them, QUICK=1 for smaller sizes; see docs/bench.md
bench: $(VENV)/ready  ## the figures of the README, measured here (minutes; with DATA=folder those of real traces, too)
	-$(NEO4J) start --name test --version $(NEO4J_VERSION)
	$(BIN)/python -m tests.bench $(TOPICS) --out bench-output $(if $(DATA),--data "$(DATA)") $(if $(QUICK),--quick); code=$$?; $(NEO4J) stop --name test; exit $$code

format: $(VENV)/ready  ## put the code in shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:  ## remove what the other targets made
	rm -rf $(VENV) $(ST_VENV) $(LG_VENV) $(AG_VENV) .neo4j tests/cypher/node_modules build dist *.egg-info demo-output bench-output .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q --upgrade pip
	$(BIN)/python -m pip install -q -e '.[static,demo,notebooks]' --group dev
	@touch $@

$(ST_VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(ST_VENV)
	$(ST_VENV)/bin/python -m pip install -q --upgrade pip
	$(ST_VENV)/bin/python -m pip install -q -e '.[static,sentence-transformers]' --group sentence-transformers
	@touch $@

$(LG_VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(LG_VENV)
	$(LG_VENV)/bin/python -m pip install -q --upgrade pip
	$(LG_VENV)/bin/python -m pip install -q -e '.[langgraph]' --group langgraph
	@touch $@

$(AG_VENV)/ready: pyproject.toml
	$(PYTHON) -m venv $(AG_VENV)
	$(AG_VENV)/bin/python -m pip install -q --upgrade pip
	$(AG_VENV)/bin/python -m pip install -q -e '.[autogen]' --group autogen
	@touch $@
