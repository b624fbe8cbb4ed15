# Three commands set everything up on a fresh machine: `make demo`, `make test` and `make docs`.
# `make test-cluster` runs the tests that need Ray.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
# Test processes. Fewer than cores, because a container may see more cores than it may use.
JOBS ?= 2
# Tests import the installed package, so that the compiled kernel is never taken from the source tree.
SOURCES := pyproject.toml $(shell find edgehar ext training models -type f -not -name '*.so' -not -path '*/__pycache__/*' -not -path '*.egg-info/*' -not -name '_*.c')

.PHONY: demo web test test-cluster lint docs clean

demo: $(VENV)/device.installed
	$(BIN)/edgehar demo --out demo.mp4

# The pages on drawn cameras with events, at http://127.0.0.1:8088/.
web: $(VENV)/web.installed
	$(BIN)/edgehar demo --web

test: $(VENV)/dev.installed
	scripts/install_test_tools.sh
	$(MAKE) lint
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile --no-loadscope-reorder

test-cluster: $(VENV)-cluster/cluster.installed
	$(VENV)-cluster/bin/python -P -m pytest tests/cluster

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

# Remove build/lib, because files of an earlier build there would be installed too.
$(VENV)/device.installed: $(VENV)/pip.installed $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(BIN)/pip install --quiet .
	touch $@

$(VENV)/web.installed: $(VENV)/pip.installed $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(BIN)/pip install --quiet '.[web]'
	touch $(VENV)/device.installed $@

$(VENV)/dev.installed: $(VENV)/pip.installed $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(BIN)/pip install --quiet '.[dev]'
	touch $(VENV)/device.installed $@

# Ray must not change what the other tests run with, so it gets an environment over the first one.
$(VENV)-cluster/cluster.installed: $(VENV)/dev.installed scripts/install_cluster.sh
	scripts/install_cluster.sh $(VENV) $(VENV)-cluster
	touch $@

$(VENV)/docs.installed: $(VENV)/pip.installed $(SOURCES)
	rm -rf build/lib* build/bdist*
	$(BIN)/pip install --quiet '.[docs]'
	touch $(VENV)/device.installed $@

clean:
	rm -rf $(VENV) $(VENV)-cluster build dist demo.mp4 *.egg-info training/*.egg-info ext/_*.c
