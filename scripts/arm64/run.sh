#!/usr/bin/env bash
# Run the installed arm64 wheel on this machine, under qemu, and compare it with the x86-64 wheel:
#   scripts/arm64/run.sh [--cache FOLDER] [--report FILE.md] [--no-tests] [CLIP...]
#
# 1. Makes a Debian bookworm arm64 root file system (once; kept in FOLDER, by default ~/.cache/edgehar/arm64, 0.9 GB).
# 2. Builds both wheels with scripts/release/wheels.sh, the arm64 one by cross-compiling.
# 3. Installs each in a new virtual environment with the TFLite runtime and nothing else.
# 4. Runs the same work on both (scripts/arm64/probe.py: kernel, networks, `edgehar-run` on every CLIP), on arm64 with the
#    processors of a Raspberry Pi 4 and a Pi 5, and compares the results. Without a CLIP it uses a built-in scene.
# 5. Runs the tests of the device package (scripts/release/device_tests.txt) as a Pi 4, except tests with time limits.
#
# The report goes to standard output, and as Markdown to FILE.md. Exits with 1 if a result differs or a test fails. Needs
# root; on Debian and Ubuntu missing packages are installed. The first run takes about 20 minutes, others 15, most of
# them for the tests.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n 's/^#   //p' "$0" | head -1 >&2; exit 2; }
fail() { echo "run.sh: $1" >&2; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgehar/arm64 report='' tests=yes clips=()
while [ $# -gt 0 ]; do
    case $1 in
    --cache | --report) [ $# -ge 2 ] || usage; declare "${1#--}=$2"; shift ;;
    --no-tests) tests='' ;;
    -*) usage ;;
    *) [ -f "$1" ] || fail "$1: no such clip"; clips+=("$1") ;;
    esac
    shift
done
[ "$(uname -m)" = x86_64 ] || fail "this comparison needs an x86-64 machine; on arm64 use scripts/release/test_wheel.sh"
[ "$(id -u)" -eq 0 ] || fail "needs root, to make a root file system; run it with sudo or in a container"

missing=()
command -v qemu-aarch64-static >/dev/null || missing+=(qemu-user-static)
command -v debootstrap >/dev/null || missing+=(debootstrap)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "install ${missing[*]}"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

work=$PWD/build/arm64
root=$(scripts/arm64/rootfs.sh "$cache")
exec 9>"$cache/lock"
flock --nonblock 9 || fail "another run uses $cache"
scripts/release/wheels.sh x86_64 aarch64
rm -rf "$work"
mkdir -p "$work/shared"
cp -r build/wheels/source dist/*aarch64.whl scripts/arm64/probe.py "$work/shared"

sources=()
for clip in "${clips[@]}"; do
    cp "$clip" "$work/shared/"
    sources+=("$(basename "$clip")")
done
[ ${#sources[@]} -gt 0 ] || sources=('synthetic:walking?duration_s=4')

inside() { BIND="$work/shared:/shared" QEMU_CPU=$1 scripts/arm64/enter.sh "$root" "${@:2}"; }

echo "arm64: a new virtual environment ..." >&2
inside cortex-a72 bash -c 'rm -rf /venv && python3 -m venv /venv && /venv/bin/pip install -qq /shared/*.whl && /venv/bin/pip freeze --exclude edgehar >/shared/versions.txt'
"${PYTHON:-python3}" -m venv "$work/host"
"$work/host/bin/pip" install -qq dist/*x86_64.whl --constraint "$work/shared/versions.txt"

echo "arm64: comparing ..." >&2
(cd "$work/shared" && "$work/host/bin/python" probe.py here.npz "${sources[@]}" 2>"$work/host.log") || { cat "$work/host.log" >&2; exit 1; }
for processor in cortex-a72 cortex-a76; do
    inside "$processor" sh -c 'cd /shared && exec /venv/bin/python probe.py "$@"' sh "$processor.npz" "${sources[@]}" 2>"$work/$processor.log" ||
        { cat "$work/$processor.log" >&2; exit 1; }
    ! grep "cpuinfo" "$work/$processor.log" || fail "the TFLite runtime does not recognize the processor and runs without XNNPACK"
done
status=0
"$work/host/bin/python" scripts/arm64/compare.py "$work/shared/here.npz" \
    "Raspberry Pi 4 (Cortex-A72)=$work/shared/cortex-a72.npz" "Raspberry Pi 5 (Cortex-A76)=$work/shared/cortex-a76.npz" >"$work/report.md" || status=1

if [ -n "$tests" ]; then
    echo "arm64: tests of the device package ..." >&2
    # An emulated processor is about twenty times slower, so tests with time limits for a real one are left out.
    slow=(integration/test_demo.py::test_ctrl_c_keeps_the_video_and_says_130
        unit/sources/test_synthetic.py::test_real_time_skips_frames_that_nobody_fetched)
    inside cortex-a72 /venv/bin/pip install -qq pytest pytest-timeout hypothesis jsonschema
    inside cortex-a72 sh -c 'cd /shared/source && CI=1 exec /venv/bin/pytest -q -p no:cacheprovider "$@"' sh $(cat scripts/release/device_tests.txt) "${slow[@]/#/--deselect=tests/}" >"$work/tests.log" 2>&1 || status=1
    { echo '### Tests'; echo; sed -n '/short test summary info/,$p' "$work/tests.log" | sed 's/^=* \(.*[^=]\) *=*$/\1/'; } >>"$work/report.md"
fi

cat "$work/report.md"
[ -z "$report" ] || { cp "$work/report.md" "$report.tmp" && mv "$report.tmp" "$report"; }
exit $status
