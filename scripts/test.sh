#!/bin/sh
# Runs the tests with the base dependencies and the extras `serve` and `test`, two files at a time; arguments go to
# pytest (`-n 0` for one at a time, with a debugger).
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh serve test
exec .venv/bin/python -m pytest -n 2 --dist loadfile "$@"
