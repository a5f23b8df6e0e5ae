# Every command that users of the repository and CI need; `make` alone lists them.
#
# Stamps below .venv/stamps record what was done, so that a second `make drill` starts the drill at once: pip runs again
# only when the packaging changed, and a change in shim/ rebuilds only the C parts. Paths are relative, so that a
# checkout in a folder with spaces in its path works.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.NOTPARALLEL:  # two pips in one environment break each other, also under `make -j`
.PHONY: help drill test test-all test-cluster test-long fuzz torture torture-cluster cluster cluster-status cluster-down check generate bench bench-fleet bench-floods bench-recovery bench-shim bench-validate clean

VENV := .venv
BIN := $(VENV)/bin
STAMPS := $(VENV)/stamps
PIP_INSTALL := -m pip install --quiet --disable-pip-version-check

PACKAGING := pyproject.toml shim/hatch_build.py engine/offbus/__init__.py
NATIVE := agent/offbus_agent/native
NATIVE_SOURCES := $(shell find shim -type f \( -name '*.[chS]' -o -name '*.def' -o -name '*.map' -o -name '*.py' -o -name Makefile \) -not -path '*/build/*')

# Tests of one file share fixtures; files are spread over the processors.
SPREAD := -n auto --dist loadfile

# First the tests that need only an API server: each worker starts its own. Then those that share one real cluster; tests
# that break it for minutes are torture-cluster's. SHORT is CI's part: without Dynamo (gigabytes) and extra clusters.
API_SERVER := $(SPREAD) -m "cluster$(if $(SHORT), and not long)" tests/kubernetes --ignore=tests/kubernetes/real
REAL_CLUSTER := -m "cluster and not long$(if $(SHORT), and not own_cluster and not dynamo)" tests/cluster tests/kubernetes/real

SCENARIO ?= scenarios/xid79.yaml
ARGS ?=

help:  ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

drill: $(STAMPS)/run $(STAMPS)/native  ## Run a whole drill on this machine (SCENARIO=…, ARGS="--set xid=48")
	@exec $(BIN)/offbus run "$(SCENARIO)" $(ARGS)

test: $(STAMPS)/dev $(STAMPS)/native  ## Run the tests, without the slow ones (ARGS="-k undo")
	@exec $(BIN)/python -m pytest $(SPREAD) -m "not slow and not cluster and not torture" $(ARGS)

test-all: $(STAMPS)/dev $(STAMPS)/native  ## Run all tests but those of test-cluster
	@exec $(BIN)/python -m pytest $(SPREAD) -m "not cluster" $(ARGS)

test-cluster: $(STAMPS)/dev $(STAMPS)/native  ## Run the tests on a real Kubernetes cluster on this machine (root; minutes; SHORT=1: CI's part)
	@$(BIN)/python -m tests.kits.cluster build
	@OFFBUS_TEST_CLUSTER=required $(BIN)/python -m pytest $(API_SERVER) $(ARGS) || [ $$? = 5 ]  # 5: ARGS select none of these
	@exec $(BIN)/python -m pytest $(REAL_CLUSTER) $(ARGS)

# What a night is for, one line each; ARGS are those of the fuzzers.
test-long: $(STAMPS)/dev $(STAMPS)/native  ## Run what takes a night: 10,000 random drills, NVLink 5, an unscaled responder, detectors' rules in Go, 100,000 wrong scenarios, 100 kills of agent and helper, each fuzzer for 10 minutes
	@OFFBUS_LAWS=10000 $(BIN)/python -m pytest -q tests/engine/test_laws.py
	@OFFBUS_XIDS=all $(BIN)/python -m pytest -q tests/drill/test_xids_play.py tests/drill/test_matrix_of_xids.py
	@OFFBUS_UNSCALED=1 $(BIN)/python -m pytest -q tests/steps/inject/test_nothing_lives_on.py -k own_times
	@OFFBUS_SCENARIOS=100000 $(BIN)/python -m pytest -q $(SPREAD) --dist load tests/language/syntax/test_mutated_files.py
	@$(BIN)/python -m pytest -q tests/agent/detectors/test_rules_in_go.py
	@OFFBUS_KILLS=100 $(BIN)/python -m pytest -q tests/kmsg_helper/test_kills.py
	@$(BIN)/python -m tests.kits.fuzz.run --seconds 600 $(ARGS)

fuzz: $(STAMPS)/dev $(STAMPS)/native  ## Fuzz every reader of outsiders' bytes for 20 s (ARGS="--seconds 60 journal sse")
	@exec $(BIN)/python -m tests.kits.fuzz.run $(ARGS)

cluster: $(STAMPS)/dev $(STAMPS)/native  ## Start a real Kubernetes cluster of three nodes on this machine (root)
	@exec $(BIN)/python -m tests.kits.cluster up

cluster-status: $(STAMPS)/dev  ## Show the cluster's versions, nodes and pods, and how to use it
	@exec $(BIN)/python -m tests.kits.cluster status

