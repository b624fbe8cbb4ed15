#!/usr/bin/env bash
# Test a built wheel as users install it: scripts/release/test_wheel.sh [--only LABEL] WHEEL
#
# The tests of what a wheel may get wrong, its compiled parts, its files and the runtime below it, and one lesson on the
# pages from its first label to the takeover (scripts/release/device_tests.txt). They run in new virtual environments
# outside the source tree, without TensorFlow, with each pair of runtime and numpy that users have:
#
#   py3.11, py3.12, py3.13    ai-edge-litert and numpy 2, with each of these Pythons that is installed
#   tflite-runtime            tflite-runtime 2.14 and numpy 1.26, with Python 3.11
#
# The last one also checks the messages for pairs that do not work, and the choice if both runtimes are installed.
# --only runs one of these; PYTHONS="python3.11 /opt/py/bin/python3.13" names Pythons that are not on PATH.
set -euo pipefail
cd "$(dirname "$0")/../.."

usage() { echo "usage: scripts/release/test_wheel.sh [--only py3.11|py3.12|py3.13|tflite-runtime] WHEEL" >&2; exit 2; }
fail() { echo "test_wheel.sh: $1" >&2; exit 1; }

only=''
if [ "${1:-}" = --only ]; then only=${2:-} && shift 2; fi
[ $# -eq 1 ] && [ -f "$1" ] || usage
wheel=$(realpath "$1")
work=$PWD/build/test_wheel
read -r -a device_tests <<<"$(tr '\n' ' ' <scripts/release/device_tests.txt)"
tools=(pytest pytest-timeout pytest-xdist hypothesis jsonschema playwright)

# python_of 3.12: the first Python of that version that runs.
python_of() {
    local name
    for name in ${PYTHONS:-} "python$1" "$HOME"/.pyenv/versions/"$1".*/bin/python3; do
        if "$name" -c "import sys, ensurepip; sys.exit(f'{sys.version_info[0]}.{sys.version_info[1]}' != '$1')" 2>/dev/null; then
            echo "$name"
            return
        fi
    done
    return 1
}

# fresh LABEL PYTHON REQUIREMENT...: a new virtual environment in $venv.
fresh() {
    venv=$work/$1
    rm -rf "$venv"
    mkdir -p "$work"
    "$2" -m venv "$venv"
    "$venv/bin/pip" install -qq "${@:3}" "${tools[@]}"
    # Run outside the source tree, because an installed package must not depend on it.
    (cd "$work" && "$venv/bin/python" - <<'PYTHON'
import importlib.util, sys, edgehar, edgehar._ring, edgehar.model.runtime, numpy
for module in ("tensorflow", "keras"):
    assert importlib.util.find_spec(module) is None, f"{module} is installed; a device does not have it"
for module in (edgehar, edgehar._ring):
    assert module.__file__.startswith(sys.prefix) and "site-packages" in module.__file__, module.__file__
runtime = edgehar.model.runtime.load_runtime()
print(f"Python {sys.version.split()[0]}, numpy {numpy.__version__}, {runtime.package} {runtime.version}, {edgehar._ring.__file__}")
PYTHON
    )
}

# CI=1 makes the tests refuse any edgehar other than the installed one.
run_tests() { CI=1 "$venv/bin/pytest" -q -p no:cacheprovider --numprocesses 2 --dist loadfile "${device_tests[@]}"; }

# says CODE TEXT: check exit code and output of `edgehar-run` in $venv.
says() {
    local code=0 said
    said=$(cd "$work" && "$venv/bin/edgehar-run" --source 'synthetic:walking?duration_s=2' --model actions-synthetic 2>&1) || code=$?
    [ "$code" -eq "$1" ] && [[ $said == *"$2"* ]] && [[ $said != *Traceback* ]] ||
        fail "edgehar-run in $venv exited with $code and printed: $said; expected $1 and: $2"
    echo "exit $code: ${said:0:160}"
}

test_litert() {
    fresh "py$1" "$2" "$wheel[web]"
    run_tests
}

test_tflite_runtime() {
    # As in docs/install.md: the extra installs the older runtime and numpy 1; the newer runtime stays unless removed.
    EDGEHAR_RUNTIME=tflite-runtime fresh tflite-runtime "$1" "$wheel[tflite-runtime,web]"
    "$venv/bin/python" -c 'import numpy; assert numpy.__version__.startswith("1.26.")'
    EDGEHAR_RUNTIME=tflite-runtime run_tests
    echo "both runtimes, numpy 1: ai-edge-litert is used unless the variable names the other"
    chosen ai-edge-litert
    EDGEHAR_RUNTIME=tflite-runtime chosen tflite-runtime
    echo "both runtimes, numpy 2: ai-edge-litert works, and tflite-runtime is refused"
    "$venv/bin/pip" install -qq 'numpy>=2' 2>/dev/null
    chosen ai-edge-litert
    says 0 '"type":"prediction"'
    EDGEHAR_RUNTIME=tflite-runtime says 1 "run: pip install 'numpy<2'"
    echo "tflite-runtime alone, numpy 2"
    "$venv/bin/pip" uninstall -qq -y ai-edge-litert
    says 1 "run: pip install 'numpy<2'"
    echo "tflite-runtime alone, numpy 1, as installed by that command"
    "$venv/bin/pip" install -qq 'numpy<2' 2>/dev/null
    says 0 '"type":"prediction"'
    chosen tflite-runtime
}

chosen() {
    (cd "$work" && "$venv/bin/python" -c "from edgehar.model.runtime import load_runtime as l; assert l().package == '$1', l()")
}

ran=0
for version in 3.11 3.12 3.13; do
    [ -z "$only" ] || [ "$only" = "py$version" ] || continue
    python=$(python_of "$version") || { echo "skipped: py$version, Python $version is not installed" >&2; continue; }
    echo "== py$version"
    test_litert "$version" "$python"
    ran=$((ran + 1))
done
if [ -z "$only" ] || [ "$only" = tflite-runtime ]; then
    if python=$(python_of 3.11); then
        echo "== tflite-runtime"
        test_tflite_runtime "$python"
        ran=$((ran + 1))
    else
        echo "skipped: tflite-runtime, which needs Python 3.11" >&2
    fi
fi
[ -z "$only" ] || [ "$ran" -gt 0 ] || echo "nothing was tested" >&2
