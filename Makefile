# `make report`: environment and the main job. `make test`: environment and the tests. `make lint`: what CI refuses.
PYTHON ?= python3
VENV   ?= .venv
CORES  ?= all
BIN     = $(VENV)/bin
PIP     = $(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock

.PHONY: report gate test bench lint format clean

report: $(VENV)/.report
	$(BIN)/snakemake --cores $(CORES)

# Codes small crops with every codec and holds them against results/baselines/gate.csv; docs/gate.md.
gate: $(VENV)/.report
	$(BIN)/snakemake --cores $(CORES) --configfile config/gate.yaml -- results/gate/records.parquet
	$(BIN)/rdbench gate --folder results/gate $(GATE)

# A process for each core, four at most: each may hold torch and a network.
test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist loadfile

bench: $(VENV)/.test
	$(BIN)/python -m pytest tests/benchmarks --benchmark-only -o addopts=

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

# With torch and compressai, which the learned codecs need: 6 GB, a few minutes. LEARNED= leaves them out, and the
# learned codecs are rows that say so.
LEARNED ?= [learned]
$(VENV)/.report: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("rdbench needs Python 3.11 or newer; this is " + sys.version + ". Name one: make PYTHON=python3.12")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.$(LEARNED)'
	touch $@

$(VENV)/.test: $(VENV)/.report
	$(PIP) -e '.[learned,test,docs]'
	touch $@

clean:
	rm -rf results/*/report .snakemake