cluster-down: $(STAMPS)/dev  ## Remove the cluster and everything that it created
	@exec $(BIN)/python -m tests.kits.cluster down

torture: $(STAMPS)/dev $(STAMPS)/native  ## Kill drills at every point, recover, compare (FULL=1: all cases; ARGS="--seed 7")
	@exec $(BIN)/python -m tests.kits.torture.run $(if $(FULL),--full) $(ARGS)

torture-cluster: $(STAMPS)/dev $(STAMPS)/native  ## Kill runners on the real cluster, and break it during their drills (root)
	@OFFBUS_TORTURE=all exec $(BIN)/python -m pytest -m cluster -s -n 0 tests/kubernetes/real/test_real_torture.py $(ARGS)

check: $(STAMPS)/dev  ## Check style, types, layers and the generated files
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@MYPYPATH=docs:. $(BIN)/mypy docs/*.py benchmarks/*.py .ci/*.py
	@MYPYPATH=. $(BIN)/mypy -p tests.kits.cluster
	@$(BIN)/lint-imports
	@$(BIN)/python docs/generate.py --check

generate: $(STAMPS)/run  ## Generate files again (docs, schemas, roles)
	@$(BIN)/python docs/generate.py

bench: .venv-bench/stamps/bench $(STAMPS)/native  ## Measure against the budgets, and compare with Chaos Toolkit
	@exec .venv-bench/bin/python -m benchmarks.bench $(ARGS)

bench-recovery: .venv-bench/stamps/bench $(STAMPS)/native  ## Measure how long recover takes for 100 undos
	@exec .venv-bench/bin/python -m benchmarks.recovery $(ARGS)

bench-floods: $(STAMPS)/dev $(STAMPS)/native  ## Measure how late a lease ends while a pod floods its node's agent (ARGS="--rounds 3")
	@exec $(BIN)/python -m benchmarks.floods $(ARGS)

bench-shim: $(STAMPS)/run $(STAMPS)/native  ## Measure the shim's cost per call (ARGS=--quick)
	@exec $(BIN)/python -m benchmarks.shim $(ARGS)

bench-validate: $(STAMPS)/run  ## Measure `validate` by steps and cells (ARGS="--before …/bin/offbus" compares with another version)
	@exec $(BIN)/python -m benchmarks.validate $(ARGS)

bench-fleet: $(STAMPS)/dev $(STAMPS)/native  ## Measure a runner in a cluster of 5,000 nodes, and compare with a poller (ARGS="--nodes 500 --pods 2000")
	@exec $(BIN)/python -m benchmarks.fleet $(ARGS)

clean:  ## Remove everything that make created
	@[ ! -f shim/Makefile ] || $(MAKE) --no-print-directory -s -C shim clean
	@rm -rf $(VENV) .venv-bench build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache .fuzz
	@find $(NATIVE) -type f -not -name README.md -delete 2>/dev/null || true

$(STAMPS)/venv:
	@command -v $(firstword $(CC)) >/dev/null || \
	  { echo "offbus: C compiler not found: $(firstword $(CC)); install one (Debian, Ubuntu: apt install gcc)" >&2; exit 1; }
	@for python in $(or $(PYTHON),python3 python3.14 python3.13 python3.12 python3.11) none; do \
	  "$$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; done; \
	[ "$$python" != none ] || \
	  { echo "offbus: Python 3.11 or newer not found; install it, or set its path: make PYTHON=/path/to/python3" >&2; exit 1; }; \
	"$$python" -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "offbus: $$python has no venv module; install it (Debian, Ubuntu: apt install python3-venv)" >&2; exit 1; }; \
	"$$python" -m venv $(VENV)
	@mkdir -p $(STAMPS) && touch $@

$(STAMPS)/run: $(PACKAGING) | $(STAMPS)/venv
	@echo "offbus: installing into $(VENV) (once)"
	@$(BIN)/python $(PIP_INSTALL) -e .
	@touch $@

$(STAMPS)/dev: $(PACKAGING) | $(STAMPS)/venv
	@echo "offbus: installing into $(VENV), with the tools for development (once)"
	@$(BIN)/python $(PIP_INSTALL) -e '.[dev]'
	@touch $@ $(STAMPS)/run

$(STAMPS)/native: $(NATIVE_SOURCES) | $(STAMPS)/venv
	@[ "$$(uname)" != Linux ] || $(MAKE) --no-print-directory -s -C shim install NATIVE=../$(NATIVE) PYTHON=../$(BIN)/python
	@touch $@

.venv-bench/stamps/bench: $(PACKAGING) benchmarks/requirements.txt $(wildcard benchmarks/plugin/*) | $(STAMPS)/venv
	@echo "offbus: installing offbus and Chaos Toolkit into .venv-bench (once)"
	@$(BIN)/python -m venv .venv-bench
	@.venv-bench/bin/python $(PIP_INSTALL) -r benchmarks/requirements.txt
	@mkdir -p .venv-bench/stamps && touch $@
