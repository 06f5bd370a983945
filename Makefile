# Every target makes its environment by itself first: .venv has TensorFlow, .venv-jax has JAX and no TensorFlow.
# PYTHON may name an interpreter, 3.11 to 3.13.
PYTHON ?= $(shell for p in python3 python3.13 python3.12 python3.11 python; do \
	$$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' 2>/dev/null && echo $$p && break; done)
BIN := .venv/bin
PACKAGES := "import sysconfig; print(sysconfig.get_path('purelib'))"
INSTALL := -m pip install --quiet --disable-pip-version-check -c constraints.txt -e
PYTEST := -m pytest -n 2 --dist loadfile --no-loadscope-reorder
MAKEFLAGS += --jobs=2

.PHONY: demo serve check test test-jax campaigns lint loops bench fuzz kill

# Trains a captioner on drawn scenes, measures it on others, exports it, captions eight of them, and draws one picture
# of all released models, whose address is the last line: see saved_models/demo/.
demo: .venv/ready
	$(BIN)/python -m docs.demo

# The server and its page, with all released models, at http://127.0.0.1:8000/.
serve: .venv/ready
	$(BIN)/python -m tasks.serve

# While developing: everything but the slow tests.
check: lint loops
	$(BIN)/python $(PYTEST) -m "not slow and not campaign"

# Everything but campaigns, with the speech synthesis of the spoken corpora if it can be installed; its tests are skipped without it.
test: lint loops
	-$(BIN)/python $(INSTALL) '.[speech-synthesis]'
	$(BIN)/python $(PYTEST) -m "not campaign" --durations=15

# The tests that any backend passes, on JAX where there is no TensorFlow. Most of their time is compilation, which takes
# half as long without XLA's optimizations.
test-jax: .venv-jax/ready
	-.venv-jax/bin/python $(INSTALL) '.[speech-synthesis]'
	KERAS_BACKEND=jax JAX_DISABLE_MOST_OPTIMIZATIONS=1 .venv-jax/bin/python $(PYTEST) -m any_backend --durations=15

# The long tests: damaged files, wrong command lines, kills, a thousand images, released models, examples of the pages.
campaigns: .venv/ready
	$(BIN)/python $(PYTEST) -m campaign --durations=5

lint: .venv/ready
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/basedpyright

# Machine code of the recurrent loops, made on one core while the other lints: tests would wait for it.
loops: .venv/ready
	$(BIN)/python -c "from shared.native import passes, precompile; list(map(passes.compile_loops, precompile.CELLS))"

bench: .venv/ready
	$(BIN)/python -m tests.benchmarks.recurrent
	$(BIN)/python -m tests.benchmarks.growth
	$(BIN)/python -m tests.benchmarks.language_model
	$(BIN)/python -m tests.benchmarks.translator

# Campaigns of damaged files, wrong command lines and kills, in a temporary folder: see docs/reliability.md.
SEED := 1
fuzz: .venv/ready
	$(BIN)/python -m tests.robustness.files --count 30000 --seed $(SEED)
	$(BIN)/python -m tests.robustness.commands --count 500 --seed $(SEED)

kill: .venv/ready
	$(BIN)/python -m tests.robustness.kills --count 100 --seed $(SEED)

.venv/ready: EXTRAS := tensorflow,lint,test,serve,serving-api
.venv-jax/ready: EXTRAS := jax,test,serve
.venv/ready .venv-jax/ready: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11, 3.12 or 3.13 was not found; name one with PYTHON=..." >&2; exit 2; }
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python $(INSTALL) '.[$(EXTRAS)]'
	touch $@

# Of deploy/beam_infer.py: Apache Beam wants older packages than constraints.txt has. TensorFlow, of 2 GB, is that of .venv.
.venv-beam/ready: deploy/constraints.txt .venv/ready
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip install --quiet --disable-pip-version-check -c deploy/constraints.txt apache-beam
	$(BIN)/python -c $(PACKAGES) > $$($(@D)/bin/python -c $(PACKAGES))/tensorflow.pth
	touch $@
