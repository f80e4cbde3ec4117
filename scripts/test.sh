#!/bin/sh
# Runs the tests with the base dependencies and the extras `serve` and `test`; arguments go to pytest.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh serve test
exec .venv/bin/python -m pytest "$@"
