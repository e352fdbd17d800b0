# Each target sets up what it needs, in an environment of its own; nothing is needed beyond python3, make and a
# package index. Where the index has uv, that takes seconds.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
DEMO := .venv-demo
DOCS := .venv-docs
LOWEST := .venv-lowest
WANDB := .venv-wandb
INTEGRATIONS := .venv-integrations
ORACLES := .venv-oracles
ENVIRONMENT := $(PYTHON) .ci/environment.py

.PHONY: environments demo test durability integrations oracles check format docs bench clean

# an environment is made anew when what it is made from changes
$(VENV)/.ready: pyproject.toml .ci/environment.py
	$(ENVIRONMENT) $(VENV) --editable . --group dev
	@touch $@

# what people get: maskl with its dependencies and the viewer, and no tools
$(DEMO)/.ready: pyproject.toml .ci/environment.py
	$(ENVIRONMENT) $(DEMO) --editable '.[view]'
	@touch $@

$(DOCS)/.ready: pyproject.toml .ci/environment.py
	$(ENVIRONMENT) $(DOCS) --group docs
	@touch $@

$(LOWEST)/.ready: pyproject.toml .ci/environment.py .ci/lowest.py
	pins=$$($(PYTHON) .ci/lowest.py) && $(ENVIRONMENT) $(LOWEST) --editable . --group test $$pins
	@touch $@

# the real W&B, for the tests that compare with it; where it cannot be installed they say so and compare with
# what was recorded of it
$(WANDB)/.ready: tests/conformance/requirements.txt .ci/environment.py
	$(ENVIRONMENT) $(WANDB) --requirement $< && touch $@ \
		|| echo "W&B could not be installed: the tests compare with what was recorded of it"

# trainers with loggers for W&B of their own; of torch it needs the CPU's wheels only, where the index has them
$(INTEGRATIONS)/.ready: pyproject.toml .ci/environment.py
	$(ENVIRONMENT) $(INTEGRATIONS) --editable . --group integrations
	@touch $@

# libraries whose metrics ours are compared with
$(ORACLES)/.ready: pyproject.toml .ci/environment.py
	$(ENVIRONMENT) $(ORACLES) --editable . --group oracles
	@touch $@

environments: $(VENV)/.ready $(LOWEST)/.ready $(WANDB)/.ready

demo: $(DEMO)/.ready
	$(DEMO)/bin/maskl demo

# the suite with the newest dependencies, then with the oldest that pyproject.toml admits; the second time it
# compares with what was recorded of W&B, which the first has found to be what W&B does
# (hundreds of tests start interpreters, which compile all that they import where bytecode is not kept)
test: export PYTHONDONTWRITEBYTECODE =
test:
	$(MAKE) --no-print-directory --jobs=3 environments
	$(BIN)/python -m pytest -n 2 --dist worksteal
	MASKL_WANDB_PYTHON=none MASKL_ORACLE_STORES=2 $(LOWEST)/bin/python -m pytest -n 2 --dist worksteal \
		-m "not once and not durability and not integrations and not oracles" tests

# what takes long: 300 processes killed at random moments (again with MASKL_DURABILITY_SEED as it is printed here), 1000
# runs with signals at random moments and 250 with an exception at one, an exception before and after each effect on
# the disk, 2000 random changes of files each before a command, and each way to change a file before each command, a
# write-ahead file cut off at every byte, many writers at full size, a thousand changes of single bytes, each of which
# verification has to find, 1000 simulated comparisons, whose intervals have to hold the truth in 93 to 97 %, 100 stores
# of runs whose columns differ, and all queries that take what they can get
durability: export PYTHONDONTWRITEBYTECODE =
durability: export MASKL_DURABILITY_SEED ?= $(shell date +%s)
durability: $(VENV)/.ready
	@echo MASKL_DURABILITY_SEED=$(MASKL_DURABILITY_SEED)
	MASKL_DURABILITY_RUNS=300 MASKL_DURABILITY_INTERRUPTS=1000 MASKL_DURABILITY_MUTATIONS=2000 \
		MASKL_DURABILITY_PAIRS=1 MASKL_COVERAGE_SIMULATIONS=1000 MASKL_UNION_STORES=100 \
		$(BIN)/python -m pytest -m "" -n 2 --dist worksteal tests/durability \
		tests/cli/test_hostile_parts.py tests/cli/test_links.py tests/storage/catalog/test_damaged.py \
		tests/reading/test_compare.py tests/reading/test_union.py tests/storage/query/test_bounded.py

# trainers' own loggers for W&B, unchanged, with maskl under its name: each trains a tiny random model
integrations: $(INTEGRATIONS)/.ready
	$(INTEGRATIONS)/bin/python -m pytest -m integrations tests/integrations

# metrics of segments, boundaries and surfaces beside those of other libraries, on random masks and on real ones
oracles: $(ORACLES)/.ready
	$(ORACLES)/bin/python -m pytest -m oracles tests/metrics/oracles

check: $(VENV)/.ready docs
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# the pages of docs/ and the API reference as a site in site/; a link that leads nowhere is an error
docs: $(DOCS)/.ready
	NO_MKDOCS_2_WARNING=1 $(DOCS)/bin/mkdocs build --strict

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

clean:
	rm -rf .uv $(VENV) $(DEMO) $(DOCS) $(LOWEST) $(WANDB) $(INTEGRATIONS) $(ORACLES) site .pytest_cache .mypy_cache .ruff_cache
