# make demo   set up, then run the main job on simulated sessions (a few minutes)
# make test   set up, then run all tests
# make mutation   plant every fault in the decoder, also the slow ones; each must be found
# make lint   formatting, lint and types, as in CI
# make docs   the documentation as a site in site/, warnings are errors
# make bench  the benchmarks, beside those of other libraries (ten minutes, a quiet machine)
# make lock   rewrite requirements.lock from pyproject.toml
# make test-lowest     all tests with the lowest versions that pyproject.toml allows
# make test-torch TORCH=2.14.1   all tests with another torch
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
JOBS   ?= 2

# Spinning OpenMP threads slow a shared machine many times over.
export OMP_WAIT_POLICY := PASSIVE
export GOMP_SPINCOUNT := 0
export OMP_NUM_THREADS := 1

.PHONY: demo test mutation lint format docs bench lock test-lowest test-torch clean

demo: $(READY)
	$(BIN)/realm demo --jobs $(JOBS)

test: $(READY)
	$(BIN)/pytest -n $(JOBS)

mutation: $(READY)
	$(BIN)/pytest -n 0 tests/certify/test_certify_mutations.py tests/live/test_live_safety.py

lint: $(READY)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: $(READY)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "transformers>=5,<6"
	$(BIN)/python -m benchmarks

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11), "REALM needs Python 3.11 or newer; set PYTHON=..."'
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# torch is pinned by hand: an unpinned one may bring gigabytes of GPU libraries.
lock:
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet torch==2.13.0
	$(BIN)/python -m pip install --quiet hatchling editables -e '.[dev]'
	$(BIN)/python -m pip freeze --exclude-editable | sed 's/^\(torch==[0-9.]*\)+cpu$$/\1/' > requirements.lock

# Both make an environment of their own; a torch that is not pinned may bring gigabytes.
test-lowest:
	$(PYTHON) -m venv --clear .venv-lowest
	$(PYTHON) .ci/lowest.py > .venv-lowest/constraints.txt
	.venv-lowest/bin/python -m pip install --quiet -c .venv-lowest/constraints.txt -e '.[all,test]'
	.venv-lowest/bin/pytest -n $(JOBS)

test-torch:
	$(PYTHON) -m venv --clear .venv-torch
	sed 's/^torch==.*/torch==$(TORCH)/' requirements.lock > .venv-torch/constraints.txt
	.venv-torch/bin/python -m pip install --quiet -c .venv-torch/constraints.txt -e '.[all,test]'
	.venv-torch/bin/pytest -n $(JOBS)

clean:
	rm -rf $(VENV) .venv-lowest .venv-torch runs site
