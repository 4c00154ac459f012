# make demo: see it work. make test: every check. Neither needs anything prepared.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# What is compared with Debian's peers runs on Debian's Python, as the package does.
DEBIAN := .venv-debian
DEBIAN_PYTHON := $(firstword $(wildcard /usr/bin/python3.1[1-9]) $(PYTHON))
SEED ?= 1
# Mostly waiting, and indifferent to what else runs: two at a time. The others measure, or keep both processors busy.
WAITING := tests/acceptance tests/kills tests/powercut tests/stateful
ALONE := $(addprefix tests/acceptance/test_,crowd.py capacity.py extremes.py)

.PHONY: demo test torture bench bench-faults docs lock clean

demo: $(READY) nginx
	$(BIN)/python -m tests.demo

test: $(READY) nginx fuse
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2 --dist worksteal $(WAITING) $(ALONE:%=--ignore=%)
	$(BIN)/pytest $(ALONE)
	$(BIN)/pytest $(WAITING:%=--ignore=%)

# Hundreds of kills and power cuts, and long random lives of the queue; prints its figures. About half an hour.
torture: $(READY) fuse
	$(BIN)/python -m tests.kills --kills 400 --seed $(SEED)
	$(BIN)/python -m tests.powercut --cuts 200 --seed $(SEED)
	TORTURE_EXAMPLES=300 $(BIN)/pytest -s tests/stateful

# bitsd beside its peers, row by row: writes docs/performance.md and its chart. About half an hour and 24 GiB of disk.
# A few rows, nothing written: .venv-debian/bin/python -m tests.benchmarks --only plain,tls --runs 3
bench: $(DEBIAN)/.ready nginx peers
	$(DEBIAN)/bin/pytest -m benchmark tests/benchmarks
	$(DEBIAN)/bin/python -m tests.benchmarks --write

# Who publishes a wrong file? Writes docs/faults.md and the table in README.md; some minutes.
bench-faults: $(READY) peers
	$(BIN)/python -m tests.benchmarks.faults

# Documents made from the code: the state diagram and the OpenAPI document.
docs: $(READY)
	$(BIN)/python docs/generate.py

# Pin what pyproject.toml asks for, for every platform; needs uv.
lock:
	uv pip compile --universal --python-version 3.11 --generate-hashes --no-header --no-emit-index-url --no-emit-find-links \
		--group dev pyproject.toml packaging/build.in -o requirements.lock

clean:
	rm -rf $(VENV) $(DEBIAN) .demo dist

$(READY): pyproject.toml requirements.lock
	$(call environment,$(PYTHON),$(VENV))

$(DEBIAN)/.ready: pyproject.toml requirements.lock
	$(call environment,$(DEBIAN_PYTHON),$(DEBIAN))

define environment
	$(1) -m venv $(2) || { [ "$$(id -u)" = 0 ] && apt-get update -q && apt-get install -y -q python3-venv && $(1) -m venv $(2); }
	$(2)/bin/pip install -q --disable-pip-version-check --require-hashes -r requirements.lock
	$(2)/bin/pip install -q --disable-pip-version-check --no-build-isolation --no-deps -e .
	touch $(2)/.ready
endef

# A real web server: Debian's, when we may install it. The demo does without; the tests of `make test` need it.
.PHONY: nginx fuse peers
nginx:
	@command -v nginx >/dev/null || [ -x /usr/sbin/nginx ] || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends nginx-light >/dev/null; } || \
		echo "nginx is not installed and cannot be installed without root"

# The model of a disk that loses power is a file system in user space.
fuse:
	@command -v fusermount3 >/dev/null || { [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null && \
		apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends fuse3 libfuse3-3 >/dev/null; } || \
		echo "fuse3 is not installed and cannot be installed without root"

peers:
	@(for tool in aria2c curl openssl wget wget2; do command -v $$tool >/dev/null || exit 1; done) || { [ "$$(id -u)" = 0 ] && \
		apt-get update -q >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends aria2 curl openssl wget wget2 >/dev/null; }
