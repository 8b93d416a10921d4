# Every command stands on the environment that the first one sets up; the logic is in Python.
PYTHON ?= python3
PORT ?= 8080
export PYTHONSAFEPATH := 1
export PYTHONPATH := transformers:export:serving
RUN := .venv/bin/python

.PHONY: help setup setup-dev serve test check export train demo clean

help:  ## list the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, 3.12 or 3.13, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) serving/local_stack/environment.py

setup-dev:
	@command -v $(PYTHON) >/dev/null || { echo "$(PYTHON) not found: install Python 3.11, 3.12 or 3.13, or name one: make $(MAKECMDGOALS) PYTHON=/path/to/python3"; exit 1; }
	@$(PYTHON) serving/local_stack/environment.py --dev

serve: setup  ## set everything up and serve on 127.0.0.1 (PORT=8080, TRITON_PORT=8000, SERVICES=cars)
	@exec $(RUN) -m local_stack --die-with-parent --port $(PORT) $(if $(SERVICES),--services $(SERVICES)) $(ARGS)

test: setup-dev  ## set everything up and run all tests (ARGS="-k letterbox")
	@$(RUN) -m pytest $(ARGS)

check: setup-dev  ## format, lint and types
	@$(RUN) -m ruff format --check . && $(RUN) -m ruff check . && $(RUN) -m mypy

export: setup  ## weights to artefacts in model_repository/ (MODEL="yolov3_tiny mnist", ARGS="--cfg my.cfg ...")
	@$(RUN) -m exporters $(MODEL) $(ARGS)

train: setup  ## train a model: MODEL=mnist|anomaly|cars, DATA=, COLUMN=, EPOCHS=, SEED=, ARGS="--resume"
	@$(RUN) -m exporters.training $(MODEL) $(if $(DATA),--data $(DATA)) $(if $(COLUMN),--column $(COLUMN)) \
	  $(if $(EPOCHS),--epochs $(EPOCHS)) $(if $(SEED),--seed $(SEED)) $(ARGS)

demo: setup  ## send the sample photos to a running stack, draw what came back into build/demo/
	@$(RUN) -m local_stack.demo --url http://127.0.0.1:$(PORT)

clean:  ## remove what was built, not the environment
	@rm -rf build model_repository/*/[0-9]*
