# `make report`: environment and the main job. `make test`: environment and the tests. `make lint`: what CI refuses.
PYTHON ?= python3
VENV   ?= .venv
CORES  ?= all
BIN     = $(VENV)/bin

# Where it is set (in images of containers, for one), each of a hundred processes would compile every module again.
unexport PYTHONDONTWRITEBYTECODE

# Set-up. With torch and compressai, which the learned codecs need: 6 GB. LEARNED= leaves them out, and the learned codecs
# are rows that say so. TORCH=cpu takes torch from its own index of builds without CUDA, 0.2 GB instead of 4.
LEARNED ?= [learned]
TORCH   ?=
TORCH_INDEX = https://download.pytorch.org/whl/$(TORCH)

# uv installs everything where it is installed (UV= has pip do it). It takes requirements.lock as constraints and checks
# its hashes. pip does not while the project itself is editable, so there the packages come first, and the project alone.
UV ?= $(shell command -v uv)
PIP = $(if $(UV),$(UV) pip install --quiet --python $(BIN)/python,$(BIN)/python -m pip install --quiet --disable-pip-version-check)

# $(call install,EXTRAS): the project, editable, and what it and these extras need.
empty :=
space := $(empty) $(empty)
comma := ,
extras = $(subst $(space),$(comma),$(strip $(patsubst [%],%,$(LEARNED)) $(1)))
LOCKED  = $(VENV)/locked.txt
define install
$(if $(and $(TORCH),$(LEARNED)),grep -E '^torch(vision)?==' requirements.lock | tr -d '\\' > $(LOCKED))
$(if $(and $(TORCH),$(LEARNED)),$(PIP) --no-deps --index-url $(TORCH_INDEX) -r $(LOCKED))
$(if $(UV),$(PIP) -c requirements.lock -e '.$(if $(extras),[$(extras)])')
$(if $(UV),,$(BIN)/python .ci/locked.py '$(extras)' $(if $(TORCH),--without-cuda) > $(LOCKED))
$(if $(UV),,$(PIP) --no-deps --require-hashes -r $(LOCKED))
$(if $(UV),,$(PIP) --no-deps -e .)
touch $@
endef

.PHONY: environment report gate test test-all bench lint format lock clean

environment: $(VENV)/.report

report: $(VENV)/.report
	$(BIN)/snakemake --cores $(CORES)

# Codes small crops with every codec and holds them against results/baselines/gate.csv; docs/gate.md. SET=synthetic takes
# images made by code.
SET ?= gate
gate: $(VENV)/.report
	$(BIN)/snakemake --cores $(CORES) --configfile config/$(SET).yaml -- results/$(SET)/records.parquet
	$(BIN)/rdbench gate --folder results/$(SET) $(GATE)

# A process for each core, four at most: each may hold torch and a network. `test` leaves out what is marked slow, and says
# how much that is; `test-all` leaves out nothing.
PYTEST = $(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadgroup

test: $(VENV)/.test
	$(PYTEST) -m 'not slow'

test-all: $(VENV)/.test
	$(PYTEST)

bench: $(VENV)/.test
	$(BIN)/python -m pytest benchmarks --benchmark-only -o addopts= $(BENCH)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/snakemake --lint

format: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	$(BIN)/snakefmt Snakefile rules

$(VENV)/.report: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("rdbench needs Python 3.11 or newer; this is " + sys.version + ". Name one: make PYTHON=python3.12")'
	$(if $(filter-out cpu,$(TORCH)),$(error TORCH=$(TORCH): expected cpu, or nothing for the build of the package index))
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(call install)

$(VENV)/.test: $(VENV)/.report
	$(call install,test docs)

# Takes into requirements.lock what pyproject.toml has changed; what is pinned stays. Of every package the newest:
# make lock UPGRADE=--upgrade
lock:
	$(UV) pip compile pyproject.toml --all-extras --universal --python-version 3.11 --generate-hashes \
		--no-emit-index-url --custom-compile-command 'make lock' --quiet $(UPGRADE) --output-file requirements.lock

clean:
	rm -rf results/*/report .snakemake
