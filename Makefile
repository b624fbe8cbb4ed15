# Three commands set everything up on a fresh machine: `make demo`, `make test` and `make docs`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Processes that tests run in. Not as many as there are cores: a container may see more of them than it may use.
JOBS ?= 2
# A kernel must never be tested from the source tree, so tests import what is installed in the virtual environment.
SOURCES := pyproject.toml $(shell find edgehar ext training models -type f -not -name '*.so' -not -path '*/__pycache__/*' -not -path '*.egg-info/*' -not -name '_*.c')

.PHONY: demo test lint docs clean

demo: $(VENV)/device.installed
	$(BIN)/edgehar demo --out demo.mp4

test: $(VENV)/dev.installed
	scripts/install_test_tools.sh
	$(MAKE) lint
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

lint: $(VENV)/dev.installed
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# A warning, such as a broken link or anchor, fails the build.
docs: $(VENV)/docs.installed
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --fresh-env --quiet -b html docs build/docs
	@echo "open build/docs/index.html"

$(VENV)/pip.installed:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	touch $@

# Whatever an earlier build left in build/lib would be installed along.
$(VENV)/device.installed: $(VENV)/pip.installed $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(BIN)/pip install --quiet .
	touch $@

$(VENV)/dev.installed: $(VENV)/pip.installed $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(BIN)/pip install --quiet '.[dev]'
	touch $(VENV)/device.installed $@

$(VENV)/docs.installed: $(VENV)/pip.installed $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(BIN)/pip install --quiet '.[docs]'
	touch $(VENV)/device.installed $@

clean:
	rm -rf $(VENV) build dist demo.mp4 *.egg-info training/*.egg-info ext/_*.c
