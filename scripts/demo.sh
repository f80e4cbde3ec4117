#!/bin/sh
# Describes the pedestrians of the bundled picture with the shipped models; needs no network once set up.
# Writes output/street.json and output/street_res.jpg.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
exec .venv/bin/passerby --input src/passerby/assets/street.jpg --save_path output "$@"
