"""Run, inspect and bench bundles whose networks are damaged, and count what they do.

Each trial changes one network of a shipped bundle: bits, 32-bit fields, lengths, or a cut end; most changes are outside
of the weights, where the structure is. The bundle is written with correct checksums, so that only the network is wrong.
Then `edgehar run`, `edgehar inspect` and `edgehar bench model` get it, each in a process of its own. Ctrl-C ends the
trials early and prints the table.
A signal, a traceback, an "unexpected" error or a different verdict is a failure.

python scripts/faults/mutated_models.py [--trials 2000] [--seed 0] [--model actions-synthetic]
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import random
import resource
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

os.environ.setdefault("OMP_NUM_THREADS", "1")

from edgehar.bench import suite, timing
from edgehar.inspect import trial
from edgehar.model.bundle import ModelBundle, write_bundle
from edgehar.model.tflite import read_graph

if TYPE_CHECKING:
    from collections.abc import Callable

NETWORKS = ("encoder.tflite", "head.tflite", "window.tflite")
COMMANDS = ("run", "inspect", "bench")
VERDICTS = ("accepted", "refused", "signal", "raw exception", "other")
TIMEOUT_S = 120


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000, help="damaged bundles (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of all changes (default: %(default)s)")
    parser.add_argument("--model", default="actions-synthetic", help="bundle to damage (default: %(default)s)")
    args = parser.parse_args()

    # A shell starts background processes with SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    _warm_up(args.model)
    bundle = ModelBundle.open(args.model)
    structure = {name: _structure(bundle.read(name)) for name in NETWORKS}
    rng, found, failures, started_s = random.Random(args.seed), Counter(), [], time.monotonic()  # noqa: S311
    with tempfile.TemporaryDirectory() as folder:
        os.environ["XDG_CACHE_HOME"] = folder
        trial._in_new_interpreter = _in_fork  # noqa: SLF001 - the same examination, without a new interpreter each time
        with contextlib.suppress(KeyboardInterrupt):
            for number in range(args.trials):
                _try(bundle, structure, number, rng, found, failures)
                if (number + 1) % 100 == 0:
                    passed_s = time.monotonic() - started_s
                    print(
                        f"{number + 1} trials, {len(failures)} failures, {passed_s:.0f} s", file=sys.stderr, flush=True
                    )
    done = sum(found["run", verdict] for verdict in VERDICTS)
    print(f"{done} damaged networks of {args.model}, seed {args.seed}")
    print("| command | accepted | refused | signal | raw exception | other |\n|---|---|---|---|---|---|")
    for command in COMMANDS:
        row = [found[command, verdict] for verdict in VERDICTS]
        print(f"| {command} | {' | '.join(map(str, row))} |")
    print(f"different verdicts: {found['different', '']}")
    print("\n".join(failures[:40]))
    return 1 if failures else 0


def _try(
    bundle: ModelBundle,
    structure: dict[str, list[int]],
    number: int,
    rng: random.Random,
    found: Counter,
    failures: list,
) -> None:
    """Damage one network, give the bundle to every command, and count the verdicts."""
    path = Path(os.environ["XDG_CACHE_HOME"]) / "mutated.edgehar"
    name = NETWORKS[number % len(NETWORKS)]
    how, content = mutate(bundle.read(name), structure[name], rng)
    write_bundle(path, bundle.manifest, {**bundle.files, name: content})
    results = {command: _run(_argv(command, path)) for command in COMMANDS}
    _count(found, failures, f"trial {number}: {name}, {how}", results)


def mutate(content: bytes, structure: list[int], rng: random.Random) -> tuple[str, bytes]:
    """Return what was done, and the changed file."""
    changed = bytearray(content)
    places = structure if rng.random() < 0.8 else range(len(content))
    kind = rng.choice(("bits", "bytes", "field", "field", "swap", "cut"))
    if kind == "cut":
        return kind, bytes(changed[: rng.randrange(len(changed))])
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        place = rng.choice(places)
        if kind == "bits":
            changed[place] ^= 1 << rng.randrange(8)
        elif kind == "bytes":
            changed[place] = rng.randrange(256)
        elif kind == "field":
            start = place // 4 * 4
            value = rng.choice((0, 1, 2, 127, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, len(content), rng.getrandbits(32)))
            changed[start : start + 4] = value.to_bytes(4, "little")
        else:
            other = rng.choice(places)
            changed[place], changed[other] = changed[other], changed[place]
    return kind, bytes(changed[: len(content)])


def _structure(content: bytes) -> list[int]:
    """Return the places outside of constants."""
    outside = bytearray(b"\1" * len(content))
    for tensor in read_graph(content, "original").tensors:
        if tensor.data is not None and tensor.data.nbytes > 64:
            place = content.find(tensor.data.tobytes())
            outside[place : place + tensor.data.nbytes] = bytes(tensor.data.nbytes)
    return [place for place, is_outside in enumerate(outside) if is_outside]


def _argv(command: str, path: Path) -> list[str]:
    if command == "run":
        return ["run", "--model", str(path), "--source", "synthetic:walking?duration_s=2", "--output", "none"]
    name, *options = command.split()
    return [name, "model", "--model", str(path), "--quick"] if name == "bench" else [name, str(path), *options]


def _count(found: Counter, failures: list[str], what: str, results: dict[str, tuple[str, str]]) -> None:
    verdicts = {command: result[0] for command, result in results.items()}
    for command, verdict in verdicts.items():
        found[command, verdict] += 1
        if verdict not in ("accepted", "refused"):
            failures.append(f"{what}: {command}: {verdict}: {results[command][1].strip()[-300:]}")
    if len(set(verdicts.values())) > 1:
        found["different", ""] += 1
        failures.append(f"{what}: {verdicts}: {[text.strip()[-200:] for _, text in results.values()]}")


def _run(argv: list[str]) -> tuple[str, str]:
    """Run a command in a fork; returns the verdict and what it wrote to standard error."""
    from edgehar.cli.main import main as edgehar

    code, text = _forked(lambda: edgehar(argv))
    if code < 0:
        return "signal", signal.Signals(-code).name
    if "Traceback" in text or "unexpected" in text:
        return "raw exception", text
    return {0: "accepted", 1: "refused"}.get(code, "other"), text


def _in_fork(bundle: ModelBundle) -> str:
    """Try a bundle as `trial` does, in a fork of this process."""

    def examine() -> int:
        resource.setrlimit(resource.RLIMIT_AS, (4 << 30, resource.RLIM_INFINITY))
        problem = trial.examine(bundle.path, trial._digest(bundle))  # noqa: SLF001
        print(problem, file=sys.stderr)
        return 1 if problem else 0

    code, text = _forked(examine)
    return trial.outcome(bundle.path, code, text.encode())


def _forked(work: Callable[[], int]) -> tuple[int, str]:
    """Run `work` in a fork; returns its exit code, negative for a signal, and its standard error."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        os.dup2(write, 2)
        sys.stdout, sys.stderr = io.TextIOWrapper(os.fdopen(1, "wb", closefd=False)), os.fdopen(2, "w", closefd=False)
        signal.alarm(TIMEOUT_S)
        code = 70
        try:
            code = work()
        except SystemExit as error:
            code = error.code if isinstance(error.code, int) else 1
        finally:
            sys.stderr.flush()
            os._exit(code)
    os.close(write)
    with os.fdopen(read, "rb") as pipe:
        text = pipe.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return os.waitstatus_to_exitcode(status), text


def _warm_up(model: str) -> None:
    """Import everything once, so that forks start quickly, and make the bench short."""
    # Only whether it runs matters here.
    suite._QUICK = timing.Protocol(rounds=1, turn_s=1e-4)  # noqa: SLF001
    suite.pool_bytes = lambda *_: 4_000_000
    bundle = ModelBundle.open(model)
    code, text = _forked(lambda: int(bool(trial.examine(bundle.path, trial._digest(bundle)))))  # noqa: SLF001
    assert code == 0, text
    import edgehar.cli.main
    import edgehar.inspect.report
    import edgehar.model.classifier
    import edgehar.pipeline.program
    import edgehar.sources.synthetic.source  # noqa: F401
    from edgehar.model.runtime import load_runtime

    load_runtime()


if __name__ == "__main__":
    sys.exit(main())
