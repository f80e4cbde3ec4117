#!/bin/sh
# Formatting, lint and types; changes nothing (`make format` does).
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh serve check
.venv/bin/ruff format --check .
.venv/bin/ruff check .
.venv/bin/mypy
