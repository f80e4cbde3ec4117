#!/bin/sh
# Makes .venv with this package and its dependencies, once: a stamp file remembers what was asked for.
#   sh scripts/setup.sh             base dependencies
#   sh scripts/setup.sh test check  these extras too (see pyproject.toml)
# Uses uv when it is there, else Python's own venv and pip. PYTHON=... chooses another interpreter,
# VENV=... another folder; PINS="name==version ..." fixes versions (used by CI for the oldest allowed ones).
set -eu
cd "$(dirname "$0")/.."
PYTHON=${PYTHON:-python3}
VENV=${VENV:-.venv}
PINS=${PINS:-}
set -f # PINS may hold a star

fail() {
    printf 'setup: %s\n' "$*" >&2
    exit 1
}

command -v "$PYTHON" >/dev/null 2>&1 || fail "no $PYTHON here; on Debian: apt-get install python3 python3-venv"
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 10))' ||
    fail "Python 3.10 or newer is needed, $PYTHON is $("$PYTHON" -V); PYTHON=/path/to/python3 chooses another"

# The stamp holds everything that decides what is installed; extras installed before are kept.
wanted=$(printf '%s\n' "$@" | sort -u | sed '/^$/d')
state=$( ("$PYTHON" -c 'import sys; print(sys.prefix, sys.version)'; pwd; printf '%s\n' "$PINS"; cat pyproject.toml) | cksum)
stamp="$VENV/passerby-setup"
if [ -x "$VENV/bin/python" ] && [ -f "$stamp" ] && [ "$(head -n 1 "$stamp")" = "$state" ]; then
    have=$(tail -n +2 "$stamp")
    missing=$(for extra in $wanted; do printf '%s\n' "$have" | grep -qx "$extra" || echo "$extra"; done)
    [ -n "$missing" ] || exit 0
    wanted=$(printf '%s\n%s\n' "$have" "$wanted" | sort -u | sed '/^$/d')
fi
rm -f "$stamp"
version='import sys; print(sys.version)'
if [ -f "$VENV/pyvenv.cfg" ] && [ "$("$VENV/bin/python" -c "$version" 2>/dev/null)" != "$("$PYTHON" -c "$version")" ]; then
    rm -rf "$VENV" # made with another Python
fi
extras=$(printf '%s\n' "$wanted" | sed '/^$/d' | paste -sd, -)
target=".${extras:+[$extras]}"
printf 'setup: installing into %s (%s)\n' "$VENV" "${extras:-base}" >&2

if command -v uv >/dev/null 2>&1; then
    [ -x "$VENV/bin/python" ] || uv venv --quiet --python "$PYTHON" "$VENV"
    # shellcheck disable=SC2086  # PINS is a list of words
    uv pip install --quiet --python "$VENV/bin/python" --editable "$target" $PINS
else
    # Debian splits both modules off; a venv made without ensurepip would have no pip.
    "$PYTHON" -c 'import venv, ensurepip' 2>/dev/null ||
        fail "$("$PYTHON" -V) has no venv module; on Debian: apt-get install python3-venv"
    [ -x "$VENV/bin/pip" ] || "$PYTHON" -m venv "$VENV"
    # shellcheck disable=SC2086
    "$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$target" $PINS
fi
printf '%s\n%s\n' "$state" "$wanted" >"$stamp"
