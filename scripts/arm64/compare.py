"""Compare the results of machines, as Markdown: compare.py HERE.npz NAME=THERE.npz... exits with 1 if they disagree.

The files come from `probe.py`. They agree if every resized frame of the kernel is equal to the byte and, for every
source with equal frames, the labels are equal and the scores differ by at most one step of 1/256.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping

import numpy as np

Arrays = Mapping[str, np.ndarray]
STEP = 1 / 256


def kernel(here: Arrays, there: Arrays) -> Iterator[tuple[str, str, bool]]:
    """Return a row for each type of output: what was compared, the result, and whether it is good."""
    names = [name for name in here if name.startswith("kernel/")]
    for dtype in ("int8", "uint8", "float32"):
        chosen = [name for name in names if name.split("/")[3] == dtype]
        equal = sum(bool(here[name] == there[name]) for name in chosen)
        what = f"kernel, {dtype}: formats x sizes x outputs x colors"
        yield what, f"{equal} of {len(chosen)} byte-identical", equal == len(chosen)


def networks(here: Arrays, there: Arrays) -> Iterator[tuple[str, str, bool]]:
    for name in here:
        if not name.startswith(("encoder/", "head/")):
            continue
        apart = np.abs(here[name].astype(int) - there[name])
        outcome = f"{(apart == 0).sum()} of {apart.size} equal, at most {apart.max()} of 256 apart"
        first = first_difference(here[f"steps/{name}"], there[f"steps/{name}"])
        yield f"{name}, {len(apart)} inputs: raw int8", outcome + first, apart.max() <= 1


def first_difference(here: np.ndarray, there: np.ndarray) -> str:
    """Return the first operator of a network with different outputs, as the end of a sentence."""
    differing = np.flatnonzero(here != there)
    if not len(differing):
        return ""
    number = int(differing[0])
    return f"; first differs: {here[number].split()[0]}, operator {number + 1} of {len(here)}"


def sources(here: Arrays, there: Arrays) -> Iterator[tuple[str, str, bool]]:
    for name in here:
        kind, _, rest = name.partition("/")
        if kind == "frames":
            yield f"{rest}: decoded frames", _share(here[name], there[name]), True
        elif kind == "shrunk":
            yield f"{rest}: shrunk frames", _share(here[name], there[name]), True
        elif kind == "scores":
            same_frames = np.array_equal(here[f"shrunk/{rest}"], there[f"shrunk/{rest}"])
            yield _answers(rest, here, there, same_frames)


def _share(here: np.ndarray, there: np.ndarray) -> str:
    if here.shape != there.shape:
        return f"{len(here)} against {len(there)} frames"
    return f"{(here == there).sum()} of {len(here)} byte-identical"


def _answers(name: str, here: Arrays, there: Arrays, same_frames: bool) -> tuple[str, str, bool]:
    scores, other = here[f"scores/{name}"], there[f"scores/{name}"]
    what = f"{name}: answers of `edgehar-run`"
    if scores.shape != other.shape:
        return what, f"{len(scores)} against {len(other)} answers", False
    labels = int((here[f"label/{name}"] == there[f"label/{name}"]).sum())
    apart = float(np.abs(scores - other).max()) / STEP
    equal = int((scores == other).all(axis=1).sum())
    outcome = f"top-1 equal in {labels} of {len(scores)}, all scores equal in {equal}, at most {apart:.0f}/256 apart"
    if not same_frames:
        outcome += " (from frames that differ)"
    return what, outcome, labels == len(scores) and (apart <= 1 or not same_frames)


def main() -> None:
    here_path, *others = sys.argv[1:]
    here = np.load(here_path)
    agreed = True
    for other in others:
        title, _, path = other.partition("=")
        there = np.load(path)
        print(
            f"### {title}\n\n{here['machine']} with {here['software']}, against {there['machine']} with "
            f"{there['software']}:\n\n| compared | outcome |\n|---|---|"
        )
        for part in (kernel, networks, sources):
            for what, outcome, good in part(here, there):
                agreed = agreed and good
                print(f"| {what} | {outcome}{'' if good else ' **(must not be)**'} |")
        print()
    sys.exit(not agreed)


if __name__ == "__main__":
    main()
