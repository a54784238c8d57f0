PYTHON ?= python3
BIN := .venv/bin
PORT ?= 8000
PAGES := $(shell find book -name '*.md' -not -path '*/_*')

# Threads that wait give their core away: on a busy machine that is faster by far.
book test check: export OMP_WAIT_POLICY = PASSIVE

.PHONY: book test check notebooks assignments serve bench pins clean

book: .venv/ready _build/claims.json ## execute every chapter and build the site, warnings as errors
	$(BIN)/jupyter-book build . --all -W -n --keep-going
	@echo "The book is at file://$(CURDIR)/_build/html/index.html, or run: make serve"

test: .venv/ready ## style, types and the whole suite
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	$(BIN)/pytest -n 2 --ignore tests/claims --ignore tests/assignments
	$(BIN)/pytest tests/claims tests/assignments

check: .venv/ready _build/colab/ready ## the built site in a browser, notebooks as on Colab: nothing may be skipped
	AETUTOR_REQUIRE=site,browser,colab $(BIN)/pytest -n 2 tests/book tests/browser tests/notebooks \
		tests/assignments/test_making.py

notebooks: .venv/ready ## book/notebooks anew from the pages
	$(BIN)/python book/_ext/notebooks.py

assignments: .venv/ready ## from their sources: student's notebook and tests, solution, autograder of each
	$(BIN)/python book/_ext/assignments.py

serve: .venv/ready ## the built site on loopback
	$(BIN)/python -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

bench: .venv/ready ## side-by-side timings
	$(BIN)/python -m benchmarks

pins: ## write requirements.txt anew from what pyproject.toml resolves to today
	$(PYTHON) -m venv --clear _build/pins && _build/pins/bin/pip install '.[book,test,bench]'
	_build/pins/bin/pip freeze --exclude aetutor | sed 's/+cpu$$//' > requirements.txt

clean: ## all that was built, the environment aside
	rm -rf _build

_build/claims.json: .venv/ready $(wildcard aetutor/*.py tests/claims/*.py) $(PAGES)
	$(BIN)/pytest tests/claims -q

_build/colab/ready: tests/notebooks/colab.txt
	$(PYTHON) -m venv --clear _build/colab
	_build/colab/bin/pip install --disable-pip-version-check -r $<
	@touch $@

.venv/ready: requirements.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "aetutor: the pins need Python 3.11 or newer; say make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --disable-pip-version-check -r requirements.txt
	$(BIN)/pip install --disable-pip-version-check --no-deps --editable .
	@touch $@
