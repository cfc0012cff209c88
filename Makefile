# The front door. Every target makes its own virtual environment first.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
INSTALLED_FOR_DEMO := $(VENV)/.installed-for-demo
PIP := $(BIN)/python -m pip --quiet --quiet --disable-pip-version-check

# Where it can be compiled (on Debian and Ubuntu: default-libmysqlclient-dev, python3-dev, gcc, pkg-config).
MYSQLCLIENT = $(if $(shell command -v gcc >/dev/null && \
    for library in mysqlclient mariadb libmariadb; do \
        pkg-config --exists $$library 2>/dev/null && echo found && break; done),--group mysqlclient)

.PHONY: demo test test-unit soak bench lint types format clean

demo: $(INSTALLED_FOR_DEMO)
	@$(BIN)/python -m testproject.demo

# Five processes share the files: most tests wait for something, and each file has its own servers.
# They keep the order of tests/conftest.py, in which the longest begin.
test: $(INSTALLED)
	$(BIN)/python -m pytest -n 5 --dist loadfile --no-loadscope-reorder

test-unit: $(INSTALLED)
	$(BIN)/python -m pytest tests/unit

soak: $(INSTALLED)
	$(BIN)/python -m pytest -m slow

# benchmarks/__init__.py says what it measures, and names the other benchmarks.
bench: $(INSTALLED)
	@$(BIN)/python -m benchmarks.publishing
	@$(BIN)/python -m benchmarks.consuming --rounds 2
	@$(BIN)/python -m benchmarks.instructions

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(INSTALLED)
	$(BIN)/mypy
	$(BIN)/pyright --pythonpath $(BIN)/python

format: $(INSTALLED)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) build dist *.egg-info

# Each is made again only when what it installs from has changed, so that a second run starts at once.
$(INSTALLED): setup.cfg pyproject.toml
	@$(MAKE_VENV)
	@$(PIP) install --editable '.[completion,django,fast,flask,monitoring,opentelemetry,postgres,prometheus]' --group test --group dev $(MYSQLCLIENT)
	@touch $(INSTALLED) $(INSTALLED_FOR_DEMO)

$(INSTALLED_FOR_DEMO): setup.cfg pyproject.toml
	@$(MAKE_VENV)
	@$(PIP) install --editable '.[django]' --group demo
	@touch $@

# pip installs dependency groups (PEP 735) from 25.1 on.
define MAKE_VENV
$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null || \
    { echo 'Relé needs Python 3.10 or later as `$(PYTHON)`: install it, or name another one with `make PYTHON=/path/to/python`.' >&2; exit 1; }; \
$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
    { echo 'This Python cannot make a virtual environment: install its venv module (on Debian and Ubuntu: apt-get install python3-venv).' >&2; exit 1; }; \
test -x $(BIN)/python || $(PYTHON) -m venv $(VENV) || exit 1; \
echo 'Installing into $(VENV) …'; \
$(PIP) install 'pip >= 25.1'
endef
