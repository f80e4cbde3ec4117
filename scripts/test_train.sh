#!/bin/sh
# Runs the tests that need the extra `train`, in an environment of its own; arguments go to pytest.
# PINS="torch==..." chooses a build of torch: left alone, pip takes one of several gigabytes, for graphics cards.
set -eu
cd "$(dirname "$0")/.."
VENV=${VENV:-.venv-train}
export VENV
sh scripts/setup.sh test train
# shellcheck disable=SC2046  # one word a file
exec "$VENV/bin/python" -m pytest $(grep -l 'importorskip("torch")' tests/*.py) "$@"
