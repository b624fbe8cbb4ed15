#!/usr/bin/env bash
# Make a Debian bookworm arm64 root file system with Python 3.11 for scripts/arm64/run.sh: scripts/arm64/rootfs.sh FOLDER
#
# Takes about five minutes and 0.5 GB, once: each stage writes a stamp and is not repeated. Needs root and the packages
# that scripts/arm64/run.sh installs.
#
# SUITE=trixie   another Debian release
# ARCH=amd64     this machine's own architecture; nothing is emulated
set -euo pipefail

[ $# -eq 1 ] || { echo "usage: rootfs.sh FOLDER" >&2; exit 2; }
here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$1"
folder=$(cd "$1" && pwd)
root=$folder/rootfs
SUITE=${SUITE:-bookworm}
export ARCH=${ARCH:-arm64}
MIRROR=${MIRROR:-http://deb.debian.org/debian}

# stage NAME FUNCTION: run it once; its output is shown if it fails.
stage() {
    [ -e "$folder/$1.done" ] && return
    echo "$ARCH root file system: $1 ..." >&2
    "$2" >"$folder/$1.log" 2>&1 || { tail -20 "$folder/$1.log" >&2; echo "rootfs.sh: $1 failed; full log: $folder/$1.log" >&2; exit 1; }
    touch "$folder/$1.done"
}

unpack() {
    rm -rf --one-file-system "$root"
    debootstrap --foreign --arch="$ARCH" --variant=minbase "$SUITE" "$root" "$MIRROR"
}

settle() { "$here/enter.sh" "$root" /debootstrap/debootstrap --second-stage; }

# Copy this machine's certificates, because pip needs those of a proxy.
reach() {
    echo '127.0.0.1 localhost' >"$root/etc/hosts"
    cp --dereference /etc/resolv.conf "$root/etc/resolv.conf"
    mkdir -p "$root/etc/ssl/certs"
    cp --dereference /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/host.crt"
    printf '[global]\ncert = /etc/ssl/certs/host.crt\n' >"$root/etc/pip.conf"
}

python() {
    "$here/enter.sh" "$root" apt-get update -qq
    "$here/enter.sh" "$root" apt-get install -y -qq --no-install-recommends python3 python3-venv ca-certificates
}

stage unpack unpack
stage settle settle
stage reach reach
stage python python
echo "$root"
