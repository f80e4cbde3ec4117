#!/bin/sh
# Describes the pedestrians of the bundled picture with the shipped models; needs no network once set up.
# Writes output/street.json and output/street_res.jpg.
set -eu
cd "$(dirname "$0")/.."
sh scripts/setup.sh
.venv/bin/passerby predict src/passerby/assets/street.jpg --save-path output "$@"
printf 'Look at output/street_res.jpg; output/street.json holds the same as data.\n' >&2
