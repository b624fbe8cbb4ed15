#!/usr/bin/env bash
# Test a Debian package in a new root file system: scripts/release/test_deb.sh dist/edgehar_*_amd64.deb
#
# Needs root, and mmdebstrap (apt). The root file system is made once for each release and architecture, below build/deb.
# Packages of the other architecture run under emulation (scripts/pi/namespace.py, qemu-user-static).
set -euo pipefail
cd "$(dirname "$0")/../.."

[ $# -eq 1 ] && [ -f "$1" ] || { echo "usage: test_deb.sh PACKAGE.deb" >&2; exit 2; }
[ "$(id -u)" -eq 0 ] || { echo "test_deb.sh: needs root, to make a root file system" >&2; exit 1; }
arch=$(dpkg-deb -f "$1" Architecture)
suite=$(dpkg-deb -f "$1" Version)
suite=${suite##*+}
work=$PWD/build/deb
tar=$work/$suite-$arch.tar
emulated=()
[ "$arch" = "$(dpkg --print-architecture)" ] || emulated=(scripts/pi/namespace.py)
mkdir -p "$work"
if [ ! -e "$tar" ]; then
    "${emulated[@]}" mmdebstrap --mode=root --architectures="$arch" --variant=minbase --include=systemd,python3,libstdc++6,ca-certificates \
        --aptopt='APT::Install-Recommends "false"' --dpkgopt=force-unsafe-io --quiet "$suite" "$work/part.tar" "${MIRROR:-http://deb.debian.org/debian}" >&2
    mv "$work/part.tar" "$tar"
fi
root=$work/root
rm -rf --one-file-system "$root"
mkdir "$root"
trap 'rm -rf --one-file-system "$root"' EXIT
tar -xf "$tar" -C "$root" --exclude='./dev/*'
cp "$1" scripts/release/test_deb_inside.sh "$root/root/"
ARCH=$arch scripts/arm64/enter.sh "$root" sh /root/test_deb_inside.sh "/root/$(basename "$1")"
