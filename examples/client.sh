#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Describe one picture by the service, with curl; writes the picture with boxes beside it.
#   sh examples/client.sh PICTURE [ADDRESS]
# KEY_FILE=FILE names a file with the API key. curl itself waits as long as Retry-After says after 429 and 503.
set -eu
picture=${1:?a picture is needed: sh examples/client.sh PICTURE [ADDRESS]}
address=${2:-http://127.0.0.1:8080}/pedestrian-attribute-recognition

# The key goes through a pipe and not through an argument, which everybody on the machine can read.
ask() {
    if [ -n "${KEY_FILE:-}" ]; then
        printf 'header = "Authorization: Bearer %s"\n' "$(cat "$KEY_FILE")"
    fi | curl --config - --silent --show-error --fail-with-body --max-time 60 --retry 100 --retry-max-time 120 \
        --retry-connrefused "$@"
}

ask --form "image=@$picture" --form labels=en --form visualize=false "$address"
echo
ask --form "image=@$picture" --form output=image --output "${picture%.*}_res.jpg" "$address"
printf 'boxes: %s\n' "${picture%.*}_res.jpg" >&2
