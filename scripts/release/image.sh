#!/usr/bin/env bash
# Build a container image of edgehar: scripts/release/image.sh [--arch amd64|arm64] [--suite bookworm|trixie] [--slim]
#
# Writes dist/edgehar[-slim]_VERSION_ARCH.image.tar, an archive that podman and docker load. The image holds a minimal Debian,
# Python and the same environment as the Debian package; it runs as user 1000, with a read-only root. The wheel must be in dist/
# (scripts/release/wheels.sh). Needs root; buildah and mmdebstrap are installed with apt if missing. For another architecture
# only Debian's packages are configured under emulation.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { echo "usage: image.sh [--arch amd64|arm64] [--suite bookworm|trixie] [--slim]" >&2; exit 2; }
fail() { echo "image.sh: $1" >&2; exit 1; }

arch=$(dpkg --print-architecture) suite=bookworm slim='' extras='[web,notify,seal,sign]'
while [ $# -gt 0 ]; do
    case $1 in
    --arch) arch=${2:-}; shift 2 || usage ;;
    --suite) suite=${2:-}; shift 2 || usage ;;
    --slim) slim=-slim extras='[web,seal]'; shift ;;
    *) usage ;;
    esac
done
case $arch in amd64) machine=x86_64 ;; arm64) machine=aarch64 ;; *) usage ;; esac
case $suite in bookworm) python=3.11 ;; trixie) python=3.13 ;; *) usage ;; esac
[ "$(id -u)" -eq 0 ] || fail "needs root, to make a root file system"
wheels=(dist/edgehar-*"$machine.whl")
[ -e "${wheels[0]}" ] || fail "no wheel in dist/; run: scripts/release/wheels.sh $machine"

needs=()
for pair in buildah:buildah mmdebstrap:mmdebstrap; do command -v "${pair%%:*}" >/dev/null || needs+=("${pair#*:}"); done
[ ${#needs[@]} -eq 0 ] || { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${needs[@]}" >/dev/null; }

work=$PWD/build/image
rm -rf "$work/context"
mkdir -p "$work/context"
base=$work/root-$suite-$arch.tar
emulated=()
[ "$arch" = "$(dpkg --print-architecture)" ] || emulated=(scripts/pi/namespace.py)
if [ ! -e "$base" ]; then
    "${emulated[@]}" mmdebstrap --mode=root --architectures="$arch" --variant=essential --quiet \
        --include="python3,libstdc++6,ca-certificates,tzdata" --aptopt='APT::Install-Recommends "false"' \
        --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
        --customize-hook='echo "edgehar:x:1000:1000::/var/lib/edgehar:/usr/sbin/nologin" >>"$1/etc/passwd"' \
        --customize-hook='echo "edgehar:x:1000:" >>"$1/etc/group"' \
        --customize-hook='install -d -m 700 -o 1000 -g 1000 "$1/var/lib/edgehar"; install -d "$1/etc/edgehar"' \
        "$suite" "$work/part.tar" "${MIRROR:-http://deb.debian.org/debian}" 2>"$work/base.log" || { tail -5 "$work/base.log" >&2; fail "mmdebstrap failed; full log: $work/base.log"; }
    mv "$work/part.tar" "$base"
fi
ln "$base" "$work/context/root.tar"
cp scripts/release/healthcheck.py "$work/context/"
python3 scripts/release/environment.py --arch "$arch" --python "$python" ${slim:+--slim} "${wheels[0]}$extras" "$work/context/edgehar"

storage=(--root "$work/storage" --runroot "$work/run" --storage-driver vfs)
name=edgehar$slim version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
buildah "${storage[@]}" bud --isolation chroot --format docker --platform "linux/$arch" -f scripts/release/Containerfile \
    -t "localhost/$name:$version" "$work/context" >"$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2; fail "buildah failed; full log: $work/build.log"; }
archive=dist/${name}_${version}_$arch.image.tar
rm -f "$archive"
buildah "${storage[@]}" push -q "localhost/$name:$version" "docker-archive:$archive.part:localhost/$name:$version"
mv "$archive.part" "$archive"
rm -rf "$work/context"
ls -s --block-size=M "$archive"
