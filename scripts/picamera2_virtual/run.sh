#!/usr/bin/env bash
# Test edgehar's source for camera modules with the real picamera2 and libcamera, without a camera:
#   scripts/picamera2_virtual/run.sh [--cache FOLDER] [WHEEL]
#
# 1. Makes a Debian trixie amd64 root file system with Debian's libcamera and PyPI's picamera2 (once, in about five
#    minutes; kept in FOLDER, by default ~/.cache/edgehar/picamera2, 1.5 GB).
# 2. Installs the WHEEL there; by default scripts/release/wheels.sh builds one.
# 3. Lets libcamera's virtual camera show pictures of a walking figure, reads it with open_source("picamera2:0") and with
#    edgehar-run, and compares the result with the pictures (scripts/picamera2_virtual/check.py).
#
# Real: edgehar as installed, its network included; picamera2's configuring, its event loop, requests, MappedArray and
# default allocator; libcamera's configuring, streams (main and lores), requests and time stamps.
# Adapted, because the virtual camera is not a Raspberry Pi's (picamera2_virtual/adapter.py says how): sensor modes are made
# up; frames are paced, at 100 a second; NV12, the only format it has, becomes YUV420 in the library's buffer before our
# source maps it; libcamera is given two planes per buffer. Plain memory replaces DMA buffers (picamera2_virtual/dma_heap.c),
# and an empty module for pykms. Fresh memory is zeroed (glibc.malloc.perturb): libcamera 0.4's virtual camera leaves the
# status of a buffer unset, and picamera2 would discard frames for it.
# Not reached: rows padded beyond the width, a lores stream smaller than main, scaling and controls of real hardware, real
# DMA buffers, and arm64.
#
# Prints "all checks passed" and exits with 0, else with 1. Needs root; on Debian and Ubuntu debootstrap is installed.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n 's/^#   //p' "$0" | head -1 >&2; exit 2; }
fail() { echo "run.sh: $1" >&2; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgehar/picamera2 wheel=''
while [ $# -gt 0 ]; do
    case $1 in
    --cache) [ $# -ge 2 ] || usage; cache=$2; shift ;;
    -*) usage ;;
    *) [ -f "$1" ] || fail "$1: no such wheel"; wheel=$1 ;;
    esac
    shift
done
[ "$(uname -m)" = x86_64 ] || fail "needs an x86-64 machine"
[ "$(id -u)" -eq 0 ] || fail "needs root, to make a root file system; run it with sudo or in a container"
command -v debootstrap >/dev/null || {
    command -v apt-get >/dev/null || fail "install debootstrap"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends debootstrap >/dev/null
}

export ARCH=amd64 SUITE=trixie
mkdir -p "$cache"
exec 9>"$cache/lock"
flock --nonblock 9 || fail "another run uses $cache"
root=$(scripts/arm64/rootfs.sh "$cache")
enter=$PWD/scripts/arm64/enter.sh
packages=(python3-libcamera python3-numpy python3-prctl python3-pil python3-av python3-jsonschema python3-tqdm python3-dev gcc libc6-dev)

install() {
    "$enter" "$root" apt-get install -y -qq --no-install-recommends "${packages[@]}" &&
        "$enter" "$root" python3 -m venv --system-site-packages /opt/edgehar &&
        "$enter" "$root" /opt/edgehar/bin/pip install -q picamera2
}
if [ ! -e "$cache/picamera2.done" ]; then
    echo "picamera2_virtual: installing libcamera and picamera2 ..." >&2
    install >"$cache/picamera2.log" 2>&1 || { tail -20 "$cache/picamera2.log" >&2; fail "the installation failed; full log: $cache/picamera2.log"; }
    touch "$cache/picamera2.done"
fi

if [ -z "$wheel" ]; then
    scripts/release/wheels.sh x86_64 >&2
    wheel=$(ls dist/edgehar-*x86_64.whl)
fi
work=$PWD/build/picamera2_virtual
rm -rf "$work"
mkdir -p "$work"
cp -r scripts/picamera2_virtual/. "$wheel" "$work/"

inside() { BIND="$work:/shared $work/virtual.yaml:/usr/share/libcamera/pipeline/virtual/virtual.yaml" "$enter" "$root" "$@"; }

inside sh -c '/opt/edgehar/bin/pip install -q --force-reinstall --no-deps /shared/*.whl && /opt/edgehar/bin/pip install -q /shared/*.whl'
inside gcc -shared -fPIC -O2 -Wall -Wextra -o /shared/dma_heap.so /shared/dma_heap.c
inside /opt/edgehar/bin/python /shared/pictures.py /shared/pictures
inside env PYTHONPATH=/shared:/shared/stub LIBCAMERA_LOG_LEVELS='*:ERROR' LD_PRELOAD=/shared/dma_heap.so \
    GLIBC_TUNABLES=glibc.malloc.perturb=255:glibc.malloc.tcache_count=0 /opt/edgehar/bin/python /shared/check.py /shared/pictures
