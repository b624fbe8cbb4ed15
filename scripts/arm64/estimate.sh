#!/usr/bin/env bash
# Estimate the cost of a frame on a Raspberry Pi 4 and 5 from the instructions that qemu counts on this machine:
#   scripts/arm64/estimate.sh [--cache FOLDER] [--report FILE.md] [--peer FILE.tflite=MS]...
#
# Run scripts/arm64/run.sh first: it makes the arm64 system in FOLDER and installs the wheel there. For each workload, qemu
# logs every instruction of our library (or of the TFLite runtime), and llvm-mca computes the cycles that they take on
# the processor's units (scripts/arm64/cycles.py). The time to read a frame from memory once is added.
# --peer checks the method with a network whose time on a Pi 4 with four threads is published, MS milliseconds. The gain of
# four threads is extrapolated from the gain of two on this machine.
#
# All assumptions about the boards are in scripts/arm64/estimate.py. Needs root; installs llvm-19 if it is missing.
# Takes about 10 minutes, twice as long with two peers, and up to 3 GB under build/.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { sed -n 's/^#   //p' "$0" | head -1 >&2; exit 2; }
fail() { echo "estimate.sh: $1" >&2; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/edgehar/arm64 report='' peers=()
while [ $# -gt 0 ]; do
    [ $# -ge 2 ] || usage
    case $1 in
    --cache | --report) declare "${1#--}=$2" ;;
    --peer) [ -f "${2%=*}" ] && [[ $2 == *=* ]] || usage; peers+=("$2") ;;
    *) usage ;;
    esac
    shift 2
done
root=$cache/rootfs
[ -x "$root/venv/bin/edgehar-run" ] && [ -x build/arm64/host/bin/python ] || fail "$root or build/arm64 has no edgehar; run scripts/arm64/run.sh first"
export LLVM_VERSION=${LLVM_VERSION:-19}
if ! command -v "llvm-mca-$LLVM_VERSION" >/dev/null; then
    [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null || fail "install llvm-$LLVM_VERSION"
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "llvm-$LLVM_VERSION" >/dev/null
fi

work=$PWD/build/arm_estimate
rm -rf "$work"
mkdir -p "$work"
cp scripts/arm64/workload.py "$work"

# run_inside PROCESSOR COMMAND...: qemu takes its log settings from the caller's environment.
run_inside() { BIND="$work:/job" QEMU_CPU=$1 scripts/arm64/enter.sh "$root" "${@:2}"; }

# estimate PROCESSOR MODEL LIBRARY WORK...: one line of JSON in $work/results.
estimate() {
    local processor=$1 model=$2 ranges mark now
    shift 2
    echo "estimating: $processor: ${*:2}" >&2
    # The addresses of libraries are known only after loading; they stay the same in the next run.
    read -r ranges mark < <(run_inside "$processor" /venv/bin/python /job/workload.py "$@" 2>/dev/null)
    now=$(QEMU_LOG=in_asm,exec,nochain QEMU_LOG_FILENAME=/job/log QEMU_DFILTER=$ranges \
        run_inside "$processor" /venv/bin/python /job/workload.py "$@" 2>/dev/null)
    [ "$now" = "$ranges $mark" ] || fail "the libraries moved; run again"
    "${PYTHON:-python3}" scripts/arm64/cycles.py "$model" "$work/log" "$mark" >"$work/one.json"
    rm "$work/log"
    printf '{"processor": "%s", "work": "%s", "result": %s}\n' "$processor" "${*:2}" "$(cat "$work/one.json")" >>"$work/results"
}

pis() { estimate cortex-a72 cortex-a72 "$@" && estimate cortex-a76 neoverse-n1 "$@"; }

for frame in 'BGR24 160 120' 'BGR24 640 480' 'BGR24 1280 720' 'BGR24 1920 1080' 'I420 640 480' 'NV12 640 480' 'YUYV 640 480'; do
    read -r -a words <<<"$frame"
    pis _ring.abi3.so frame "${words[@]}"
done
shares=()
runtime=libpywrap_litert_common.so
pis $runtime bundle fight encoder
pis $runtime bundle fight head
for peer in "${peers[@]}"; do
    cp "${peer%=*}" "$work/"
    pis $runtime model "/job/$(basename "${peer%=*}")"
    shares+=("$peer=$(build/arm64/host/bin/python scripts/arm64/scaling.py "${peer%=*}" 2>/dev/null)")
done
"${PYTHON:-python3}" scripts/arm64/estimate.py "$work/results" "${shares[@]}" >"$work/report.md"
cat "$work/report.md"
[ -z "$report" ] || { cp "$work/report.md" "$report.tmp" && mv "$report.tmp" "$report"; }
