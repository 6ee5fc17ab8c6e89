# `make` alone says what there is; `make demo` and `make test` do all the set-up on a fresh machine; nothing is installed outside .venv.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: help demo test check docs bench adversary overwriting faults fuzz mutants man clean

help:
	@echo "make demo    patch a small program while it runs, in an emulator"
	@echo "make test    run the tests; PYTEST='-k words' chooses some"
	@echo "make check   formatting, lint and types"
	@echo "make docs    the documentation as a site, build/docs/index.html"
	@echo "make bench   measure; BENCH=--quick sees that all of it runs, BENCH='--against REV' compares"
	@echo "make adversary   patch programs that nobody wrote; TIME=seconds, SEED=first"
	@echo "make overwriting  random programs whose runtime overwrites where old functions begin; TIME=seconds, SEED=first"
	@echo "make faults  full disks, kills and rude linkers at every step of each command that writes; TIME=seconds, SEED=n"
	@echo "make fuzz    give each reader broken files, guided by coverage; TIME=seconds, SEED=n"
	@echo "make mutants  break the code in small ways and see a test fail; MUTANTS='part …'"
	@echo "make man     write the man page, build/man/hotpatch-stubgen.1"
	@echo "make clean   remove what these made"

demo: $(VENV)/.demo
	$(BIN)/python -m examples.demo

test: $(VENV)/.test
	$(BIN)/python -m pytest -n auto --dist loadscope $(PYTEST)

check: $(VENV)/.check
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet docs build/docs
	@echo build/docs/index.html

bench: $(VENV)/.test
	$(BIN)/python -m benches $(BENCH)

adversary: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m adversary --time $(or $(TIME),60) --seed $(or $(SEED),0) $(ADVERSARY)

overwriting: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m overwriting --time $(or $(TIME),60) --seed $(or $(SEED),0) $(OVERWRITING)

faults: $(VENV)/.test
	PYTHONPATH=tests:. $(BIN)/python -m faults --time $(or $(TIME),60) --seed $(or $(SEED),0) $(FAULTS)

fuzz: $(VENV)/.fuzz
	PYTHONPATH=tests $(BIN)/python -m fuzz --time $(or $(TIME),60) --seed $(or $(SEED),0) $(FUZZ)

mutants: $(VENV)/.test
	PYTHONPATH=tests $(BIN)/python -m mutants $(MUTANTS)

man: $(VENV)/.test
	@mkdir -p build/man
	$(BIN)/argparse-manpage --module stubgen.cli --function full_parser --prog hotpatch-stubgen \
	  --manual-section 1 --output build/man/hotpatch-stubgen.1

clean:
	rm -rf $(VENV) build dist *.egg-info .demo .bench build/rust-peer .pytest_cache .mypy_cache .ruff_cache

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[demo]'
	@touch $@

$(VENV)/.test: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	@touch $@ $(VENV)/.demo

$(VENV)/.check: pyproject.toml $(VENV)/.test | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,check]'
	@touch $@

$(VENV)/.fuzz: pyproject.toml $(VENV)/.test | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test,fuzz]'
	@touch $@

$(VENV)/.docs: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[docs]'
	@touch $@
