#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Builds deploy/Dockerfile and runs the image as a container engine would, on a machine that has none: read-only root,
# user without a name or a home, no capabilities, no network but loopback, limits of memory and processes. Asks it,
# ends it by SIGTERM, prints figures. In place of the official Python image stands Debian's own Python of that release.
# Where systemd-nspawn is (package systemd-container), the systemd unit is then started by a real systemd.
#   apt-get install debootstrap buildah runc systemd-container && sh scripts/clean_root.sh
# As root. The first run takes some minutes; the base and the image stay with buildah (buildah images).
set -eu
cd "$(dirname "$0")/.."
RELEASE=trixie
BASE=localhost/passerby-base:$RELEASE
IMAGE=localhost/passerby:clean-root

fail() {
    printf 'clean_root: %s\n' "$*" >&2
    exit 1
}

[ "$(id -u)" -eq 0 ] || fail "root is needed: it makes a root folder of its own and namespaces"
for tool in debootstrap buildah runc; do
    command -v $tool >/dev/null 2>&1 || fail "no $tool here; on Debian: apt-get install debootstrap buildah runc"
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

make_base() {
    printf 'clean_root: making the base from Debian %s\n' "$RELEASE" >&2
    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates $RELEASE "$work/base" \
        >"$work/debootstrap" || fail "debootstrap: $(tail -n 1 "$work/debootstrap")"
    rm -rf "$work/base/var/cache/apt/archives" "$work/base/var/lib/apt/lists"
    container=$(buildah from scratch)
    buildah add -q "$container" "$work/base" / >/dev/null
    buildah commit -q --rm "$container" $BASE >/dev/null
    rm -rf "$work/base"
}
buildah inspect --type image $BASE >/dev/null 2>&1 || make_base

# The build asks the package registry as this machine does: its configuration of pip and the certificates that needs.
set --
for file in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do
    [ ! -f $file ] || set -- "$@" --volume "$file:$file:ro"
done
printf 'clean_root: building deploy/Dockerfile\n' >&2
buildah build "$@" --isolation chroot --format docker --layers --build-arg PYTHON_IMAGE=$BASE \
    --ignorefile deploy/Dockerfile.dockerignore --file deploy/Dockerfile --tag $IMAGE . >"$work/build" 2>&1 ||
    { tail -n 20 "$work/build" >&2; fail "the build failed"; }

image=$(buildah from --pull=never $IMAGE)
system=
trap 'buildah rm "$image" $system >/dev/null; rm -rf "$work"' EXIT
buildah inspect --type image $IMAGE >"$work/image.json"
python3 scripts/clean_root.py "$(buildah mount "$image")" "$work"

command -v systemd-nspawn >/dev/null 2>&1 || exit 0
printf 'clean_root: the systemd unit\n' >&2
SYSTEM=localhost/passerby-systemd:$RELEASE
make_system() {
    system=$(buildah from --pull=never $BASE)
    buildah run --isolation chroot "$system" -- sh -c 'apt-get update -q && apt-get install -y -q systemd-sysv' \
        >"$work/apt" 2>&1 || { tail -n 5 "$work/apt" >&2; fail "apt-get failed"; }
    buildah commit -q --rm "$system" $SYSTEM >/dev/null
}
buildah inspect --type image $SYSTEM >/dev/null 2>&1 || make_system
system=$(buildah from --pull=never $SYSTEM)
root=$(buildah mount "$system")
cp -a "$(buildah mount "$image")/opt/passerby" "$root/opt/"
python3 scripts/clean_unit.py "$root"
