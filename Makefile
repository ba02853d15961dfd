# nca: `make` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TOOLS  := $(VENV)/.tools

PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.DEFAULT_GOAL := help
.PHONY: help demo test quality style bench docs pictures clean

help:  ## List the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 12

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable .
	@touch $@

$(TOOLS): $(READY)
	$(PIP) --editable '.[test,quality]'
	@touch $@

demo: $(READY)  ## Set up, then run everything on the demo model (offline, a minute or two)
	HF_HUB_OFFLINE=1 $(BIN)/nca demo --out nca-demo

test: $(TOOLS)  ## Set up, then run the tests
	$(BIN)/python -m pytest

quality: $(TOOLS)  ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy nca_cli

style: $(TOOLS)  ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TOOLS)  ## Measure speed, crash safety and agreement with the closed forms (minutes)
	$(BIN)/python -m bench

docs: $(TOOLS)  ## Write the command reference anew, from the program
	$(BIN)/python docs/make_commands.py

pictures: $(TOOLS)  ## Make the pictures of the README and docs anew (minutes the first time)
	HF_HUB_OFFLINE=1 $(BIN)/python docs/make_pictures.py

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache build ./*.egg-info
