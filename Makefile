# make demo, test, fuzz, soak, kills, spaces, lint or bench. Each sets up .venv first; the next call finds it ready.

VENV ?= .venv
PORT ?= 7860
ARGS ?=
FUZZ ?= 20
PY := $(VENV)/bin/python
READY := $(VENV)/.ready

.PHONY: demo test fuzz soak kills spaces lint bench pictures

demo: $(READY)
	$(PY) -m vision_core serve --port $(PORT)

test: $(READY)
	$(PY) -m pytest -n 2 --dist loadfile --no-loadscope-reorder $(ARGS)

soak: $(READY)
	$(PY) tests/soak/visitors.py $(ARGS)

kills: $(READY)
	$(PY) tests/soak/kills.py $(ARGS)

fuzz: $(READY)
	FUZZ=$(FUZZ) $(PY) -m pytest tests/safety/test_doors_fuzz.py --timeout 3600 -s $(ARGS)

spaces: $(READY)
	SPACES=all $(PY) -m pytest tests/apps/test_hub_spaces.py $(ARGS)

lint: $(READY)
	$(PY) -m ruff check .
	$(PY) -m ruff format --check .
	$(PY) -m basedpyright

# the others need data sets; their first lines say which
BENCH = cluster color color_tools cores digits digits_site distributed leaves restoration startup
bench: $(READY)
	@set -e; for name in $(BENCH); do echo "== $$name"; $(PY) "benchmarks/$$name.py"; done

pictures: $(READY)
	$(PY) assets/landing/build.py $(ARGS)

$(READY): pyproject.toml constraints.txt
	@set -e; for python in $(PYTHON) python3 python3.13 python3.12 python3.11 python none; do \
	  if $$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then break; fi; \
	done; \
	if [ "$$python" = none ]; then \
	  echo "vision-core needs Python 3.11 or newer and found none; make $(MAKECMDGOALS) PYTHON=/path/to/python3 names one" >&2; \
	  exit 1; \
	fi; \
	echo "Setting up $(VENV): about 2 GB, a few minutes, once"; \
	$(PY) -m pip --version >/dev/null 2>&1 || $$python -m venv --clear $(VENV)
	$(PY) -m pip install --upgrade pip
	$(PY) -m pip install -c constraints.txt -e '.[apps,editing,tracking,onnx,cluster]' --group dev
	@touch $(READY)
