#!/bin/sh
# Runs the tests that need the extras `train` and `synthesis`, in an environment of its own; arguments go to pytest.
# PINS="torch==..." chooses a build of torch: left alone, pip takes one of several gigabytes, for graphics cards.
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv-train}
export VENV
sh scripts/setup.sh test train synthesis
# shellcheck disable=SC2046  # one word a file
exec "$VENV/bin/python" -m pytest $(grep -lE 'importorskip\("(torch|numba)"\)' tests/*.py) "$@"
