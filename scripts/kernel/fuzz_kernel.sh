#!/bin/sh
# Drive the C kernel with random images under AddressSanitizer and UBSan; compare every value with a plain reference.
#
#     scripts/kernel/fuzz_kernel.sh [CASES]    (default: 1000000)
#     scripts/kernel/fuzz_kernel.sh FILE       run an input that failed again
#
# libFuzzer, which follows the branches of the code, runs CASES. The shipped builds (gcc -O3) run a quarter as many for
# each instruction set of the processor. The NEON code runs a twentieth, without sanitizers, if a cross compiler and qemu
# are installed. Needs gcc, and clang with libFuzzer (Debian: clang-14 libclang-rt-14-dev). Everything is built in a
# temporary folder; inputs that fail are kept in build/.
set -eu
cases=${1:-1000000}
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# build NAME HARNESS_FLAGS COMPILER FLAGS...; the harness is built without sanitizers to save time.
build() {
    folder="$work/$1"
    harness_flags=$2
    compiler=$3
    shift 3
    mkdir "$folder"
    "$compiler" -O2 -std=c11 -Wall -Wextra -I"$root/ext" $harness_flags -c "$root/scripts/kernel/fuzz_kernel.c" \
        -o "$folder/harness.o"
    for source in "$root"/ext/*.c; do
        name=$(basename "$source" .c)
        case $name in _* | stem) continue ;; esac
        "$compiler" -g -std=c11 -ffp-contract=off -Wno-psabi -fno-omit-frame-pointer "$@" -fno-sanitize-recover=all \
            -DAREA_NO_CLONES -Dmalloc=fuzz_malloc -Dcalloc=fuzz_calloc -Daligned_alloc=fuzz_aligned_alloc \
            -c "$source" -o "$folder/$name.o"
    done
    "$compiler" "$@" "$folder"/*.o -lm -o "$folder/fuzz"
}

clang=
for name in clang clang-19 clang-16 clang-14; do
    if [ -z "$clang" ] && command -v $name >/dev/null; then
        clang=$name
    fi
done
if [ -n "$clang" ]; then
    build libfuzzer '' "$clang" -O2 -fsanitize=fuzzer,address,undefined
    if [ -f "$cases" ]; then
        exec "$work/libfuzzer/fuzz" "$cases"
    fi
    mkdir -p "$work/corpus" "$root/build"
    "$work/libfuzzer/fuzz" -runs="$cases" -max_len=96 -len_control=0 -timeout=60 -entropic_scale_per_exec_time=1 \
        -rss_limit_mb=4096 -artifact_prefix="$root/build/" "$work/corpus" 2>"$work/log" || {
        grep -vE '^#|NEW_FUNC|^INFO' "$work/log" >&2
        exit 1
    }
    echo "libFuzzer ($clang -O2): $(grep -o 'Done .*' "$work/log") no finding"
else
    echo "clang is missing: skipped libFuzzer" >&2
fi

seed=1
for target in x86-64 x86-64-v3 x86-64-v4; do
    case $target in x86-64) needs=sse2 ;; x86-64-v3) needs=avx2 ;; x86-64-v4) needs=avx512vl ;; esac
    if grep -qw $needs /proc/cpuinfo; then
        build $target -DSTANDALONE gcc -O3 -march=$target -fsanitize=address,undefined
        echo "gcc -O3 -march=$target: $("$work/$target/fuzz" $((cases / 4)) $seed)"
    else
        echo "$target: not supported by this processor: skipped" >&2
    fi
    seed=$((seed + 1))
done

qemu=$(command -v qemu-aarch64 || command -v qemu-aarch64-static || true)
if [ -n "$qemu" ] && command -v aarch64-linux-gnu-gcc >/dev/null; then
    build arm64 -DSTANDALONE aarch64-linux-gnu-gcc -O3 -static
    echo "aarch64-linux-gnu-gcc -O3: $("$qemu" "$work/arm64/fuzz" $((cases / 20)) $seed)"
else
    echo "cross compiler or qemu is missing: skipped NEON" >&2
fi
