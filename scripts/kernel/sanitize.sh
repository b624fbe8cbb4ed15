#!/bin/sh
# Run FrameRing's tests with the extension built under AddressSanitizer and UndefinedBehaviorSanitizer.
#
#     scripts/kernel/sanitize.sh [PYTEST ARGUMENTS]
#
# Builds once for each instruction set of the processor, without run-time dispatch, so that exactly that code is tested.
# Needs gcc with its sanitizers, Python with venv and headers, and a package index. Everything is built in a temporary
# folder. PYTHON names another interpreter than python3.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sanitizers="-fsanitize=address,undefined -fno-sanitize-recover=all"

mkdir "$work/tree"
tar -C "$root" --exclude='*.so' --exclude='ext/_*.c' --exclude=__pycache__ --exclude='*.egg-info' \
    -c pyproject.toml README.md LICENSE edgehar ext models training tests | tar -C "$work/tree" -x
cd "$work/tree"
"${PYTHON:-python3}" -m venv "$work/venv"
bin="$work/venv/bin"
"$bin/pip" install -q --disable-pip-version-check 'setuptools>=77' 'Cython>=3.1' 'numpy>=1.26' 'pytest>=8.2' \
    'pytest-timeout>=2.3' 'hypothesis>=6.100' .

builds=baseline
if grep -qw avx2 /proc/cpuinfo; then
    builds="$builds x86-64-v3"
fi
if grep -qw avx512vl /proc/cpuinfo; then
    builds="$builds x86-64-v4"
fi
summary=
failed=0
for build in $builds; do
    flags="-g -fno-omit-frame-pointer -DAREA_NO_CLONES $sanitizers"
    if [ "$build" != baseline ]; then
        flags="$flags -march=$build"
    fi
    rm -rf build
    CFLAGS="$flags" LDFLAGS="$sanitizers" "$bin/pip" install -q --disable-pip-version-check --no-build-isolation \
        --no-deps --force-reinstall .
    kernel=$(cd / && "$bin/python" -c 'from importlib.util import find_spec; print(find_spec("edgehar._ring").origin)')
    if ! nm -D "$kernel" | grep -q __asan_report || ! nm -D "$kernel" | grep -q __ubsan_handle; then
        echo "$kernel was built without the sanitizers" >&2
        exit 1
    fi
    echo "== $build: $flags"
    # Python is not instrumented, so the sanitizers' libraries are preloaded. Leak detection is off, because
    # Python does not free all memory. Every object gets its own allocation, so that ASan sees its bounds.
    status=0
    LD_PRELOAD="$(gcc -print-file-name=libasan.so) $(gcc -print-file-name=libubsan.so)" \
        ASAN_OPTIONS=detect_leaks=0:abort_on_error=1:allocator_may_return_null=1 UBSAN_OPTIONS=print_stacktrace=1 \
        PYTHONMALLOC=malloc PYTHONDONTWRITEBYTECODE=1 \
        "$bin/pytest" -q -p no:cacheprovider -p no:faulthandler --capture=sys tests/unit/ring/ "$@" || status=$?
    if [ $status -eq 0 ]; then
        summary="$summary$build: no finding\n"
    else
        summary="$summary$build: FAILED\n"
        failed=1
    fi
done
printf "\nsanitize: AddressSanitizer and UBSan, FrameRing's tests\n$summary"
exit $failed
