# The commands of this project. `just` lists them; `.ci/run` runs `just setup` and `just ci` in a fresh environment.
# They use the tools of the active virtual environment.

set shell := ["bash", "-euo", "pipefail", "-c"]

# What installs packages; `.ci/run` tries uv first, which takes a quarter of pip's time
installer := "pip install"

# List the commands
default:
    @just --list --unsorted

# Install genbench in editable mode, with all development tools in the tested versions
setup:
    {{installer}} -c constraints.txt -e ".[dev]"

# Run the tests except the slow ones; arguments go to pytest: just test tests/stats
test *arguments:
    pytest {{arguments}}

# Run the tests, including the slow ones
test-all *arguments:
    pytest -m "" {{arguments}}

# Install the packages in plugins/ and the libraries that they use, then run their tests, except those on clusters
test-plugins:
    {{installer}} -c constraints.txt --no-deps pythae pydantic pydantic_core annotated-types typing-inspection torchgan
    {{installer}} -c constraints.txt diffusers
    {{installer}} -c constraints.txt -c plugins/genbench-trackers/constraints.txt tensorboard mlflow-skinny wandb
    {{installer}} "setuptools>=77"
    {{installer}} --no-build-isolation --no-deps $(printf -- '-e %s ' plugins/genbench-*/)
    OMP_NUM_THREADS=1 pytest -m "" tests/plugins/test_known_packages.py $(ls -d plugins/genbench-*/ | grep -v -e genbench-ray -e genbench-slurm)

# Run the tests of the executors for clusters on a Ray cluster and, where it is installed, a SLURM cluster on this machine
test-clusters:
    {{installer}} -c constraints.txt ray submitit
    {{installer}} "setuptools>=77"
    {{installer}} --no-build-isolation --no-deps -e plugins/genbench-ray -e plugins/genbench-slurm
    OMP_NUM_THREADS=1 pytest -m "" -n 0 plugins/genbench-ray plugins/genbench-slurm

# Run the tests of processes, locks, limits and interrupted runs with the means that every system has
test-portable *arguments:
    GENBENCH_PORTABLE=1 pytest -m "" {{arguments}} tests/system tests/process tests/cell/test_turn.py \
        tests/data/test_loading.py tests/measure/test_memory.py tests/results/test_cache.py tests/results/test_store.py \
        tests/runner/jobs tests/runner/test_pool.py tests/runner/test_local_executor.py tests/runner/test_executor_process.py \
        tests/runner/test_interrupted.py tests/runner/test_both_means.py

# Run each benchmark once, to see that it works
benchmarks:
    pytest benchmarks

# Look for faults at random: damaged files, kills, full disks, bad images and plugins; `just campaign 3600` for an hour
campaign seconds="300":
    python tests/campaign/campaign.py --seconds {{seconds}}

# Write the board of the committed results to site/
board *arguments:
    genbench board results/reference --out site {{arguments}}

# Build and check wheels and source distributions of genbench and of the packages in plugins/, in dist/
build:
    rm -rf dist build/sources
    python scripts/copy_published_sources.py build/sources
    for package in build/sources build/sources/plugins/genbench-*/; do python -m build --outdir dist "$package"; done
    twine check --strict dist/*
    check-wheel-contents dist/*.whl

# List what an installation of the wheel in dist/ contains (CycloneDX), in build/genbench.cdx.json
sbom:
    python -m venv --clear build/installed
    build/installed/bin/pip install dist/genbench-[0-9]*.whl
    cyclonedx-py environment --output-reproducible --of JSON -o build/genbench.cdx.json build/installed

# Run the tests with the oldest dependencies that pyproject.toml allows
oldest:
    uv pip install --resolution lowest-direct -r pyproject.toml --extra test
    uv pip install --no-deps -e .
    pytest

# Check style, formatting, the direction of imports, the security of workflows, and spelling
lint:
    ruff check .
    ruff format --check .
    lint-imports
    zizmor --offline --quiet .github action.yml
    codespell .

# Check types
types:
    mypy
    mypy --config-file benchmarks/mypy.ini

# Write the generated pages again, then test the documentation
docs:
    python scripts/write_reference.py
    python scripts/write_conformance.py
    python scripts/write_errors.py
    python scripts/write_gpu_page.py
    python scripts/write_hooks.py
    pytest tests/docs

# Build the documentation site in build/site/ from the Markdown files; every warning is an error
site:
    sphinx-build -q -W --keep-going -b html -c docs/site . build/site
    cp docs/site/start.html build/site/index.html

# Run everything that a change must pass
ci: _short (test-all "--durations=15") (test-portable "-m 'not slow'") test-plugins

# Two parallel halves of one processor each: the campaign takes two minutes, the checks together about as long
[parallel]
_short: _checks _trials

_checks: lint types site board

_trials: (campaign "120") benchmarks
