# make demo   enhance an example recording and draw it before and after
# make test   lint, types, import contract and tests
# Both make their own environment in .venv; a second run finds it ready.

# The first Python of at least 3.11; choose another with: make PYTHON=python3.13 demo
PYTHON ?= $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done)

# The tests want one known version of torch, and get it before the package asks for just any:
# left to itself pip may take a build with gigabytes of CUDA that no test uses.
TORCH ?= torch==2.13.0

BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check
# The tests run side by side, one to a core: threads inside them would only be in the way.
export OMP_NUM_THREADS ?= 1
export OPENBLAS_NUM_THREADS ?= 1

# A wheel of the same commit has the same bytes, whenever and wherever it is built.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 1735689600)
MINUTES ?= 10

.PHONY: help demo test lint site fuzz audit sbom wheel dist clean distclean

help:
	@echo 'make demo       enhance an example recording into demo/, with a picture'
	@echo 'make test       everything that is checked: lint, types, imports, tests'
	@echo 'make lint       the same without the tests'
	@echo 'make site       the documentation as a site, strictly, with every link followed'
	@echo 'make fuzz       mutated files of every kind, MINUTES=10 of them'
	@echo 'make audit      known vulnerabilities and licences of what it builds on (asks PyPI)'
	@echo 'make wheel      the wheel, into dist/ (make sbom: the list of its parts)'
	@echo 'make dist       wheel and source distribution, checked as for a release'
	@echo 'make clean      remove what demo and test left (distclean: .venv, too)'

demo: .venv/.demo-ready
	@$(BIN)/overtone enhance examples/speech_en_8k.flac -o demo/ --plot --force
	@echo
	@echo 'heard before:   examples/speech_en_8k.flac'
	@echo 'heard after:    demo/speech_en_8k.flac'
	@echo 'seen:           demo/speech_en_8k.png'
	@echo 'your own file:  $(BIN)/overtone enhance FILE'

test: lint
	@$(BIN)/pytest -n auto

lint: .venv/.test-ready
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --quiet --check .
	@$(BIN)/mypy --no-error-summary
	@$(BIN)/lint-imports --no-logo

site: .venv/.test-ready
	@$(BIN)/python tools/build_site.py

fuzz: .venv/.test-ready
	@$(BIN)/python tests/fuzz/fuzz.py --minutes $(MINUTES)

# Tools of their own environment: what they need must not count as ours.
audit: .venv/.test-ready .venv-audit/bin/pip-audit
	@.venv-audit/bin/pip-audit --requirement constraints.txt --no-deps --disable-pip || { \
		echo 'audit: see above what was found, or that the registry does not answer' >&2; exit 1; }
	@.venv-audit/bin/pip-licenses --python $(BIN)/python --order license --from mixed

sbom: .venv/.demo-ready .venv-audit/bin/pip-audit
	@.venv-audit/bin/cyclonedx-py environment --output-reproducible -o sbom.json $(BIN)/python

wheel: .venv/bin/python
	@$(BIN)/python -m pip wheel --quiet --no-deps --wheel-dir dist .

dist: .venv-release/bin/twine
	@rm -rf dist && mkdir -p dist/again
	@.venv-release/bin/python -m build --quiet --outdir dist .
	@.venv-release/bin/python -m build --quiet --outdir dist/again .
	@cd dist/again && for file in *; do cmp "$$file" "../$$file" || exit 1; done
	@rm -r dist/again
	@.venv-release/bin/twine check --strict dist/*
	@.venv-release/bin/check-wheel-contents dist/*.whl

.venv-release/bin/twine:
	@$(PYTHON) -m venv .venv-release
	@.venv-release/bin/python -m pip install --quiet build twine check-wheel-contents

.venv-audit/bin/pip-audit:
	@$(PYTHON) -m venv .venv-audit
	@.venv-audit/bin/python -m pip install --quiet pip-audit pip-licenses cyclonedx-bom

clean:
	rm -rf build demo dist site fuzz.json sbom.json .mypy_cache .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests -name __pycache__ -prune -exec rm -rf {} +

distclean: clean
	rm -rf .venv .venv-audit .venv-release

.venv/bin/python:
	@test -n '$(PYTHON)' || { echo 'overtone needs Python 3.11 or newer, and none was found.' \
		'Install one, or name it: make PYTHON=/path/to/python3.12 demo' >&2; exit 1; }
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit( \
		f"overtone needs Python 3.11 or newer, and $(PYTHON) is {v.major}.{v.minor}: " \
		"name a newer one with make PYTHON=...")'
	@echo 'making the environment .venv (once)'
	@$(PYTHON) -m venv .venv || { rm -rf .venv; exit 1; }

# Order-only: the link .venv/bin/python is as old as the Python it points to.
.venv/.demo-ready: pyproject.toml | .venv/bin/python
	@echo 'installing overtone'
	@$(PIP) --editable '.[plot]'
	@touch $@

.venv/.test-ready: pyproject.toml constraints.txt | .venv/bin/python
	@echo 'installing overtone with all its extras (minutes, the first time)'
	@$(PIP) $(TORCH)
	@$(PIP) --constraint constraints.txt --editable '.[all,dev,docs]'
	@touch $@ .venv/.demo-ready
