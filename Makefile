# Each target sets up what it needs in .venv; nothing is needed beyond python3, make and a package index.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
LOWEST := .venv-lowest
WANDB := .venv-wandb

.PHONY: environments demo test durability check format bench clean

$(VENV)/.ready: pyproject.toml
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --editable . --group dev
	touch $@

$(LOWEST)/.ready: pyproject.toml
	rm -rf $(LOWEST)
	$(PYTHON) -m venv $(LOWEST)
	$(PYTHON) .ci/lowest.py > $(LOWEST)/pins.txt
	$(LOWEST)/bin/python -m pip install --quiet --upgrade "pip>=25.1"
	$(LOWEST)/bin/python -m pip install --quiet --editable . --group test --constraint $(LOWEST)/pins.txt
	touch $@

# the real W&B, for the tests that compare with it; where it cannot be installed they say so and compare with
# what was recorded of it
$(WANDB)/.ready: tests/conformance/requirements.txt
	rm -rf $(WANDB)
	$(PYTHON) -m venv $(WANDB)
	$(WANDB)/bin/python -m pip install --quiet --requirement $< && touch $@ \
		|| { echo "W&B could not be installed: the tests compare with what was recorded of it"; rm -rf $(WANDB); }

environments: $(VENV)/.ready $(LOWEST)/.ready $(WANDB)/.ready

demo: $(VENV)/.ready
	$(BIN)/maskl demo

# the suite with the newest dependencies, then with the oldest that pyproject.toml admits; the second time it
# compares with what was recorded of W&B, which the first has found to be what W&B does
test:
	$(MAKE) --no-print-directory --jobs=3 environments
	$(BIN)/python -m pytest -n 2 --dist worksteal
	MASKL_WANDB_PYTHON=none MASKL_ORACLE_STORES=2 $(LOWEST)/bin/python -m pytest -n 2 --dist worksteal \
		-m "not once and not durability" tests

# what takes long: 300 processes killed at random moments (again with MASKL_DURABILITY_SEED as it is printed here), a
# write-ahead file cut off at every byte, many writers at full size, and a thousand changes of single bytes, each of
# which verification has to find
durability: export MASKL_DURABILITY_SEED ?= $(shell date +%s)
durability: $(VENV)/.ready
	@echo MASKL_DURABILITY_SEED=$(MASKL_DURABILITY_SEED)
	MASKL_DURABILITY_RUNS=300 $(BIN)/python -m pytest -m "" -n 2 --dist worksteal tests/durability

check: $(VENV)/.ready
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/.ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/.ready
	$(BIN)/python -m benchmarks

clean:
	rm -rf $(VENV) $(LOWEST) $(WANDB) .pytest_cache .mypy_cache .ruff_cache
