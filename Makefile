# A fresh machine needs Python 3.11 or newer and make. Everything else goes into .venv, pinned
# with hashes. Each set of requirements has a stamp, so that a second run starts at once.

VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
UV_INSTALL := $(UV) pip install --python $(BIN)/python
ARGS ?=

# The first of these that is new enough; PYTHON=/path/to/python takes another one.
PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && break; done)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test check format chaos soak bench swap-test quality drift env requirements clean distclean

help: ## List the targets
	@echo "Usage: make TARGET [ARGS='...'] [PYTHON=python3.11]"
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: $(VENV)/.demo ## Start Kafka, train on real clicks, replay the rest live and watch
	$(BIN)/streamrec demo $(ARGS)

test: $(VENV)/.dev ## Run every test, the ones on a real Kafka included
	STREAMREC_REQUIRE_KAFKA=1 $(BIN)/pytest $(ARGS)

# bandit looks at code as code of a server; tests may do what they like. The audit lets pass, and says
# so, where its database cannot be reached. Types and layers are checked on a built copy: only there do agents/ and models/ lie where they
# are imported from. setuptools would carry deleted modules over from an old build/lib.
check: $(VENV)/.dev ## Check format, lint, security, types and layers
	@! grep -rnIE --exclude-dir=.git --exclude-dir=$(VENV) --exclude-dir=build '^(<<<<<<<|>>>>>>>) ' . || \
		{ echo "error: a merge was not finished there" >&2; exit 1; }
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/bandit --quiet --recursive agents models streamrec benchmarks examples .ci
	$(BIN)/python .ci/audit.py requirements/dev.txt requirements/tools.txt
	rm -rf build/lib build/bdist.* build/tree
	$(UV_INSTALL) --quiet --no-deps --no-build-isolation --target build/tree .
	cd build/tree && ../../$(BIN)/mypy --config-file ../../pyproject.toml --cache-dir ../mypy -p streamrec
	cd build/tree && ../../$(BIN)/lint-imports --config ../../pyproject.toml

format: $(VENV)/.dev ## Format the code and mend what lint can mend
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

chaos: $(VENV)/.dev ## Bring every fault on the real system and compare with the oracle (an hour)
	STREAMREC_REQUIRE_KAFKA=1 $(BIN)/pytest -m "not soak" --report tests/chaos $(ARGS)

soak: $(VENV)/.dev ## Half an hour under load: memory, open files and state have to stay level
	STREAMREC_REQUIRE_KAFKA=1 $(BIN)/pytest -s -m soak tests/chaos $(ARGS)

bench: $(VENV)/.dev ## Measure throughput and freshness beside limits and peers
	$(BIN)/python -m benchmarks $(ARGS)

swap-test: $(VENV)/.dev ## Swap model versions under full load, and two hundred more with an eye on memory
	$(BIN)/python -m benchmarks.swaps $(ARGS)

quality: $(VENV)/.dev ## Train every model on real data, beside published figures and other libraries
	$(BIN)/python -m benchmarks.quality $(ARGS)

drift: $(VENV)/.dev ## Swap the catalogue live: retraining has to bring the hit rate back (ten minutes)
	$(BIN)/python -m benchmarks.drift $(ARGS)

env: $(VENV)/.dev ## Set up .venv with everything for development

requirements: $(VENV)/.tools ## Pin the dependencies anew, with hashes
	@compile() { $(UV) pip compile --quiet --upgrade --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command "make requirements" "$$@"; }; set -e; \
	compile pyproject.toml --all-extras --output-file requirements/dev.txt; \
	compile pyproject.toml -c requirements/dev.txt --output-file requirements/serving.txt; \
	compile pyproject.toml -c requirements/dev.txt --extra train --extra history --extra s3 --extra loadtest \
		--output-file requirements/train.txt; \
	compile pyproject.toml -c requirements/dev.txt --extra train --extra local --output-file requirements/demo.txt; \
	compile requirements/tools.in -c requirements/dev.txt --output-file requirements/tools.txt; \
	compile requirements/peers.in -c requirements/dev.txt --output-file requirements/peers.txt

clean: ## Remove what was built; .venv and downloads stay
	rm -rf build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache .hypothesis .import_linter_cache
	find agents benchmarks models streamrec tests -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean ## Remove .venv as well
	rm -rf $(VENV)

$(VENV)/.tools: requirements/tools.txt
	@test -n "$(PYTHON)" || { echo "error: no Python 3.11 or newer found; install one, or name it:" \
		"make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { echo "error: $(PYTHON)" \
		"is no Python 3.11 or newer; name one: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { echo "error: $(PYTHON) cannot make virtual" \
		"environments; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r $<
	@touch $@

# The full set holds the demo's, so that a demo after the tests installs nothing.
$(VENV)/.dev: $(VENV)/.tools requirements/dev.txt pyproject.toml
	$(UV) pip sync --quiet --python $(BIN)/python --require-hashes requirements/tools.txt requirements/dev.txt
	$(UV_INSTALL) --quiet --no-deps --no-build-isolation --editable .
	@touch $@ $(VENV)/.demo

$(VENV)/.demo: $(VENV)/.tools requirements/demo.txt pyproject.toml
	$(UV_INSTALL) --quiet --require-hashes -r requirements/demo.txt
	$(UV_INSTALL) --quiet --no-deps --no-build-isolation --editable .
	@touch $@
