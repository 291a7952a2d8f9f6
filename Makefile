# `make help` lists the targets. `make demo` and `make test` work on a fresh clone: each makes the
# virtual environment first if it is missing.

PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
PYTEST := -m pytest -q -n 2 --dist worksteal
EDITABLE := $(foreach package,common probing slimp,-e 'packages/$(package)[all]')
NO_QUESTION := benchmarks/plain_loop.py benchmarks/check.py benchmarks/mim.py \
	benchmarks/gpu_check.py benchmarks/drill.py benchmarks/processes.py benchmarks/ep_claims.py
SCRIPTS := $(filter-out $(NO_QUESTION),$(wildcard benchmarks/*.py))
BENCHMARKS := $(subst _,-,$(SCRIPTS:benchmarks/%.py=bench-%)) bench-slimp-ablation
WEIGHTS := weights=$$(PYTHONPATH=benchmarks $(BIN)/python -m lib.imagenet_weights)
START := --set "start=timm:tf_efficientnet_lite0?image_size=64&weights=$$weights"
# Without what is exported below, which nproc would answer.
CORES := $$(env -u OMP_NUM_THREADS nproc)
INPUTS := constraints.txt requirements-dev.txt $(wildcard packages/*/pyproject.toml)
# What `make test-min` and `make test-latest` run: where the libraries below are called.
# TESTS=tests runs all.
TESTS ?= tests/formats tests/common/data/test_splits.py tests/common/backbones tests/common/features tests/common/sources tests/common/training \
  tests/probing/heads tests/probing/methods tests/probing/predict tests/probing/test_estimator.py \
  tests/probing/test_run.py tests/slimp/exporting tests/slimp/training tests/slimp/test_run.py
TEST_TOOLS := beartype hypothesis pytest pytest-timeout pytest-xdist rtdl_revisiting_models
# Other versions warn of what the pinned ones do not, and bring plug-ins that pytest refuses.
OTHERS := $(PYTEST) -p no:anyio -W default

# Nothing is fetched at run time unless asked for; threads of busy cores fight (docs/stack.md).
export HF_HUB_OFFLINE ?= 1
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help install demo test test-fast test-min test-latest coverage lint type format check bench docs wheels clean
.PHONY: bench-slimp-ablation bench-full bench-check gpu-check tutorial

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(STAMP) ## make the virtual environment and install the three packages and the tools

$(STAMP): $(INPUTS)
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -qq -c constraints.txt $(EDITABLE) -r requirements-dev.txt
	touch $@

demo: $(STAMP) ## carry out studies/demo.yaml: SLIMP against its start on real lesions (7 minutes)
	$(WEIGHTS) && $(BIN)/toolkit study run studies/demo.yaml --jobs $(CORES) $(START)

test: $(STAMP) ## run all tests, style and types among them (what CI runs)
	$(BIN)/python $(PYTEST)

test-fast: $(STAMP) ## run the tests that take a minute together
	$(BIN)/python $(PYTEST) -m 'not slow and not dist' --deselect tests/house/test_tools.py

.PHONY: look
look: $(STAMP) ## look at the pages in a browser: Chromium, playwright and axe-playwright-python
	TOOLKIT_LOOK=1 $(BIN)/python -m pytest -q tests/common/pages/test_in_browser.py \
	  tests/probing/reports/test_in_browser.py tests/slimp/reports/test_in_browser.py

.PHONY: fuzz
fuzz: $(STAMP) ## give all that reads files and options 100,000 changed inputs (FUZZ="--inputs 5000")
	PYTHONPATH=tests $(BIN)/python tests/fuzz.py $(FUZZ)

.PHONY: drill processes
drill: $(STAMP) ## end runs, fill disks, change stores: nothing may be lost (root, 15 minutes)
	$(BIN)/python benchmarks/drill.py

processes: $(STAMP) ## compare 1, 2, 3 and 4 processes in every kind of run (10 minutes)
	$(BIN)/python benchmarks/processes.py

test-min: $(VENV)-min/.installed ## run TESTS with the lowest supported versions of libraries
	$(VENV)-min/bin/python $(OTHERS) $(TESTS)

test-latest: $(VENV)-latest/.installed ## run TESTS with the newest versions of libraries
	$(VENV)-latest/bin/python $(OTHERS) $(TESTS)

$(VENV)-min/.installed: $(INPUTS) tests/versions/lowest.py
	rm -rf $(VENV)-min && $(PYTHON) -m venv $(VENV)-min
	$(VENV)-min/bin/python tests/versions/lowest.py > $(VENV)-min/constraints.txt
	$(VENV)-min/bin/python -m pip install -qq -c $(VENV)-min/constraints.txt $(EDITABLE) $(TEST_TOOLS)
	touch $@

$(VENV)-latest/.installed: $(INPUTS)
	rm -rf $(VENV)-latest && $(PYTHON) -m venv $(VENV)-latest
	$(VENV)-latest/bin/python -m pip install -qq $(EDITABLE) $(TEST_TOOLS)
	touch $@

coverage: $(STAMP) ## run all tests and print which lines they reach, processes of theirs included
	$(BIN)/coverage erase
	$(BIN)/coverage run $(PYTEST)
	$(BIN)/coverage combine -q
	$(BIN)/coverage report

bench: bench-step bench-probes ## measure steps and poolings in minutes, write benchmarks/results

bench-full: $(BENCHMARKS) ## run all benchmarks, which takes hours, and write benchmarks/results

bench-check: $(STAMP) ## measure steps again: fails where a ratio to the committed ones has risen
	$(BIN)/python benchmarks/check.py

gpu-check: $(STAMP) ## on a GPU: run what needs one, measure it, write the results
	$(BIN)/python benchmarks/gpu_check.py

bench-%: $(STAMP) ## run one benchmark: bench-NAME runs benchmarks/NAME.py (ARGS="--help")
	$(BIN)/python benchmarks/$(subst -,_,$*).py $(ARGS)

bench-slimp-ablation: $(STAMP) ## carry out studies/slimp-ablation.yaml from packaged weights
	$(WEIGHTS) && $(BIN)/toolkit study run studies/slimp-ablation.yaml --jobs $(CORES) $(START)

lint: $(STAMP) ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

type: $(STAMP) ## check types
	$(BIN)/mypy

format: $(STAMP) ## mend style
	$(BIN)/ruff check --fix -q .
	$(BIN)/ruff format -q .

check: lint type ## lint, type, then all other tests
	$(BIN)/python $(PYTEST) --deselect tests/house/test_tools.py

docs: $(STAMP) ## build the documentation site into site/, offline
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build -q

tutorial: $(STAMP) ## run docs/tutorial.md, put in what it prints, take the pictures (10 minutes)
	test -e runs/tutorial/lite0.pth || (mkdir -p runs/tutorial && \
	  cp "$$(PYTHONPATH=benchmarks $(BIN)/python -m lib.imagenet_weights)" runs/tutorial/lite0.pth)
	$(BIN)/python docs/make/tutorial.py runs/tutorial
	cd runs/tutorial && $(abspath $(BIN))/toolkit pretrain slimp --data csv:clinic/metadata.csv \
	  --backbone "timm:tf_efficientnet_lite0?image_size=96&weights=lite0.pth" --image-lr 1e-3 \
	  --epochs 12 --output runs/slimp
	$(BIN)/python docs/make/pictures.py runs/tutorial

wheels: $(STAMP) ## build the three wheels into dist/
	for package in common probing slimp; do \
	  $(BIN)/python -m build -q --wheel --outdir dist packages/$$package || exit 1; done

clean: ## delete the virtual environment, builds and caches
	rm -rf $(VENV) $(VENV)-min $(VENV)-latest dist site .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
	rm -rf packages/*/build packages/*/src/*.egg-info
