# Every target sets up what it needs. `make test ARGS="-k cli"` and `make demo ARGS="episodes=3"` pass arguments on.
VENV_PYTHON := .venv/bin/python
export OMP_NUM_THREADS ?= 2
WORKERS ?= 2

.DEFAULT_GOAL := help
.PHONY: help setup demo test check format tiny wheel docs clean

help: ## list the targets
	@sed -n 's/^\([a-z]*\): .*## /\1@/p' Makefile | awk -F@ '{printf "  make %-8s %s\n", $$1, $$2}'

setup: ## find or fetch Python 3.12 or 3.13 and install everything into .venv
	@scripts/setup.sh

demo: setup   ## watch the robot pick up the can: outputs/demo/index.html
	@$(VENV_PYTHON) -m worldmodel.cli demo $(ARGS)

test: setup   ## run the tests, file by file in WORKERS processes (2)
	@OMP_NUM_THREADS=1 $(VENV_PYTHON) -m pytest -n $(WORKERS) --dist loadfile $(ARGS)

check: setup   ## lint, formatting and types
	@$(VENV_PYTHON) -m ruff check .
	@$(VENV_PYTHON) -m ruff format --check --quiet . || { echo "not formatted: run make format"; exit 1; }
	@$(VENV_PYTHON) -m mypy

format: setup   ## let ruff fix and format the code
	@$(VENV_PYTHON) -m ruff check --fix --quiet . || true
	@$(VENV_PYTHON) -m ruff format --quiet .

tiny: setup   ## the whole path in miniature: collect, train two steps, resume, evaluate
	@scripts/tiny.sh

wheel: setup   ## build the wheel into dist/ and import it from elsewhere
	@scripts/wheel.sh

docs: setup   ## build the documentation into outputs/site (search needs a server: python -m http.server -d outputs/site)
	@NO_MKDOCS_2_WARNING=1 $(VENV_PYTHON) -m mkdocs build --strict --quiet
	@echo "outputs/site/index.html"

clean: ## remove builds and caches (keeps .venv, datasets and outputs: they cost time)
	@rm -rf dist .mypy_cache .ruff_cache .pytest_cache
	@find worldmodel tests plugins -name __pycache__ -type d -prune -exec rm -rf {} + 2>/dev/null || true
